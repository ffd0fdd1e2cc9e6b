"""What a trunk is distilled from: views of photos, and what published classifiers say of them, computed once.

Everything that does not change while the last stage learns lies on disk in half precision: 430 kB a view of 256 pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from engines.errors import CheckpointError
from engines.models.efficientnet import EfficientNetClassifier
from engines.models.resnet import ResNetTrunk
from engines.preprocess import normalise
from engines.training.data import ahead
from engines.training.datasets import read_rgb
from engines.training.distortions import DISTORTIONS, coded
from engines.training.train import precision_of

__all__ = ["DistilCache", "Said", "autocast", "drawn_views", "random_view", "said_by"]

Pixels = NDArray[np.uint8]
Places = Sequence[tuple[Path, Sequence[int]]]
"""Photos, and the seeds of a view of each."""
SMALLEST_AREA = 0.2
"""Of a photo, that a view shows."""
DEFECTS = 0.4
"""Share of views with a defect."""
CODED = 0.5
"""Share of views that have been a JPEG once more."""
CHUNK = 32
LEAST_LOG = -20.0
AHEAD = 2
"""Batches that are drawn while one is computed; a decoded one is 25 MB."""


def autocast() -> torch.autocast:
    """Bfloat16 where the processor has instructions for it: three times as fast."""
    dtype = precision_of("auto", torch.device("cpu"))
    return torch.autocast("cpu", dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def random_view(photo: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A square view of ``photo`` (H x W x 3): a fifth of it to all, mirrored half of the time, some with a defect."""
    height, width = photo.shape[:2]
    area = rng.uniform(SMALLEST_AREA, 1) * height * width
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    rows, columns = min(height, round((area / ratio) ** 0.5)), min(width, round((area * ratio) ** 0.5))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    part = photo[top : top + rows, left : left + columns]
    how = cv2.INTER_AREA if min(rows, columns) > side else cv2.INTER_LINEAR
    view = np.asarray(cv2.resize(part, (side, side), interpolation=how), dtype=np.uint8)
    if rng.random() < DEFECTS:
        kind = list(DISTORTIONS)[int(rng.integers(len(DISTORTIONS)))]
        view = DISTORTIONS[kind](view, float(rng.uniform(0.1, 1)), rng)
    if rng.random() < CODED:
        view = coded(view, int(rng.integers(60, 97)))
    return np.ascontiguousarray(view[:, ::-1]) if rng.random() < 0.5 else view


def drawn_views(batches: Iterable[Places], side: int) -> Iterator[Tensor]:
    """Views of photos as batches (N x 3 x side x side, normalised); the next ones are drawn meanwhile."""

    def one(places: Places) -> Tensor:
        made = [normalise(random_view(read_rgb(path), side, np.random.default_rng(seeds))) for path, seeds in places]
        return torch.from_numpy(np.concatenate(made)).contiguous(memory_format=torch.channels_last)

    return ahead(one, batches, AHEAD)


class Said(NamedTuple):
    """What teachers say of N views.

    ``logs`` (N x 1000): logarithms of their mean probabilities. ``hints`` (N x 1280 x h x w): the first one's last map.
    ``heard`` (N x width): ``Stage.pool`` of its last stage.
    """

    logs: Tensor
    hints: Tensor
    heard: Tensor


@torch.no_grad()
def said_by(teachers: Sequence[EfficientNetClassifier], x: Tensor) -> Said:
    """What ``teachers`` say of normalised RGB, N x 3 x H x W."""
    with autocast():
        seen = [teacher(x) for teacher in teachers]
    probabilities = torch.stack([F.softmax(logits.float(), dim=1) for logits, _ in seen]).mean(dim=0)
    last = seen[0][1][-1]
    return Said(probabilities.log().clamp(LEAST_LOG), last.outputs[-1].float(), last.pool())


@dataclass(frozen=True)
class DistilCache:
    """What the stage is taught from: N views, ``views`` of each photo one after the other, as half precision on disk.

    ``maps`` (N x 256 x h x w) are the stage's input; see ``Said`` for the others.
    """

    views: int
    maps: NDArray[np.float16]
    logs: NDArray[np.float16]
    hints: NDArray[np.float16]
    heard: NDArray[np.float16]

    @classmethod
    def made(
        cls,
        folder: Path,
        trunk: ResNetTrunk,
        teachers: Sequence[EfficientNetClassifier],
        paths: Sequence[Path],
        wanted: dict[str, int],
    ) -> DistilCache:
        """The cache in ``folder``, computed if it is not there. ``wanted``: ``views`` of a photo, their ``side``, the ``seed``.

        Raises:
            CheckpointError: it was made otherwise.

        """
        described, wanted = folder / "cache.json", wanted | {"photos": len(paths)}
        if not described.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _fill(folder, trunk, teachers, paths, wanted)
            described.write_text(json.dumps(wanted))
        if json.loads(described.read_text()) != wanted:
            raise CheckpointError(f"{folder} holds other views ({described.read_text()}): remove it, or choose another --out")
        files = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("maps", *Said._fields))
        return cls(wanted["views"], *files)

    def said(self, picks: NDArray[np.int64]) -> Said:
        """Of those views."""
        return Said(*(torch.from_numpy(file[picks]).float() for file in (self.logs, self.hints, self.heard)))


@torch.no_grad()
def _fill(
    folder: Path,
    trunk: ResNetTrunk,
    teachers: Sequence[EfficientNetClassifier],
    paths: Sequence[Path],
    wanted: dict[str, int],
) -> None:
    plan = [(path, (wanted["seed"], index, view)) for index, path in enumerate(paths) for view in range(wanted["views"])]
    chunks = [plan[start : start + CHUNK] for start in range(0, len(plan), CHUNK)]
    files: dict[str, NDArray[np.float16]] = {}
    for number, x in enumerate(track(drawn_views(chunks, wanted["side"]), "views", len(chunks))):
        with autocast():
            below = trunk.below(x)
        for name, value in {"maps": below, **said_by(teachers, x)._asdict()}.items():
            array = value.contiguous().half().numpy()
            if name not in files:
                shape = (len(plan), *array.shape[1:])
                files[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.dtype(np.float16), shape)
            files[name][number * CHUNK : number * CHUNK + len(array)] = array
    # The description comes last: a folder without it is filled anew.
    files.clear()
