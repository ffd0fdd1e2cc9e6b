"""Plain backgrounds are told from photos."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from calibration.background import measure_background
from tests.pictures import photo, pixels


@pytest.mark.parametrize("colour", [(255, 255, 255), (20, 60, 160), (0, 0, 0)])
def test_drawing_on_one_colour(colour: tuple[int, int, int]) -> None:
    """Most of the picture, all of the frame, smooth, and sharp where the drawing begins."""
    image = Image.new("RGB", (500, 400), colour)
    ImageDraw.Draw(image).ellipse((180, 130, 320, 270), fill=(230, 140, 20))
    seen = measure_background(pixels(image))
    assert seen.share == pytest.approx(1 - np.pi * 70**2 / 200_000, abs=0.03)
    assert seen.border_share == 1.0
    assert seen.roughness < 0.5
    assert seen.edge > 10


def test_drawing_that_fills_the_frame() -> None:
    """A mark cropped to its edges leaves little of the frame, but has few colours, and flat ones."""
    image = Image.new("RGB", (400, 300), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 40, 399, 260), fill=(200, 30, 40))
    draw.ellipse((120, 60, 280, 240), fill=(250, 220, 30))
    seen = measure_background(pixels(image))
    assert seen.border_share < 0.8
    assert seen.palette > 0.9
    assert seen.flat > 0.8


def test_photo() -> None:
    """No colour fills the frame, and nothing is flat."""
    seen = measure_background(pixels(photo()))
    assert seen.flat < 0.2
    assert seen.share < 0.5
    assert seen.border_share < 0.8


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 2), (3, 5000)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    """Down to a single pixel, everything is a share."""
    seen = measure_background(np.full((*size, 3), 99, np.uint8))
    assert (seen.share, seen.border_share, seen.roughness, seen.edge) == (1, 1, 0, 0)


def test_same_pixels_same_answer() -> None:
    """No random starts."""
    noise = np.random.default_rng(1).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    assert measure_background(noise) == measure_background(noise.copy())
