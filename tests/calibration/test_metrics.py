"""Measures of agreement, against values worked out by hand or by definition."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.metrics import accuracy, bootstrap, confusion, macro_f1, plcc, ranks, srcc, wilson

TRUTH = np.array([0, 0, 1, 1, 1, 2])
JUDGED = np.array([0, 1, 1, 1, -1, 2])


def test_confusion_and_accuracy() -> None:
    """Rows are labels; what was not judged has a column of its own and is wrong."""
    assert confusion(TRUTH, JUDGED).tolist() == [[1, 1, 0, 0], [0, 2, 0, 1], [0, 0, 1, 0]]
    assert accuracy(TRUTH, JUDGED) == pytest.approx(4 / 6)
    assert accuracy(TRUTH[:0], JUDGED[:0]) == 0


def test_macro_f1() -> None:
    """Low: 2/3; medium: 2 x 2 / (3 + 3); high: 1. Categories that are not labelled do not count."""
    assert macro_f1(TRUTH, JUDGED) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert macro_f1(np.array([2, 2]), np.array([2, 2])) == 1


def test_correlations() -> None:
    """Pearson's is numpy's; Spearman's sees only order, and equal values share a rank."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=50)
    y = x + rng.normal(size=50)
    assert plcc(x.tolist(), y.tolist()) == pytest.approx(float(np.corrcoef(x, y)[0, 1]))
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert srcc([1, 2, 3, 4], [10, 100, 1000, 10_000]) == pytest.approx(1)
    assert srcc([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert srcc([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert np.isnan(plcc([1, 1], [1, 2]))


def share(hits: NDArray[np.bool_], pick: NDArray[np.int64]) -> float:
    return float(hits[pick].mean())


def test_bootstrap_holds_the_truth_as_often_as_it_says() -> None:
    """Of intervals on many samples of one coin nearly 95 % hold its rate; the same seed gives the same interval."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(200):
        interval = bootstrap(partial(share, rng.random(150) < 0.7), 150, resamples=200)
        held += interval.low <= 0.7 <= interval.high
    assert 0.88 <= held / 200 <= 0.99
    assert bootstrap(lambda pick: float(pick.mean()), 9) == bootstrap(lambda pick: float(pick.mean()), 9)


@pytest.mark.parametrize(("hits", "total", "low", "high"), [(0, 100, 0, 0.0370), (50, 100, 0.4038, 0.5962), (0, 0, 0, 1)])
def test_wilson(hits: int, total: int, low: float, high: float) -> None:
    """Published values; none of a hundred is not certainly none."""
    interval = wilson(hits, total)
    assert interval.low == pytest.approx(low, abs=1e-4)
    assert interval.high == pytest.approx(high, abs=1e-4)
