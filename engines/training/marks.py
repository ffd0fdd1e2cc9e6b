"""What picture agencies put on pictures: a bar below with their name, or the name across all of it.

Uploads carry them on photos and drawings alike. An engine that saw them on drawings alone takes them for the sign of a drawing.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["marked"]

Pixels = NDArray[np.uint8]
SYLLABLES = (
    "al",
    "dre",
    "stock",
    "pix",
    "ta",
    "ge",
    "fo",
    "vec",
    "mo",
    "ri",
    "sha",
    "der",
    "im",
    "lo",
    "ta",
    "get",
    "ty",
    "123",
)
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
WHITE = (255, 255, 255)


def _name(rng: np.random.Generator) -> str:
    name = "".join(SYLLABLES[int(i)] for i in rng.integers(len(SYLLABLES), size=int(rng.integers(2, 4))))
    return name + (".com" if rng.random() < 0.5 else "")


def _bar(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    bar = np.empty((max(14, int(height * rng.uniform(0.05, 0.1))), width, 3), np.uint8)
    bar[:] = rng.integers(0, 256, 3)
    ink = WHITE if bar[0, 0].mean() < 140 else (20, 20, 20)
    size, thick = len(bar) / 45, max(1, len(bar) // 25)
    at = (int(rng.uniform(0.01, 0.3) * width), int(0.7 * len(bar)))
    cv2.putText(bar, _name(rng), at, FONTS[int(rng.integers(len(FONTS)))], size, ink, thick, cv2.LINE_AA)
    number = str(int(rng.integers(10**6, 10**9)))
    cv2.putText(bar, number, (int(0.72 * width), at[1]), FONTS[0], 0.6 * size, ink, thick, cv2.LINE_AA)
    return np.concatenate([pixels, bar])


def _across(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    reach = int(np.hypot(height, width)) + 2
    layer, name = np.zeros((reach, reach), np.uint8), _name(rng)
    size = reach * rng.uniform(0.0008, 0.002)
    across, down = int(reach * rng.uniform(0.18, 0.4)), int(reach * rng.uniform(0.08, 0.25))
    for row, y in enumerate(range(down // 2, reach, down)):
        for x in range(-(row % 2) * across // 2, reach, across):
            cv2.putText(layer, name, (x, y), FONTS[0], size, 255, max(1, round(2 * size)), cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((reach / 2, reach / 2), float(rng.uniform(-45, 45)), 1.0)
    turned = cv2.warpAffine(layer, turn, (reach, reach))[:height, :width, None].astype(np.float32) / 255
    share = turned * rng.uniform(0.15, 0.5)
    ink = 255.0 if rng.random() < 0.7 else 90.0
    return np.rint(pixels * (1 - share) + ink * share).astype(np.uint8)


def marked(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """RGB ``pixels`` (H x W x 3) with a bar below them (the result is higher then), a name across, or both."""
    which = rng.random()
    if which > 0.4:
        pixels = _across(pixels, rng)
    return _bar(pixels, rng) if which < 0.6 else pixels
