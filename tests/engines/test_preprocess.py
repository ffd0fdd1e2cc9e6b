"""Preprocessing keeps the aspect ratio, never enlarges, and normalises as documented."""

from __future__ import annotations

import numpy as np
import pytest

from engines.preprocess import IMAGENET_MEAN, IMAGENET_STD, fit_longest, pad_to_least, quality_input


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(480, 640, (288, 384)), (384, 384, (384, 384)), (100, 90, (100, 90)), (4000, 10, (384, 1)), (1, 1, (1, 1))],
)
def test_fit_longest(height: int, width: int, expected: tuple[int, int]) -> None:
    """Only pictures above the limit shrink, and no side vanishes."""
    assert fit_longest(np.zeros((height, width, 3), np.uint8), 384).shape == (*expected, 3)


def test_pad_repeats_the_edge() -> None:
    """Padding adds no edge of its own."""
    padded = pad_to_least(np.arange(12, dtype=np.uint8).reshape(2, 2, 3), 5)
    assert padded.shape == (5, 5, 3)
    assert (padded[2:, :2] == padded[1, :2]).all()
    assert (padded[:, 2:] == padded[:, 1:2]).all()


@pytest.mark.parametrize("size", [(1, 1), (20, 900), (700, 500)])
def test_quality_input_is_normalised_rgb(size: tuple[int, int]) -> None:
    """One plane per channel: value over 255, minus mean, over deviation; sides of at least 64."""
    colour = (255, 128, 0)
    batch = quality_input(np.full((*size, 3), colour, np.uint8))
    assert batch.dtype == np.float32
    assert min(batch.shape[2:]) >= 64
    assert max(batch.shape[2:]) <= 384
    for plane, value, mean, std in zip(batch[0], colour, IMAGENET_MEAN, IMAGENET_STD, strict=True):
        assert plane == pytest.approx((value / 255 - mean) / std, abs=1e-5)
