"""What recruiters upload, made by code: the calibration benchmark's kinds and proportions, in the sizes of real uploads.

Pictures are 500 to 4,000 pixels long, JPEG for the most part. Those that are enlarged get the grain of a sensor, else their
files would be far smaller than a camera's, and cheaper to decode. Photos come from folders; without any the drawn ones of the
tests stand in, which are easier for every stage: the result says which.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from calibration.benchmark.build import Recipe, build_benchmark
from calibration.benchmark.drawing import FONT_FOLDERS, find_fonts
from calibration.benchmark.sources import find_sources, guess_roles
from calibration.labels import load_labels
from engines.training.distortions import DISTORTIONS
from tests.sources import make_sources

__all__ = ["SHAPES", "Upload", "make_mix"]

SHORTEST, LONGEST = 500, 4000
SHAPES = {".jpg": 0.88, ".png": 0.07, ".webp": 0.05}
"""Shares of formats."""
GRAIN = 4.0
"""Deviation of the grain at full resolution, of 255."""
LARGEST_PNG = 1600
"""Screenshots and logos: nobody uploads a photo of twelve megapixels as a PNG."""


@dataclass(frozen=True)
class Upload:
    """One picture: its file, and how large it is."""

    path: Path
    width: int
    height: int


def make_mix(out: Path, count: int, photos: Sequence[Path] = (), seed: int = 1) -> list[Upload]:
    """Write ``count`` pictures to ``out``; those that are there already are taken as they are.

    ``photos``: folders of photos, or of folders by role, as ``iqa calibrate benchmark`` takes them.
    """
    files = sorted(out.glob("[0-9]*.*"))
    if len(files) != count:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            made = _benchmark(Path(folder), count, photos, seed)
            with ProcessPoolExecutor() as pool:
                files = list(pool.map(_written, made, range(count), [out] * count, [seed] * count))
    return [_measured(path) for path in files]


def _benchmark(folder: Path, count: int, photos: Sequence[Path], seed: int) -> list[Path]:
    """Labelled pictures of every kind, those of both splits mixed."""
    if not photos:
        make_sources(folder / "sources")
        photos = [folder / "sources"]
    sources = find_sources([entry for path in photos for entry in guess_roles(path)])
    table = build_benchmark(Recipe(sources, find_fonts(FONT_FOLDERS), DISTORTIONS, count, seed), folder / "made")
    paths = [row.file for row in load_labels(table) if row.kind not in {"opinions", "text"}]
    return [paths[index] for index in np.random.default_rng(seed).permutation(len(paths))]


def _written(path: Path, number: int, out: Path, seed: int) -> Path:
    rng = np.random.default_rng([seed, number])
    pixels = np.asarray(cv2.imread(str(path)), dtype=np.uint8)
    kind = str(rng.choice(list(SHAPES), p=list(SHAPES.values())))
    most = LARGEST_PNG if kind == ".png" else LONGEST
    longest = int(np.exp(rng.uniform(np.log(SHORTEST), np.log(most))))
    factor = longest / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    seen = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    if factor > 1 and kind != ".png":
        seen = np.clip(seen + rng.normal(0, GRAIN, (*seen.shape[:2], 1)).astype(np.float32), 0, 255).astype(np.uint8)
    target = out / f"{number:05}{kind}"
    quality = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}.get(kind)
    cv2.imwrite(str(target), seen, [quality, int(rng.integers(75, 95))] if quality else [])
    return target


def _measured(path: Path) -> Upload:
    shape: tuple[int, ...] = np.asarray(cv2.imread(str(path)), dtype=np.uint8).shape
    return Upload(path, shape[1], shape[0])
