"""Pictures made by code."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]


def photo(width: int = 640, height: int = 480, seed: int = 0) -> Image.Image:
    """Something with the statistics of a photo: shapes with shading and texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    canvas = np.stack([120 + 60 * np.sin(x / 90 + k) + 40 * np.cos(y / 70 - k) for k in range(3)], axis=2)
    for _ in range(12):
        cx, cy, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.05, 0.25) * height
        inside = (x - cx) ** 2 + (y - cy) ** 2 < r**2
        canvas[inside] = 0.3 * canvas[inside] + 0.7 * rng.uniform(20, 235, 3)
    canvas += rng.normal(0, 4, canvas.shape)
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def corners(width: int = 64, height: int = 48) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right: shows how a picture was turned."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=(255, 0, 0))
    draw.rectangle((width // 2, 0, width - 1, height // 2 - 1), fill=(0, 255, 0))
    draw.rectangle((0, height // 2, width // 2 - 1, height - 1), fill=(0, 0, 255))
    return image


def page(lines: list[str], size: tuple[int, int] = (900, 640), font: int = 40) -> Image.Image:
    """Dark lines on light paper."""
    image = Image.new("RGB", size, (246, 242, 230))
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((size[0] / 2, 60 + row * font * 1.8), line, font=ImageFont.load_default(font), fill=(30, 30, 40), anchor="mm")
    return image


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(image: Image.Image) -> Pixels:
    """H x W x 3, uint8."""
    return np.asarray(image.convert("RGB"), dtype=np.uint8)
