"""Synthetic defects with a documented severity, for training and for tests.

Every distortion takes an RGB picture (H x W x 3, uint8), a severity from 0 (nothing visible) to 1 (ruined), and a generator
for its random parts, and returns a picture of the same shape. Each docstring gives the scale. Sizes of blurs and blocks are
relative to the longest side, so that a severity means the same on every picture. The kinds are those of TID2013 (Ponomarenko
et al., 2015) and KADID-10k (Lin et al., 2019) that phones, apps and scanners make, and what video and broken files add.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.training.camera import camera_noise

__all__ = ["DISTORTIONS", "Distortion", "coded"]

Pixels = NDArray[np.uint8]
Distortion = Callable[[Pixels, float, np.random.Generator], Pixels]
GAMMA = 2.2


def _to_pixels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def coded(pixels: Pixels, quality: int, extension: str = ".jpg") -> Pixels:
    """RGB ``pixels`` after a round through JPEG or WebP (``extension``) at ``quality`` (1-100).

    Raises:
        ValueError: ``pixels`` is not H x W x 3 uint8.

    """
    flag = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}[extension]
    done, data = cv2.imencode(extension, np.ascontiguousarray(pixels[:, :, ::-1]), [flag, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if done else None
    if decoded is None:
        raise ValueError(f"the picture cannot be coded as {extension}: it must be H x W x 3 uint8")
    return np.ascontiguousarray(decoded[:, :, ::-1], dtype=np.uint8)


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
    """Sensor noise, each channel alone; the deviation grows to 70 of 255."""
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    return _to_pixels(pixels + 70.0 * severity * noise)


def grain(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Noise in brightness alone, in grains of 1-3 px, as old films have it; the deviation grows to 70 of 255."""
    height, width = pixels.shape[:2]
    size = int(rng.integers(1, 4))
    coarse = rng.standard_normal((-(-height // size), -(-width // size), 1), dtype=np.float32)
    noise = coarse.repeat(size, axis=0).repeat(size, axis=1)[:height, :width]
    return _to_pixels(pixels + 70.0 * severity * noise)


def shot_noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Too few photons: Poisson noise, from 2,000 for white (hardly visible) down to 4."""
    photons = 2000.0 * (4.0 / 2000.0) ** severity
    return _to_pixels(rng.poisson(pixels / 255.0 * photons) * (255.0 / photons))


def impulse_noise(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Salt and pepper: up to 25 % of all pixels are black or white."""
    draw = rng.random(pixels.shape[:2], dtype=np.float32)
    share = 0.25 * severity
    noisy = pixels.copy()
    noisy[draw < share / 2] = 0
    noisy[draw > 1 - share / 2] = 255
    return noisy


def jpeg(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """JPEG compression; quality falls from 95 to 3 (geometric)."""
    return coded(pixels, round(95.0 * (3.0 / 95.0) ** severity))


def webp(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """WebP of a picture shrunk by up to 4 and enlarged again: quality falls from 95 to 1 (geometric)."""
    height, width = pixels.shape[:2]
    quality = max(1, round(95.0 * (1.0 / 95.0) ** severity))
    # WebP's worst is mild beside JPEG's: thumbnail services get to ruin by shrinking as well.
    share = 1.0 - 0.75 * severity
    size = (max(16, round(width * share)), max(16, round(height * share)))
    small = coded(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), quality, ".webp")
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def darken(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Under-exposure by up to 4.5 stops in linear light, with the noise of a sensor that sees little."""
    gain = 2.0 ** (-4.5 * severity)
    linear = (pixels / 255.0) ** GAMMA * gain
    noise = 4.0 * severity * rng.standard_normal(pixels.shape, dtype=np.float32)
    return _to_pixels(255.0 * linear ** (1 / GAMMA) + noise)


def overexpose(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Over-exposure by up to 3.5 stops in linear light; highlights clip."""
    linear = (pixels / 255.0) ** GAMMA * 2.0 ** (3.5 * severity)
    return _to_pixels(255.0 * np.clip(linear, 0, 1) ** (1 / GAMMA))


def flatten_contrast(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Contrast lost by up to 92 %, around the picture's own mean."""
    mean = pixels.mean(axis=(0, 1), keepdims=True)
    return _to_pixels(mean + (pixels - mean) * (1.0 - 0.92 * severity))


def colour_cast(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A wrong white balance: channels gain and lose up to 3 stops in linear light, towards a random hue."""
    angle = rng.uniform(0, 2 * np.pi)
    stops = 3.0 * severity * np.cos(angle + np.array([0.0, 2.0, 4.0]) * np.pi / 3)
    linear = (pixels / 255.0) ** GAMMA * 2.0**stops
    return _to_pixels(255.0 * np.clip(linear, 0, 1) ** (1 / GAMMA))


def pixelate(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Enlarged from a thumbnail: blocks grow to 4 % of the longest side."""
    height, width = pixels.shape[:2]
    block = max(1.0, 0.04 * severity * max(height, width))
    size = (max(1, round(width / block)), max(1, round(height / block)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def banding(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Too few tones: levels per channel fall from 64 to 2 (geometric)."""
    levels = 64.0 * (2.0 / 64.0) ** severity
    step = 255.0 / (max(2, round(levels)) - 1)
    return _to_pixels(np.rint(pixels / step) * step)


def double_exposure(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """The same scene twice: a second exposure of up to half the light, up to 8 % aside and up to 6 % larger."""
    height, width = pixels.shape[:2]
    angle, larger = rng.uniform(0, 2 * np.pi), 1 + 0.06 * severity * rng.random()
    shift = severity * rng.uniform(0.04, 0.08) * max(height, width)
    move = cv2.getRotationMatrix2D((width / 2, height / 2), 0, larger)
    move[:, 2] += shift * np.cos(angle), shift * np.sin(angle)
    second = cv2.warpAffine(pixels, move, (width, height), borderMode=cv2.BORDER_REFLECT)
    share = 0.25 + 0.25 * severity
    return _to_pixels(pixels * (1 - share) + second.astype(np.float32) * share)


def interlacing(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A video frame of something that moved: every other line, of one to four rows, lies up to 5 % aside."""
    rows = int(rng.integers(1, 5))
    shift = round(severity * rng.uniform(0.025, 0.05) * pixels.shape[1]) * int(rng.choice((-1, 1)))
    moved = np.roll(pixels, shift, axis=1)
    second = (np.arange(len(pixels)) // rows % 2).astype(bool)
    return np.where(second[:, None, None], moved, pixels)


def jitter(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Pixels out of place, each alone or each row as a whole: by up to 1.5 % of the longest side, or 3 % of the width."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if rng.random() < 0.5:
        x += (rng.uniform(-0.03, 0.03, (height, 1)) * severity * width).astype(np.float32)
    else:
        away = 0.015 * severity * max(height, width)
        x += rng.uniform(-away, away, x.shape).astype(np.float32)
        y += rng.uniform(-away, away, y.shape).astype(np.float32)
    return np.asarray(cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), dtype=np.uint8)


def lost_blocks(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A broken file or a lossy line: up to 45 % of the blocks, in runs, are grey, from elsewhere or of a wrong tone."""
    made = pixels.copy()
    block = max(4, int(rng.uniform(0.02, 0.06) * max(pixels.shape[:2])))
    rows, columns = -(-pixels.shape[0] // block), -(-pixels.shape[1] // block)
    order = rng.permutation(rows * columns // 4 + 1)
    for start in order[: round(0.45 * severity * len(order))] * 4:
        harm, tone = int(rng.integers(3)), rng.integers(-110, 111, 3)
        for number in range(start, min(start + 4, rows * columns)):
            top, left = number // columns * block, number % columns * block
            part = made[top : top + block, left : left + block]
            height, width = part.shape[:2]
            y, x = int(rng.integers(pixels.shape[0] - height + 1)), int(rng.integers(pixels.shape[1] - width + 1))
            wrong = (128, pixels[y : y + height, x : x + width], np.clip(part + tone, 0, 255))
            part[:] = wrong[harm]
    return made


def palette(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Few colours in a fixed pattern of dots (ordered dither): levels per channel fall from 24 to 2 (geometric)."""
    levels = max(2, round(24.0 * (2.0 / 24.0) ** severity))
    size = int(rng.integers(1, 3))
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]).repeat(size, 0).repeat(size, 1)
    height, width = pixels.shape[:2]
    repeats = -(-height // len(bayer)), -(-width // len(bayer))
    dots = np.tile((bayer + 0.5) / 16 - 0.5, repeats)[:height, :width, None]
    step = 255.0 / (levels - 1)
    return _to_pixels(np.rint(pixels / step + dots) * step)


def channel_shift(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Red and blue beside green: moved apart by up to 2.5 % of the longest side, at a random angle."""
    angle, made = rng.uniform(0, 2 * np.pi), pixels.copy()
    shift = 0.025 * severity * max(pixels.shape[:2])
    for channel, sign in ((0, 1), (2, -1)):
        move = np.array([[1, 0, sign * shift * np.cos(angle)], [0, 1, sign * shift * np.sin(angle)]])
        size = pixels.shape[1], pixels.shape[0]
        made[:, :, channel] = cv2.warpAffine(pixels[:, :, channel], move, size, borderMode=cv2.BORDER_REFLECT)
    return made


SINGLE: dict[str, Distortion] = {
    "gaussian_blur": gaussian_blur,
    "lens_blur": lens_blur,
    "motion_blur": motion_blur,
    "gaussian_noise": gaussian_noise,
    "grain": grain,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "jpeg": jpeg,
    "webp": webp,
    "darken": darken,
    "overexpose": overexpose,
    "flatten_contrast": flatten_contrast,
    "colour_cast": colour_cast,
    "pixelate": pixelate,
    "banding": banding,
    "double_exposure": double_exposure,
    "interlacing": interlacing,
    "jitter": jitter,
    "lost_blocks": lost_blocks,
    "palette": palette,
    "channel_shift": channel_shift,
}
# In the order in which light, lens, sensor and coder do their harm.
CHAINS = (
    ("motion_blur", "gaussian_noise", "jpeg"),
    ("darken", "shot_noise", "jpeg"),
    ("lens_blur", "overexpose", "webp"),
    ("gaussian_blur", "flatten_contrast", "jpeg"),
    ("colour_cast", "gaussian_noise", "jpeg"),
)


def several(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Three defects one after the other, a random chain of ``CHAINS``, each at 0.65 of the severity."""
    for kind in CHAINS[int(rng.integers(len(CHAINS)))]:
        pixels = SINGLE[kind](pixels, 0.65 * severity, rng)
    return pixels


DISTORTIONS: dict[str, Distortion] = SINGLE | {"several": several, "camera_noise": camera_noise}
