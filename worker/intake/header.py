"""What intake knows of a picture before and after it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SCALED_LONGEST", "Header", "Picture", "Pixels"]

Pixels = NDArray[np.uint8]
"""H x W x 3, RGB."""

SCALED_LONGEST = 1000
"""Pictures at least twice as long are decoded, or shrunk, by a whole factor to no less than this."""


@dataclass(frozen=True)
class Header:
    """What a file says about its picture before anything is decoded; width and height as stored, before rotation."""

    format: str
    width: int
    height: int
    mode: str
    orientation: int


@dataclass(frozen=True)
class Picture:
    """Decoded pixels.

    Attributes:
        pixels: H x W x 3, uint8, RGB, upright; at most 2,000 on the longest side.
        width: as uploaded, upright, in pixels.
        height: as uploaded, upright, in pixels.
        format: of the file, one of ``worker.intake.recognise.FORMATS``.

    """

    pixels: Pixels
    width: int
    height: int
    format: str
