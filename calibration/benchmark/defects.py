"""Defects of the test split: made otherwise than those that engines are trained on, so that none is known by heart.

Most have relatives among the distortions of training: ``ghosts`` is a double exposure, ``torn_rows`` is interlacing, and
``cut_short`` and ``wobbling`` are distant ones of lost blocks and jitter. ``behind_glass`` and ``off_a_screen`` have none.

Each takes an RGB picture (H x W x 3, uint8), a severity from 0 to 1 (ruined), and a generator. Sizes in per cent are of the
longest side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from calibration.benchmark.drawing import Pixels, to_pixels

__all__ = ["TEST_DEFECTS", "Defect"]

Defect = Callable[[Pixels, float, np.random.Generator], Pixels]
"""Ruins a picture: severity 0-1."""
Planes = NDArray[np.integer[Any] | np.floating[Any]]
"""As OpenCV gives them."""


def shaken(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A camera that wanders: the path of a smooth random walk, up to 6 % long."""
    size = max(7, 2 * int(0.03 * severity * max(pixels.shape[:2])) + 1)
    turns = np.cumsum(np.cumsum(rng.normal(0, 0.02, 200)) + rng.uniform(-0.02, 0.02))
    path = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0)
    path = (path - path.min(axis=0)) / max(1e-6, float(np.ptp(path, axis=0).max())) * (size - 1)
    kernel = np.zeros((size, size), np.float32)
    np.add.at(kernel, tuple(np.rint(path).astype(int).T[::-1]), 1.0)
    return _filtered(pixels, cv2.GaussianBlur(kernel, (0, 0), 0.6))


