"""Agencies' marks: seen, and what they are on is still there."""

from __future__ import annotations

import numpy as np
import pytest

from engines.training.marks import marked
from tests.pictures import photo, pixels


@pytest.mark.parametrize("size", [(500, 375), (48, 300), (300, 40)])
def test_marks_are_seen_and_the_picture_is_still_there(size: tuple[int, int]) -> None:
    """Some pixels change, most hardly; a bar only adds rows."""
    plain = pixels(photo(*size))
    added = set()
    for seed in range(12):
        made = marked(plain, np.random.default_rng(seed))
        height, width = plain.shape[:2]
        assert made.dtype == np.uint8
        assert made.shape[1:] == (width, 3)
        added.add(made.shape[0] > height)
        assert made.shape[0] <= height + max(14, 0.1 * height)
        changed = np.abs(made[:height].astype(int) - plain).max(axis=2) > 8
        assert made.shape[0] > height or changed.any()
        assert changed.mean() < 0.5
    assert added == {True, False}


def test_the_same_choices_give_the_same_marks() -> None:
    """Training is repeatable."""
    plain = pixels(photo(200, 150))
    one, other = (marked(plain, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)
