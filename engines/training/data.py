"""Training input: pictures from folders, and crops of them as they will be served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.preprocess import LONGEST_SIDE, fit_longest, normalise
from engines.training.datasets import DataSetError, read_rgb

__all__ = ["SUFFIXES", "ahead", "held_out", "load_folder", "picture_files", "random_crop", "window"]

A = TypeVar("A")
B = TypeVar("B")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""Of picture files in folders of photos."""

Pixels = NDArray[np.uint8]
HOLD_OUT = 8


def ahead(draw: Callable[[A], B], items: Iterable[A], count: int) -> Iterator[B]:
    """``map``, in order, with ``count`` of the next results drawn by threads while one is used."""
    coming = iter(items)
    with ThreadPoolExecutor(count) as pool:
        drawn = deque(pool.submit(draw, item) for item in islice(coming, count))
        while drawn:
            made = drawn.popleft().result()
            drawn.extend(pool.submit(draw, item) for item in islice(coming, 1))
            yield made


def load_folder(root: Path, longest: int = 900) -> list[Pixels]:
    """Every picture directly below ``root`` in name order, shrunk to ``longest``.

    Raises:
        DataSetError: there is none, or one cannot be decoded.

    """
    paths = sorted(p for p in root.glob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataSetError(f"{root} holds no pictures")
    return [fit_longest(read_rgb(path), longest) for path in paths]


def picture_files(folders: Sequence[Path], *, svg: bool = False) -> list[Path]:
    """Every picture below ``folders``, in name order; with ``svg`` those that only a browser can draw, too.

    Raises:
        DataSetError: there is none.

    """
    suffixes = SUFFIXES | {".svg"} if svg else SUFFIXES
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    if not found:
        raise DataSetError(f"no pictures in {', '.join(map(str, folders))}")
    return found


def held_out(photos: Sequence[Pixels]) -> list[Pixels]:
    """Every eighth photo: these never train, so that ladders can be checked on pictures that were not seen."""
    return list(photos[::HOLD_OUT])


def random_crop(pixels: Pixels, side: int, rng: np.random.Generator, longest: int = LONGEST_SIDE) -> NDArray[np.float32]:
    """1 x 3 x side x side: near serving size (8 % jitter), mirrored half of the time, cropped (or padded) at random."""
    scaled = fit_longest(pixels, round(longest * rng.uniform(0.92, 1.08)))
    top, left = (int(rng.integers(0, max(1, size - side + 1))) for size in scaled.shape[:2])
    crop = window(scaled, side, top, left)
    return normalise(crop[:, ::-1] if rng.random() < 0.5 else crop)


def window(pixels: Pixels, side: int, top: int, left: int) -> Pixels:
    """A square of ``side`` pixels; what is smaller than that is continued by its mirror image."""
    crop = pixels[top : top + side, left : left + side]
    pad = ((0, max(0, side - crop.shape[0])), (0, max(0, side - crop.shape[1])), (0, 0))
    return np.pad(crop, pad, mode="symmetric")
