"""Training input: rated pictures as they will be served, and ladders of one photo at rising severity."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.preprocess import LONGEST_SIDE, fit_longest, normalise
from engines.training.datasets import DataSetError, read_rgb
from engines.training.distortions import DISTORTIONS, coded

__all__ = ["SUFFIXES", "Ladder", "ahead", "held_out", "ladder", "load_folder", "picture_files", "random_crop", "uploads"]

A = TypeVar("A")
B = TypeVar("B")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
"""Of picture files in folders of photos."""

Pixels = NDArray[np.uint8]
# Between which bounds the steps of a ladder are drawn; the first is the clean photo.
SEVERITIES = ((0.0, 0.0), (0.12, 0.45), (0.45, 0.8), (0.8, 1.0))
# What a network learns last from these ladders is drawn that many times as often.
WEIGHTS = {"darken": 3, "overexpose": 3, "colour_cast": 3, "impulse_noise": 2, "grain": 2, "pixelate": 3}
HOLD_OUT = 8
DEVELOPED = frozenset({"camera_noise"})
"""Kinds whose severity 0 is no photo as it is, but one that was developed anew without a defect."""


@dataclass(frozen=True)
class Ladder:
    """One crop of one photo at rising severities: ``inputs`` is S x 3 x H x W, ``severities`` has S values from 0 to 1."""

    kind: str
    inputs: NDArray[np.float32]
    severities: tuple[float, ...]


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


def uploads(photo: Pixels, kind: str, severities: Sequence[float], rng: np.random.Generator, longest: int) -> list[Pixels]:
    """``photo`` under ``kind`` at every severity, made the way uploads are, at serving size.

    It is distorted at some upload size, coded as a JPEG, and only then shrunk: noise that is averaged by shrinking looks
    different from noise that is not, and both must score low. Every severity makes the same random choices (the angle of a
    blur, the hue of a cast). In half of the ladders of ``DEVELOPED`` kinds the photo, too, has been through the camera: else
    what its software does would be learnt in place of noise.
    """
    upload = fit_longest(photo, int(rng.integers(min(longest, max(photo.shape[:2])), max(photo.shape[:2]) + 1)))
    quality, choices = int(rng.integers(80, 97)), int(rng.integers(2**32))
    developed = kind in DEVELOPED and rng.random() < 0.5
    made = (DISTORTIONS[kind](upload, s, np.random.default_rng(choices)) if s or developed else upload for s in severities)
    return [fit_longest(coded(pixels, quality), longest) for pixels in made]


def ladder(photos: Sequence[Pixels], side: int, rng: np.random.Generator, longest: int = LONGEST_SIDE) -> Ladder:
    """A ladder of one random photo and distortion, as ``uploads``; the same crop is taken of every step.

    Crops far smaller than what is served teach nothing about exposure and colour: a network learns to be strict with crops and
    stays lenient with whole pictures.
    """
    photo = photos[int(rng.integers(len(photos)))]
    kinds = [kind for kind in DISTORTIONS for _ in range(WEIGHTS.get(kind, 1))]
    kind = kinds[int(rng.integers(len(kinds)))]
    severities = tuple(float(rng.uniform(*bounds)) for bounds in SEVERITIES)
    steps = uploads(photo, kind, severities, rng, longest)
    top, left = (int(rng.integers(0, max(1, size - side + 1))) for size in steps[0].shape[:2])
    return Ladder(kind, np.concatenate([normalise(window(step, side, top, left)) for step in steps]), severities)
