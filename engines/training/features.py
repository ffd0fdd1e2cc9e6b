"""What the head of a trained quality engine sees of many pictures, computed once and kept.

The trunk is most of an engine's cost, and a head can be taught without it: what the head sees of a picture (``HyperIQA.pool``)
is eighteen thousand numbers. Computed once per picture through ONNX Runtime, whole and at serving size, they let a head see
tens of thousands of ladders in minutes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from engines.errors import CheckpointError
from engines.models.hyperiqa import HyperIQA
from engines.models.tracing import trace
from engines.preprocess import fit_longest, quality_input
from engines.runtime.onnx import OnnxNetwork, OnnxRuntime
from engines.training.camera import camera_noise
from engines.training.datasets import Rated, read_rgb
from engines.training.distortions import DISTORTIONS, coded
from engines.training.ladders import EVEN, FAINT, OFTEN, drawn, even_steps, uploads

__all__ = [
    "FeatureExtractor",
    "KindRows",
    "Ladders",
    "OddUploads",
    "Pixels",
    "Pooled",
    "TextRows",
    "Views",
    "cached",
    "camera_ladders",
    "even_ladders",
    "ladders",
    "mapped",
    "views",
]

Pixels = NDArray[np.uint8]
Pooled = NDArray[np.float16]
PER_CAMERA_PHOTO = 3
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


A = TypeVar("A")
B = TypeVar("B")
Kept = TypeVar("Kept", "Views", "Ladders", "OddUploads", "KindRows", "TextRows")


class _Pooling(nn.Module):
    def __init__(self, model: HyperIQA) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.model.pool(x), dim=1)


class FeatureExtractor:
    """Pictures at serving size to rows of what the head sees of them, through ONNX Runtime, a picture a core."""

    def __init__(self, model: HyperIQA, side: int) -> None:
        self.side = side
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pool.onnx"
            axes = {"picture": {0: "n", 2: "h", 3: "w"}, "pooled": {0: "n"}}
            onnx.save(trace(_Pooling(model), torch.zeros(1, 3, 96, 128), ("picture", "pooled"), axes), path)
            self._network: OnnxNetwork = OnnxRuntime().load(path)

    def row(self, pixels: Pixels) -> Pooled:
        """One row, for one RGB picture (H x W x 3)."""
        return self._network.run(quality_input(pixels, self.side))[0].astype(np.float16)


@dataclass(frozen=True)
class Views:
    """Rated pictures: rows (N x V x width), their opinions (N). The first view is the picture as it is served."""

    rows: Pooled
    opinions: NDArray[np.float64]

    def of(self, index: Sequence[int]) -> Views:
        """Those of them."""
        return Views(self.rows[list(index)], self.opinions[list(index)])


@dataclass(frozen=True)
class Ladders:
    """Steps of ladders that stand one after the other.

    ``rows`` (N x width), ``severities`` (N, the clean photo 0), ``kinds`` (N, index into ``DISTORTIONS``), ``photos`` (N) and
    ``ladder`` (N), which numbers the ladders from 0.
    """

    rows: Pooled
    severities: NDArray[np.float64]
    kinds: NDArray[np.int64]
    photos: NDArray[np.int64]
    ladder: NDArray[np.int64]


@dataclass(frozen=True)
class OddUploads:
    """Uploads of odd sizes and shapes, and the photos that they were made of.

    ``rows`` (N x width), ``photos`` (P x width), ``of`` (N, index into ``photos``) and ``changes`` (N): points that a teacher
    gives the upload above its photo, mostly negative.
    """

    rows: Pooled
    photos: Pooled
    of: NDArray[np.int64]
    changes: NDArray[np.float64]


@dataclass(frozen=True)
class KindRows:
    """Pictures by kind: rows (N x width), ``kinds`` (N, index into ``KINDS``), ``ruined`` (N), and ``held`` (N): put aside."""

    rows: Pooled
    kinds: NDArray[np.int64]
    ruined: NDArray[np.bool_]
    held: NDArray[np.bool_]


@dataclass(frozen=True)
class TextRows:
    """Pictures and their text: rows (N x width), ``areas`` (N): the share under text, 0-1; and ``held`` (N): put aside."""

    rows: Pooled
    areas: NDArray[np.float64]
    held: NDArray[np.bool_]


def cached(path: Path, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
    """What ``path`` holds, else what ``make`` gives, which is then kept there.

    Raises:
        CheckpointError: the file is there and holds something else.

    """
    if not path.exists():
        fresh = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp.npz")
        np.savez(partial, **vars(fresh))
        partial.replace(path)
        return fresh
    try:
        with np.load(path) as file:
            return kind(**{field.name: file[field.name] for field in fields(kind)})
    except (KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} does not hold what it should ({error}): remove it, it is made again") from error


def mapped(function: Callable[[A], B], items: Sequence[A], what: str) -> Iterator[B]:
    """``map`` over the cores, in order, with a progress bar; never far ahead of who reads, since decoded pictures are large."""
    workers = os.cpu_count() or 1
    waiting = iter(items)
    with ThreadPoolExecutor(workers) as pool, Progress(*COLUMNS) as progress:
        bar = progress.add_task(what, total=len(items))
        while batch := list(islice(waiting, 16 * workers)):
            for made in pool.map(function, batch):
                yield made
                progress.advance(bar)


def views(extractor: FeatureExtractor, rated: Sequence[Rated]) -> Views:
    """Rows of rated pictures: as served, mirrored, and both 8 % smaller."""

    def one(picture: Rated) -> list[Pooled]:
        served = fit_longest(picture.pixels(), extractor.side)
        smaller = fit_longest(served, round(0.92 * max(served.shape[:2])))
        seen = [served, served[:, ::-1], smaller, smaller[:, ::-1]]
        return [extractor.row(np.ascontiguousarray(pixels)) for pixels in seen]

    rows = np.array(list(mapped(one, rated, "rated pictures")))
    return Views(rows, np.array([r.opinion for r in rated]))


def _gathered(parts: Iterable[tuple[int, str, Sequence[float], list[Pooled]]]) -> Ladders:
    names = list(DISTORTIONS)
    rows: list[Pooled] = []
    columns: list[tuple[float, int, int, int]] = []
    for number, (photo, kind, severities, made) in enumerate(parts):
        rows.extend(made)
        columns.extend((severity, names.index(kind), photo, number) for severity in severities)
    severity, kinds, photos, ladder = (np.array(column) for column in zip(*columns, strict=True))
    return Ladders(np.array(rows), severity, kinds, photos, ladder)


def ladders(extractor: FeatureExtractor, photos: Sequence[Pixels], seed: int) -> Ladders:
    """Ladders of every kind of every photo, made as ``uploads``; some kinds have more, in closer steps."""
    plan = [(i, kind, n) for i in range(len(photos)) for kind, often in OFTEN.items() for n in range(max(1, often.close))]

    def one(entry: tuple[int, str, int]) -> tuple[int, str, Sequence[float], list[Pooled]]:
        index, kind, number = entry
        rng = np.random.default_rng([seed, index, list(DISTORTIONS).index(kind), number])
        severities = drawn(OFTEN[kind].bounds, rng)
        made = uploads(photos[index], kind, severities, rng, extractor.side)
        return index, kind, severities, [extractor.row(pixels) for pixels in made]

    return _gathered(mapped(one, plan, "ladders"))


def camera_ladders(extractor: FeatureExtractor, files: Sequence[Path], seed: int) -> Ladders:
    """Ladders of ``camera_noise`` alone, of photos as cameras stored them; step 0 is the same camera without noise.

    Half of them are windows at full resolution, where detail is soft and faint noise may pass for sharpness; the others are
    whole, and shrinking takes most of their noise away.
    """
    plan = [(index, path, n) for index, path in enumerate(files) for n in range(PER_CAMERA_PHOTO)]

    def one(entry: tuple[int, Path, int]) -> tuple[int, str, Sequence[float], list[Pooled]]:
        index, path, number = entry
        rng = np.random.default_rng([seed, index, number])
        pixels = camera_window(read_rgb(path), rng, extractor.side)
        severities = drawn(FAINT, rng)
        quality, choices = int(rng.integers(85, 98)), int(rng.integers(2**32))
        made = (camera_noise(pixels, severity, np.random.default_rng(choices)) for severity in severities)
        return index, "camera_noise", severities, [extractor.row(coded(step, quality)) for step in made]

    return _gathered(mapped(one, plan, "camera ladders"))


def camera_window(pixels: Pixels, rng: np.random.Generator, side: int) -> Pixels:
    """A square of about ``side`` pixels of a photo, or (every other time) all of it, of at most four times ``side``."""
    if rng.random() < 0.5:
        return fit_longest(pixels, int(side * rng.uniform(1.5, 4.0)))
    size = int(side * rng.uniform(0.8, 1.3))
    top, left = (int(rng.integers(0, max(1, length - size + 1))) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + size, left : left + size])


def even_ladders(extractor: FeatureExtractor, photos: Sequence[Pixels]) -> Ladders:
    """The ladders that the model card reports: every kind of every photo, as ``ladders.even_steps``."""
    plan = [(index, kind) for kind in DISTORTIONS for index in range(len(photos))]

    def one(entry: tuple[int, str]) -> tuple[int, str, Sequence[float], list[Pooled]]:
        index, kind = entry
        return index, kind, EVEN, [extractor.row(pixels) for pixels in even_steps(photos[index], kind, index)]

    return _gathered(mapped(one, plan, "even ladders"))
