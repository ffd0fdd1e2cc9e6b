"""Teaches a finished quality engine to tell kinds of pictures, and ruined ones: ``iqa engines train-kinds``.

The engine's second output reads the same numbers as its head (``HyperIQA.tell``), so the trunk and the score stay as they
are: what the trunk makes of every picture is computed once and kept in ``out``, and a small network is fitted to it. Every
picture is seen whole and ruined, of some upload size, some with an agency's marks; every eighth is put aside, to report on.
``out`` gets ``kinds.pt``, a checkpoint for ``iqa engines export``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.errors import CheckpointError
from engines.kinds import KINDS, Kind
from engines.models.hyperiqa import Backbone, HyperIQA
from engines.preprocess import LONGEST_SIDE, fit_longest
from engines.training.data import HOLD_OUT, picture_files
from engines.training.datasets import DataSetError, read_rgb
from engines.training.features import FeatureExtractor, KindRows, Pixels, Pooled, cached, mapped
from engines.training.fit_layers import fit_layers
from engines.training.initial_weights import load_initial_weights, trunk_sha256
from engines.training.losses import kinds_loss
from engines.training.marks import marked
from engines.training.tasks import as_uploaded

__all__ = ["KindOptions", "kind_rows", "run", "teach"]

MARKED = 0.25
"""Share of uploads that carry an agency's marks."""
LEADING = {"photo": 3.0}
"""How often kinds are drawn against the others: most of what is uploaded."""
SMALLEST = 0.4
"""The smallest upload, as a share of the serving size."""


@dataclass(frozen=True)
class KindOptions:
    """A run: a finished engine or checkpoint, pictures by kind, and how long and how firmly the layers are fitted."""

    initial_weights: Path
    kinds: tuple[tuple[Kind, Path], ...]
    out: Path
    backbone: Backbone = "resnet18"
    side: int = LONGEST_SIDE
    steps: int = 600
    batch: int = 256
    rate: float = 1e-3
    weight_decay: float = 0.1
    seed: int = 1


def kind_rows(extractor: FeatureExtractor, files: Mapping[Kind, Sequence[Path]], seed: int) -> KindRows:
    """Every picture whole and ruined, as served.

    Raises:
        DataSetError: a file is no picture.

    """
    plan = [(name, number, path) for name, paths in files.items() for number, path in enumerate(paths)]

    def one(entry: tuple[Kind, int, Path]) -> list[Pooled]:
        name, number, path = entry
        rng = np.random.default_rng([seed, KINDS.index(name), number])
        pixels = read_rgb(path)
        return [extractor.row(upload(pixels, name, ruin, rng, extractor.side)) for ruin in (False, True)]

    rows = np.concatenate([np.array(made) for made in mapped(one, plan, "pictures by kind")])
    kinds = np.repeat([KINDS.index(name) for name, _, _ in plan], 2)
    numbers = np.repeat([number for _, number, _ in plan], 2)
    return KindRows(rows, kinds, np.tile([False, True], len(plan)), numbers % HOLD_OUT == 0)


def upload(pixels: Pixels, name: Kind, ruin: bool, rng: np.random.Generator, side: int) -> Pixels:
    """A picture as it may be uploaded: of some size, whole or ruined."""
    pixels = marked(pixels, rng) if rng.random() < MARKED else pixels
    longest = side if rng.random() < 0.5 else int(side * np.exp(rng.uniform(np.log(SMALLEST), 0)))
    return as_uploaded(np.ascontiguousarray(fit_longest(pixels, longest)), name, ruin, rng)


def teach(model: HyperIQA, seen: KindRows, options: KindOptions) -> Iterator[str]:
    """Fit ``model.kinds``, kinds weighing the same but for ``LEADING``; yields lines about pictures that were put aside.

    Raises:
        CheckpointError: ``model`` tells no kinds.

    """
    if model.kinds is None:
        raise CheckpointError("this network has no output for kinds")
    learn, rest = np.flatnonzero(~seen.held), np.flatnonzero(seen.held)
    counts = np.bincount(seen.kinds[learn], minlength=len(KINDS))
    weights = np.array([LEADING.get(kind, 1.0) for kind in KINDS])
    shares = (weights / np.maximum(counts, 1))[seen.kinds[learn]]

    def loss(picks: NDArray[np.int64]) -> Tensor:
        kinds, ruined = torch.from_numpy(seen.kinds[picks]), torch.from_numpy(seen.ruined[picks])
        return kinds_loss(*told(model, seen.rows[picks]), kinds, ruined)

    fit_layers(model, model.kinds, (learn, shares), loss, options)
    yield from report(model, seen, rest)


def told(model: HyperIQA, rows: Pooled) -> tuple[Tensor, Tensor]:
    """Logits of kinds (N x kinds) and of ruin (N) for rows (N x width)."""
    return model.tell(torch.from_numpy(rows.astype(np.float32)).split(model.widths, dim=1))


@torch.no_grad()
def report(model: HyperIQA, seen: KindRows, index: NDArray[np.int64]) -> Iterator[str]:
    """How often kind and ruin are right, by kind."""
    parts = [told(model, seen.rows[part]) for part in np.array_split(index, len(index) // 1024 + 1)]
    kinds, ruin = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    yield f"{len(index)} views of pictures that were put aside"
    for number, name in enumerate(KINDS):
        of = seen.kinds[index] == number
        if not of.any():
            continue
        whole, spoilt = of & ~seen.ruined[index], of & seen.ruined[index]
        right = kinds.argmax(axis=1) == number
        yield (
            f"{name:<12}{int(of.sum()):>6} views, kind right in {np.mean(right[whole]):.1%} of whole ones "
            f"and {np.mean(right[spoilt]):.1%} of ruined ones; "
            f"taken for ruined: {np.mean(ruin[whole] > 0):.1%} of whole ones, {np.mean(ruin[spoilt] > 0):.1%} of ruined ones"
        )


def run(options: KindOptions) -> None:
    """Compute what is missing, teach, report, save.

    Raises:
        DataSetError: a kind has too few pictures to put any aside, or none are named.
        CheckpointError: the initial weights are no finished network.

    """
    torch.manual_seed(options.seed)
    model = HyperIQA(options.backbone, kinds=len(KINDS))
    if not load_initial_weights(model, options.initial_weights).head:
        raise CheckpointError(f"{options.initial_weights} is no finished network: iqa engines train or train-head first")
    folders = {kind: [folder for name, folder in options.kinds if name == kind] for kind, _ in options.kinds}
    files = {kind: picture_files(of) for kind, of in folders.items()}
    if few := [kind for kind, of in files.items() if len(of) <= HOLD_OUT]:
        raise DataSetError(f"more than {HOLD_OUT} pictures are needed of every kind, not of {', '.join(few)}")
    digest = hashlib.sha256("\n".join(f"{kind} {path}" for kind, of in files.items() for path in of).encode()).hexdigest()
    path = options.out / f"kinds-{trunk_sha256(model)[:12]}-{options.side}-{digest[:12]}-{options.seed}.npz"
    seen = cached(path, KindRows, partial(kind_rows, FeatureExtractor(model, options.side), files, options.seed))
    for line in teach(model, seen, options):
        print(line, flush=True)
    state = {"average": model.state_dict(), "backbone": options.backbone, "side": options.side}
    torch.save(state, options.out / "kinds.pt")
