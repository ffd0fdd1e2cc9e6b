"""From a decoded image of any mode to RGB rows, shrunk by a whole factor where it is large."""

from __future__ import annotations

import math

import cv2
import numpy as np
from PIL import Image

from worker.intake.backdrop import STRIP_ROWS, WHITE, backdrop
from worker.intake.header import SCALED_LONGEST, Pixels

__all__ = ["shrunk", "to_rgb"]


def to_rgb(image: Image.Image) -> Pixels:
    """RGB on a backdrop, shrunk by a whole factor if it is large; strip by strip: whole copies of a large picture add up."""
    factor, strip = _steps(image.size)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    if image.mode == "RGB" and not image.has_transparency_data:
        return shrunk(np.asarray(image, dtype=np.uint8))
    behind = backdrop(image) if image.has_transparency_data else WHITE
    parts = [
        _shrink(_strip_to_rgb(image.crop((0, top, image.width, min(top + strip, image.height))), behind), factor)
        for top in range(0, image.height, strip)
    ]
    return np.concatenate(parts)


def shrunk(pixels: Pixels) -> Pixels:
    """Shrunk by a whole factor if it is large."""
    height, width = pixels.shape[:2]
    factor, strip = _steps((width, height))
    if factor == 1:
        return pixels
    return np.concatenate([_shrink(pixels[top : top + strip], factor) for top in range(0, height, strip)])


def _steps(size: tuple[int, int]) -> tuple[int, int]:
    """The factor that a picture of this size is shrunk by, and a number of rows that it divides."""
    factor = max(1, max(size) // SCALED_LONGEST)
    return factor, max(1, STRIP_ROWS // factor) * factor


def _shrink(pixels: Pixels, factor: int) -> Pixels:
    if factor == 1:
        return pixels
    size = (math.ceil(pixels.shape[1] / factor), math.ceil(pixels.shape[0] / factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _strip_to_rgb(image: Image.Image, behind: tuple[int, int, int]) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        eight = np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8)
        return np.repeat(eight[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, (*behind, 255))
        image.alpha_composite(layer)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)
