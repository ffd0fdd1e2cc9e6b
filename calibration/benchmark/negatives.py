"""Hard negatives: good photos that a careless rule would bring down."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from calibration.benchmark.drawing import Colour, Fonts, Pixels, pick, text_box, to_pixels, write
from calibration.benchmark.texts import Lines

__all__ = ["PLAIN", "STRONG", "sign", "wall"]

_BOARDS: tuple[tuple[Colour, Colour], ...] = (
    ((20, 90, 60), (255, 255, 255)),
    ((245, 245, 240), (30, 30, 36)),
    ((150, 24, 30), (255, 240, 200)),
    ((24, 50, 110), (255, 255, 255)),
)


def sign(photo: Pixels, lines: Lines, fonts: Fonts, rng: np.random.Generator) -> Pixels:
    """A board with one of ``lines`` (Chinese, English) in a good photo: 18-34 % of its width."""
    # At its own size: a photo that is enlarged to make room for a sign is no longer a good one.
    image = Image.fromarray(photo)
    width, height = image.size
    chinese = bool(rng.random() < 0.5)
    text, face = pick(rng, lines.of(chinese=chinese)), fonts.choose(rng, chinese=chinese)
    board, ink = pick(rng, _BOARDS)
    wanted, size = rng.uniform(0.18, 0.34) * width, 60
    size = max(14, min(int(size * wanted / text_box(face, size, text)[2]), height // 12))
    left, top, right, bottom = text_box(face, size, text)
    half = np.array([(right - left) / 2 + 0.5 * size, (bottom - top) / 2 + 0.4 * size])
    low, high = half + 4, np.maximum(half + 5, np.array([width, height]) - half - 4)
    x, y = rng.uniform(low, high)
    ImageDraw.Draw(image).rectangle((x - half[0], y - half[1], x + half[0], y + half[1]), fill=board)
    write(image, (x, y), text, face, size, ink)
    return np.asarray(image, dtype=np.uint8)


PLAIN: tuple[Colour, ...] = (
    (226, 222, 214),
    (240, 240, 238),
    (206, 216, 224),
    (150, 190, 230),
    (120, 170, 220),
    (232, 222, 200),
)
"""Walls and skies."""
STRONG: tuple[Colour, ...] = ((196, 30, 40), (20, 96, 170), (12, 130, 90), (238, 160, 30), (110, 40, 130), (220, 90, 30))
"""A painted wall, a curtain, a counter's front."""


def wall(photo: Pixels, colour: Colour, rng: np.random.Generator) -> Pixels:
    """A wall or sky of ``colour`` in even light over 45-62 % of the picture, above what the photo shows."""
    height, width = photo.shape[:2]
    scene = photo.astype(np.float32)
    edge = round(rng.uniform(0.45, 0.62) * height)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    # Light falls off along a wall, it has some texture, and a sensor adds noise.
    angle = rng.uniform(0, 2 * np.pi)
    slope = 1 + rng.uniform(0.08, 0.25) * (np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5))
    texture = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), float(rng.uniform(1, 3)))
    texture = texture * (rng.uniform(1.0, 3.0) / max(1e-6, float(texture.std())))
    wall = np.array(colour, np.float32) * slope[:, :, None] + texture[:, :, None]
    wall += rng.normal(0, rng.uniform(0.8, 2.2), wall.shape)
    # What stands before the wall: the photo's own lower part, its outline softened over a few pixels.
    share = np.clip((y - edge) / 3 + 0.5, 0, 1)[:, :, None]
    return to_pixels(scene * share + wall * (1 - share))
