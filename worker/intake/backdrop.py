"""What lies behind transparent pixels: white, as on a page, unless what is drawn would not show on it."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["DARK", "STRIP_ROWS", "WHITE", "backdrop"]

WHITE = (255, 255, 255)
DARK = (64, 64, 64)
OPAQUE = 128
"""Alpha from which on a pixel counts as drawn."""
LIGHT = 224
"""Luminance that hardly shows on white."""
SHARE = 0.01
"""Of the drawn pixels that may be darker than that: seams and shadows."""
STRIP_ROWS = 1024
"""Rows that are converted at a time."""


def backdrop(image: Image.Image) -> tuple[int, int, int]:
    """The colour, RGB, to lay ``image`` on: ``DARK`` where nearly all that is drawn is white or nearly so."""
    drawn = dark = clear = 0
    for top in range(0, image.height, STRIP_ROWS):
        part = image.crop((0, top, image.width, min(top + STRIP_ROWS, image.height))).convert("LA")
        values = np.asarray(part)
        opaque = values[:, :, 1] >= OPAQUE
        drawn += int(opaque.sum())
        clear += int((values[:, :, 1] < OPAQUE).sum())
        dark += int((opaque & (values[:, :, 0] < LIGHT)).sum())
    # A picture without a transparent pixel needs no backdrop; one with nothing drawn is white.
    return DARK if clear and drawn and dark <= SHARE * drawn else WHITE
