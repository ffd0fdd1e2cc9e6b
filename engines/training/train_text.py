"""Teaches a finished quality engine to see where there is no text: ``iqa engines train-text``.

The engine's third output reads the same numbers as the one that tells kinds, so trunk, score and kinds stay as they are. It is
taught by the text engines that workers use: what they find in a picture is the truth. Every eighth picture is put aside,
and the report says for some limits how many of those would be passed over, and how much text would be missed. ``out`` gets
``text.pt``, a checkpoint for ``iqa engines export``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engines.engine_set import EngineNames, load_engines
from engines.errors import CheckpointError
from engines.kinds import KINDS
from engines.models.hyperiqa import Backbone, HyperIQA
from engines.preprocess import LONGEST_SIDE, fit_longest
from engines.runtime.onnx import OnnxRuntime
from engines.text_spotting import SPOTTING, TextSpotter
from engines.training.data import HOLD_OUT, picture_files
from engines.training.datasets import DataSetError, read_rgb
from engines.training.features import FeatureExtractor, Pooled, TextRows, cached, mapped
from engines.training.fit_layers import fit_layers
from engines.training.initial_weights import load_initial_weights, trunk_sha256

__all__ = ["TextOptions", "report", "run", "teach", "text_rows"]

LEAST_AREA = 0.003
"""Text over less of a picture than this matters to nobody: a brand on a shoe."""
LARGE_AREA = 0.02
"""From here on a picture that is passed over by mistake may get another category: such text counts ``LARGE_WEIGHT``."""
LARGE_WEIGHT = 10.0
LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
LEAST_OF_EACH = 3
"""Pictures with text and pictures without, of those that train and of those that are put aside."""


@dataclass(frozen=True)
class TextOptions:
    """A run: a finished engine or checkpoint, folders of pictures of every kind, and how long the layers are fitted."""

    initial_weights: Path
    pictures: tuple[Path, ...]
    out: Path
    directory: Path
    backbone: Backbone = "resnet18"
    side: int = LONGEST_SIDE
    steps: int = 800
    batch: int = 256
    rate: float = 1e-3
    weight_decay: float = 0.1
    seed: int = 1


def text_rows(extractor: FeatureExtractor, spotter: TextSpotter, files: Sequence[Path]) -> TextRows:
    """What the trunk sees of every picture, and over how much of it the spotter finds text.

    Raises:
        DataSetError: a file is no picture.

    """

    def one(path: Path) -> tuple[Pooled, float]:
        pixels = read_rgb(path)
        return extractor.row(np.ascontiguousarray(fit_longest(pixels, extractor.side))), spotter.locate(pixels).area

    rows, areas = zip(*mapped(one, files, "pictures"), strict=True)
    return TextRows(np.array(rows), np.array(areas), np.arange(len(files)) % HOLD_OUT == 0)


def teach(model: HyperIQA, seen: TextRows, options: TextOptions) -> Iterator[str]:
    """Fit ``model.text``, pictures with and without text weighing the same; yields lines about those that were put aside.

    Raises:
        CheckpointError: ``model`` finds no text.

    """
    if model.text is None:
        raise CheckpointError("this network has no output for text")
    learn = np.flatnonzero(~seen.held)
    there = seen.areas >= LEAST_AREA
    counts = np.bincount(there[learn], minlength=2)
    shares = (1 / np.maximum(counts, 1))[there[learn].astype(int)]
    weights = np.where(seen.areas >= LARGE_AREA, LARGE_WEIGHT, 1.0)

    def loss(picks: NDArray[np.int64]) -> Tensor:
        truth, weight = torch.from_numpy(there[picks]).float(), torch.from_numpy(weights[picks]).float()
        return F.binary_cross_entropy_with_logits(found(model, seen.rows[picks]), truth, weight)

    fit_layers(model, model.text, (learn, shares), loss, options)
    yield from report(model, seen)


def require_both(seen: TextRows) -> None:
    """Refuse pictures that nothing can be learnt from, or nothing said about.

    Raises:
        DataSetError: with and without text, some train and some are put aside, or not.

    """
    there = seen.areas >= LEAST_AREA
    least = min(int((there[part] == with_text).sum()) for part in (seen.held, ~seen.held) for with_text in (True, False))
    if least < LEAST_OF_EACH:
        raise DataSetError(
            f"of {len(there)} pictures {int(there.sum())} have text: some hundred with and some hundred without are needed, "
            f"mixed, and at least {LEAST_OF_EACH} of each among every eighth in name order"
        )


def found(model: HyperIQA, rows: Pooled) -> Tensor:
    """Logits of text, N, for rows (N x width)."""
    return model.find_text(torch.from_numpy(rows.astype(np.float32)).split(model.widths, dim=1))


@torch.no_grad()
def probabilities(model: HyperIQA, rows: Pooled) -> NDArray[np.float32]:
    """Of text, N, for rows (N x width)."""
    parts = [torch.sigmoid(found(model, part)) for part in np.array_split(rows, len(rows) // 1024 + 1)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def report(model: HyperIQA, seen: TextRows) -> Iterator[str]:
    """For some limits: the share of pictures without text that is passed over, and of those with text."""
    areas, sure = seen.areas[seen.held], probabilities(model, seen.rows[seen.held])
    yield f"{len(areas)} pictures that were put aside, {np.mean(areas >= LEAST_AREA):.1%} with text"
    for limit in LIMITS:
        passed = sure < limit
        shares = [
            f"{passed[of].mean():.1%} of {of.sum()} {name}"
            for name, of in (
                ("without text", areas < LEAST_AREA),
                ("with text", areas >= LEAST_AREA),
                ("with much text", areas >= LARGE_AREA),
            )
            if of.any()
        ]
        yield f"below {limit:<6} passed over: {', '.join(shares)}"


def run(options: TextOptions) -> None:
    """Compute what is missing, teach, report, save.

    Raises:
        DataSetError: there are too few pictures to put any aside.
        CheckpointError: the initial weights are no finished network that tells kinds.
        EngineError: the text engines are not there.

    """
    torch.manual_seed(options.seed)
    model = HyperIQA(options.backbone, kinds=len(KINDS), text=True)
    start = load_initial_weights(model, options.initial_weights)
    if not (start.head and start.kinds):
        raise CheckpointError(f"{options.initial_weights} tells no kinds: iqa engines train-kinds first")
    files = picture_files(options.pictures)
    if len(files) <= HOLD_OUT:
        raise DataSetError(f"more than {HOLD_OUT} pictures are needed, there are {len(files)}")
    engines = load_engines(EngineNames(), options.directory, OnnxRuntime())
    told = [f"{path.name} {path.stat().st_size}" for path in files]
    told += [SPOTTING, engines.text_detection.manifest.digest, engines.text_recognition.manifest.digest]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
    path = options.out / f"text-{trunk_sha256(model)[:12]}-{options.side}-{digest}.npz"
    extractor = FeatureExtractor(model, options.side)
    seen = cached(path, TextRows, partial(text_rows, extractor, engines.text, files))
    require_both(seen)
    for line in teach(model, seen, options):
        print(line, flush=True)
    state = {"average": model.state_dict(), "backbone": options.backbone, "side": options.side}
    torch.save(state, options.out / "text.pt")
    print(f"{options.out / 'text.pt'}: iqa engines export --checkpoint ... --text-below LIMIT", flush=True)
