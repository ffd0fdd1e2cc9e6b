"""Training pictures: CLIVE with its opinion scores, and sharp photos for distortion ladders."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preprocess import LONGEST_SIDE, fit_longest, normalise
from engines.training.distortions import DISTORTIONS

__all__ = ["Ladder", "Rated", "coded", "ladder", "load_clive", "load_folder", "random_crop", "read_rgb"]

Pixels = NDArray[np.uint8]
SEVERITIES = (0.0, 0.35, 0.65, 1.0)
# What a network learns last from these ladders is drawn twice as often.
HARD = ("gaussian_noise", "darken", "overexpose")


@dataclass(frozen=True)
class Rated:
    """A picture with its mean opinion score (0-100)."""

    name: str
    pixels: Pixels
    opinion: float


@dataclass(frozen=True)
class Ladder:
    """One crop of one photo at rising severities: ``inputs`` is S x 3 x H x W, ``severities`` has S values from 0 to 1."""

    kind: str
    inputs: NDArray[np.float32]
    severities: tuple[float, ...]


def read_rgb(path: Path) -> Pixels:
    """The upright RGB picture in ``path`` (H x W x 3); ``ValueError`` names a file that cannot be read."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{path} cannot be decoded")
    return np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)


def load_clive(root: Path, split: str) -> list[Rated]:
    """The photos of ``split`` (train or val) from ``root/labels.csv`` and ``root/images``."""
    with (root / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    if not rows:
        raise ValueError(f"{root / 'labels.csv'} has no rows of split {split!r}")
    return [Rated(r["file"], read_rgb(root / "images" / r["file"]), float(r["mos"])) for r in rows]


def load_folder(root: Path, longest: int = 900) -> list[Pixels]:
    """Every picture directly below ``root`` in name order, shrunk to ``longest``."""
    paths = sorted(p for p in root.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    return [fit_longest(read_rgb(path), longest) for path in paths]


def random_crop(pixels: Pixels, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """1 x 3 x side x side: near serving size (8 % jitter), mirrored half of the time, cropped at random."""
    scaled = fit_longest(pixels, round(LONGEST_SIDE * rng.uniform(0.92, 1.08)))
    height, width = scaled.shape[:2]
    pad = ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0))
    scaled = np.pad(scaled, pad, mode="symmetric")
    top, left = (int(rng.integers(0, max(1, size - side + 1))) for size in scaled.shape[:2])
    crop = scaled[top : top + side, left : left + side]
    return normalise(crop[:, ::-1] if rng.random() < 0.5 else crop)


def ladder(photos: Sequence[Pixels], side: int, rng: np.random.Generator) -> Ladder:
    """A ladder of one random photo and distortion, made the way uploads are.

    The photo is distorted at some upload size, coded as a JPEG, and only then shrunk to serving size: noise that is averaged
    by shrinking looks different from noise that is not, and both must score low. The same crop is taken of every step.
    """
    photo = photos[int(rng.integers(len(photos)))]
    upload = fit_longest(photo, int(rng.integers(LONGEST_SIDE, max(LONGEST_SIDE, *photo.shape[:2]) + 1)))
    kind = str(rng.choice([*DISTORTIONS, *HARD]))
    severities = tuple(float(np.clip(s + rng.uniform(-0.1, 0.1), 0.1, 1)) if s else 0.0 for s in SEVERITIES)
    quality = int(rng.integers(80, 97))
    steps = [fit_longest(coded(DISTORTIONS[kind](upload, s, rng) if s else upload, quality), LONGEST_SIDE) for s in severities]
    top, left = (int(rng.integers(0, max(1, size - side + 1))) for size in steps[0].shape[:2])
    window = np.s_[top : top + side, left : left + side]
    return Ladder(kind, np.concatenate([normalise(step[window]) for step in steps]), severities)


def coded(pixels: Pixels, quality: int) -> Pixels:
    """``pixels`` after a round through JPEG at ``quality`` (1-100)."""
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    return pixels if decoded is None else np.asarray(decoded, dtype=np.uint8)