def defocused(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Out of focus behind an aperture of six blades, turned at random; up to 2.2 % from its middle to a corner."""
    radius = max(2.0, 0.022 * severity * max(pixels.shape[:2]))
    size = 2 * int(np.ceil(radius)) + 1
    angles = rng.uniform(0, np.pi) + np.arange(6) * np.pi / 3
    corners = size / 2 + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    kernel = np.zeros((size, size), np.float32)
    cv2.fillPoly(kernel, [np.rint(corners * 16).astype(np.int32)], (1.0,), lineType=cv2.LINE_AA, shift=4)
    return _filtered(pixels, kernel)


def zoomed(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Something comes nearer while the shutter is open: up to a fifth larger, around a random place."""
    height, width = pixels.shape[:2]
    centre = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
    return _averaged(pixels, [cv2.getRotationMatrix2D(centre, 0, 1 + 0.2 * severity * step) for step in np.linspace(0, 1, 24)])


def spun(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """The camera turns: up to 12 degrees around a place near the middle."""
    height, width = pixels.shape[:2]
    centre = rng.uniform(0.4, 0.6) * width, rng.uniform(0.4, 0.6) * height
    return _averaged(pixels, [cv2.getRotationMatrix2D(centre, 12 * severity * step, 1) for step in np.linspace(-0.5, 0.5, 24)])


def passed_on(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Sent from phone to phone: six times shrunk, coded at ever poorer quality and enlarged again."""
    height, width = pixels.shape[:2]
    made = pixels
    for turn in range(1, 7):
        share = 1 - 0.7 * severity * turn / 6 * rng.uniform(0.9, 1.0)
        small = cv2.resize(made, (max(16, int(width * share)), max(16, int(height * share))), interpolation=cv2.INTER_LINEAR)
        quality = int(max(3, 60 * (1 - severity * turn / 6)))
        coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        seen = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
        made = np.asarray(cv2.resize(seen, (width, height)), dtype=np.uint8)
    return made


def smeared(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Denoised until nothing but patches is left: a median over some 5 % of the longest side."""
    size = 2 * max(1, int(rng.uniform(0.02, 0.03) * severity * max(pixels.shape[:2]))) + 1
    return np.asarray(cv2.medianBlur(pixels, size), dtype=np.uint8)


def night(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Hardly any light: three stops less and steeper tones, stripes of the sensor's rows, stains of colour."""
    height, width = pixels.shape[:2]
    dark = 255 * (pixels / 255.0) ** 1.4 * 2.0 ** (-3.2 * severity)
    rows = rng.normal(0, 5 * severity, (height, 1, 1))
    stains = cv2.resize(rng.normal(0, 9 * severity, (height // 6 + 1, width // 6 + 1, 3)), (width, height))
    return to_pixels(dark + rows + stains + rng.normal(0, 6 * severity, (height, width, 1)))


def hazy(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Fog or a steamed-up lens: up to 94 % of one grey, the rest soft."""
    soft = cv2.GaussianBlur(pixels, (0, 0), max(0.5, 0.006 * severity * max(pixels.shape[:2])))
    return to_pixels(soft * (1 - 0.94 * severity) + rng.uniform(150, 225) * 0.94 * severity)


def flashed(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A light in the lens: white from its place outwards over most of the picture."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot(x - rng.uniform(0.3, 0.7) * width, y - rng.uniform(0.3, 0.7) * height) / max(height, width)
    return to_pixels(pixels + 520 * severity * np.exp(-((away / (0.55 * severity + 0.05)) ** 2))[:, :, None])


def few_colours(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A palette of few colours, those that the picture has most of: from 64 down to 3."""
    colours = max(3, round(rng.uniform(48, 80) * (3 / 64) ** severity))
    image = Image.fromarray(pixels).quantize(colours)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def ghosts(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Exposed three times, moved by up to 6 % in between."""
    shift = 0.06 * severity * max(pixels.shape[:2])
    angle = rng.uniform(0, 2 * np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * shift
    return _averaged(pixels, [np.array([[1, 0, n * step[0]], [0, 1, n * step[1]]]) for n in (-1, 0, 1)])


def torn_rows(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A video frame between two fields: bands of rows lie up to 8 % aside."""
    made = pixels.copy()
    reach = max(1, int(0.08 * severity * pixels.shape[1]))
    for top in range(0, len(made), 4):
        made[top : top + 2] = np.roll(made[top : top + 2], int(rng.integers(reach // 2, reach + 1)), axis=1)
    return made


def one_hue(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Lit by one coloured lamp: two of the three channels are all but gone, and the third is blown out."""
    gains = np.full(3, 1 - 0.95 * severity)
    gains[rng.integers(3)] = 1 + 1.2 * severity
    return to_pixels(pixels * gains)


def wobbling(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A rolling shutter on a shaking mount: rows lie on a wave of up to 4 % of the width, 5 to 15 % of the height long."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turns = 2 * np.pi * (y / (rng.uniform(0.05, 0.15) * height) + rng.random())
    return _moved(pixels, x + 0.04 * severity * width * np.sin(turns), y)


def behind_glass(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Through patterned or wet glass: places move smoothly by up to some 3 % of the longest side, in grains of 2 to 4 %."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grain = max(3, int(rng.uniform(0.02, 0.04) * max(height, width)))
    size = height // grain + 2, width // grain + 2
    reach = 0.015 * severity * max(height, width)
    away = [cv2.resize(rng.normal(0, reach, size), (width, height), interpolation=cv2.INTER_CUBIC) for _ in range(2)]
    return _moved(pixels, x + away[0], y + away[1])


def off_a_screen(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """Photographed off a monitor: rainbow moire of two grids that hardly differ, a dark bar of its refresh, pale tones."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, pitch = rng.uniform(0.02, 0.15), rng.uniform(0.015, 0.04) * max(height, width)
    across = 2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / pitch
    bent = across + 2.5 * np.sin(2 * np.pi * y / (0.4 * height) + rng.uniform(0, 6))
    waves = np.stack([np.sin(bent), np.sin(bent + 2.1), np.sin(bent + 4.2)], axis=2) * np.sin(across * 0.9)[:, :, None]
    bar = np.exp(-(((y / height - rng.random()) / 0.12) ** 2))[:, :, None]
    pale = pixels * (1 - 0.35 * severity) + 70 * severity
    return to_pixels(pale * (1 + 0.55 * severity * waves) * (1 - 0.6 * severity * bar))


def cut_short(pixels: Pixels, severity: float, rng: np.random.Generator) -> Pixels:
    """A JPEG that broke off: what lies below, up to 80 % of the picture, is grey."""
    made = pixels.copy()
    made[int(len(made) * (1 - severity * rng.uniform(0.6, 0.8))) :] = 128
    return made


TEST_DEFECTS: Mapping[str, Defect] = {
    defect.__name__: defect
    for defect in (
        shaken, defocused, zoomed, spun, passed_on, smeared, night, hazy, flashed, few_colours, ghosts, torn_rows, one_hue,
        wobbling, behind_glass, off_a_screen, cut_short,
    )
}  # fmt: skip


def _filtered(pixels: Pixels, kernel: Planes) -> Pixels:
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), dtype=np.uint8)


def _moved(pixels: Pixels, x: Planes, y: Planes) -> Pixels:
    """``pixels`` seen at the places ``x``, ``y`` (H x W each)."""
    seen = cv2.remap(pixels, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, dtype=np.uint8)


def _averaged(pixels: Pixels, moves: Sequence[Planes]) -> Pixels:
    """The mean of ``pixels`` after each of ``moves`` (2 x 3)."""
    size = pixels.shape[1], pixels.shape[0]
    seen = [cv2.warpAffine(pixels, move, size, borderMode=cv2.BORDER_REFLECT) for move in moves]
    return to_pixels(np.mean(np.stack(seen, dtype=np.float32), axis=0))
