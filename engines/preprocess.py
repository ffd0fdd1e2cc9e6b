"""Deterministic preprocessing of the quality engine, the same in training and in serving.

A picture is shrunk (never enlarged) until its longest side is at most so many pixels (384 in training), aspect ratio kept, by
area averaging; then padded on the right and bottom with its own edge pixels until both sides are at least ``SHORTEST_SIDE``;
then scaled to 0-1, normalised with ImageNet's mean and deviation, and laid out as 1 x 3 x H x W. No crops, no randomness.

Any change here changes scores: raise ``QUALITY_PREPROCESSING`` with it, since the fingerprint of a verdict covers it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LONGEST_SIDE",
    "QUALITY_PREPROCESSING",
    "SHORTEST_SIDE",
    "fit_longest",
    "normalise",
    "pad_to_least",
    "quality_input",
]

QUALITY_PREPROCESSING = "longest-area-pad64@2"
LONGEST_SIDE = 384
SHORTEST_SIDE = 64
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Pixels = NDArray[np.uint8]


def fit_longest(pixels: Pixels, longest: int) -> Pixels:
    """Shrink ``pixels`` (H x W x 3) until the longest side is at most ``longest``; smaller pictures come back as they are."""
    height, width = pixels.shape[:2]
    side = max(height, width)
    if side <= longest:
        return pixels
    size = (max(1, round(width * longest / side)), max(1, round(height * longest / side)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def pad_to_least(pixels: Pixels, shortest: int) -> Pixels:
    """Repeat the right and bottom edge of ``pixels`` (H x W x 3) until both sides are at least ``shortest``."""
    height, width = pixels.shape[:2]
    if height >= shortest and width >= shortest:
        return pixels
    return np.pad(pixels, ((0, max(0, shortest - height)), (0, max(0, shortest - width)), (0, 0)), mode="edge")


def normalise(
    pixels: NDArray[Any],
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> NDArray[np.float32]:
    """Turn H x W x C uint8 into 1 x C x H x W float32: divided by 255, minus ``mean``, over ``std`` per channel."""
    scale = (1.0 / (255.0 * np.asarray(std))).astype(np.float32)
    shift = (np.asarray(mean) / np.asarray(std)).astype(np.float32)
    planes = np.empty((1, pixels.shape[2], *pixels.shape[:2]), np.float32)
    # Channel by channel, straight from the bytes: a sixth of the time that three planes of floats to begin with take.
    for channel in range(pixels.shape[2]):
        np.multiply(pixels[:, :, channel], scale[channel], out=planes[0, channel], dtype=np.float32)
        planes[0, channel] -= shift[channel]
    return planes


def quality_input(pixels: Pixels, longest: int = LONGEST_SIDE) -> NDArray[np.float32]:
    """The quality network's input, 1 x 3 x H x W float32, for one RGB picture (H x W x 3, uint8)."""
    return normalise(pad_to_least(fit_longest(pixels, longest), SHORTEST_SIDE))
