"""Synthetic defects with a documented severity, for training and for tests.

Every distortion takes an RGB picture (H x W x 3, uint8), a severity from 0 (nothing visible) to 1 (ruined), and a generator
for its random parts, and returns a picture of the same shape. Sizes of blurs are relative to the longest side, so that a
severity means the same on every picture.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["DISTORTIONS", "Distortion"]

Pixels = NDArray[np.uint8]
Distortion = Callable[[Pixels, float, np.random.Generator], Pixels]


def _to_pixels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def gaussian_blur(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Gaussian blur; sigma grows to 1.5 % of the longest side (6 px at 384)."""
    sigma = max(1e-3, 0.015 * severity * max(pixels.shape[:2]))
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def lens_blur(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Out of focus: a disc whose radius grows to 2 % of the longest side."""
    radius = 0.02 * severity * max(pixels.shape[:2])
    size = 2 * int(np.ceil(radius)) + 1
    y, x = np.mgrid[:size, :size] - size // 2
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), dtype=np.uint8)


def motion_blur(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A shaken camera: a line of up to 6 % of the longest side, at a random angle."""
    length = max(1.0, 0.06 * severity * max(pixels.shape[:2]))
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    angle, centre = rng.uniform(0, np.pi), size // 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = [tuple(int(v) for v in np.rint(centre + sign * reach)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_AA)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), dtype=np.uint8)


def gaussian_noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Sensor noise; the deviation grows to 70 of 255."""
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    return _to_pixels(pixels + 70.0 * severity * noise)


def jpeg(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """JPEG compression; quality falls from 95 to 3 (geometric)."""
    quality = round(95.0 * (3.0 / 95.0) ** severity)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if decoded is None:
        raise ValueError("the picture cannot be JPEG coded: it must be H x W x 3 uint8")
    return np.asarray(decoded, dtype=np.uint8)


def darken(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Under-exposure by up to 4.5 stops in linear light, with the noise of a sensor that sees little."""
    gain = 2.0 ** (-4.5 * severity)
    linear = (pixels / 255.0) ** 2.2 * gain
    noise = 4.0 * severity * rng.standard_normal(pixels.shape, dtype=np.float32)
    return _to_pixels(255.0 * linear ** (1 / 2.2) + noise)


def overexpose(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Over-exposure by up to 3.5 stops in linear light; highlights clip."""
    linear = (pixels / 255.0) ** 2.2 * 2.0 ** (3.5 * severity)
    return _to_pixels(255.0 * np.clip(linear, 0, 1) ** (1 / 2.2))


def flatten_contrast(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Contrast lost by up to 92 %, around the picture's own mean."""
    mean = pixels.mean(axis=(0, 1), keepdims=True)
    return _to_pixels(mean + (pixels - mean) * (1.0 - 0.92 * severity))


def pixelate(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Enlarged from a thumbnail: blocks grow to 4 % of the longest side."""
    height, width = pixels.shape[:2]
    block = max(1.0, 0.04 * severity * max(height, width))
    size = (max(1, round(width / block)), max(1, round(height / block)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


DISTORTIONS: dict[str, Distortion] = {
    "gaussian_blur": gaussian_blur,
    "lens_blur": lens_blur,
    "motion_blur": motion_blur,
    "gaussian_noise": gaussian_noise,
    "jpeg": jpeg,
    "darken": darken,
    "overexpose": overexpose,
    "flatten_contrast": flatten_contrast,
    "pixelate": pixelate,
}
