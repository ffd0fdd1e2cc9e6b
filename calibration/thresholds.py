"""Thresholds from scores: k-means in one dimension, solved exactly.

In one dimension the best clusters are intervals, so trying all pairs of cuts finds the optimum that Lloyd's algorithm only
approaches (Wang and Song, "Ckmeans.1d.dp", The R Journal 2011). Scores are counted in tenths of a point, which no category
depends on; a threshold lies half-way between the means on either side of it, as k-means assigns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.metrics import Interval

__all__ = ["Cuts", "Spread", "kmeans_cuts", "resampled_cuts"]

BINS = 1001
"""Tenths of a point from 0 to 100."""
RESAMPLES = 200


@dataclass(frozen=True)
class Cuts:
    """Where medium and high begin, and the means of the three clusters, in points."""

    medium: float
    high: float
    centres: tuple[float, float, float]


@dataclass(frozen=True)
class Spread:
    """How far the two cuts move when pictures are drawn anew (95 % interval over ``RESAMPLES``), in points."""

    medium: Interval
    high: Interval


def kmeans_cuts(scores: Sequence[float]) -> Cuts:
    """The two cuts that k-means with k = 3 puts between scores (0-100).

    Raises:
        ValueError: there are fewer than three different scores.

    """
    return _solve(np.bincount(np.rint(np.asarray(scores, float) * 10).astype(np.int64), minlength=BINS).astype(float))


def resampled_cuts(scores: Sequence[float], seed: int = 0) -> Spread:
    """The same on pictures drawn with replacement: what is not stable here should not be believed."""
    bins = np.rint(np.asarray(scores, float) * 10).astype(np.int64)
    whole, rng, found = kmeans_cuts(scores), np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        drawn = np.bincount(bins[rng.integers(0, bins.size, bins.size)], minlength=BINS).astype(float)
        if np.count_nonzero(drawn) >= 3:
            cuts = _solve(drawn)
            found.append((cuts.medium, cuts.high))
    ends = np.percentile(np.asarray(found or [(whole.medium, whole.high)]), [2.5, 97.5], axis=0)
    return Spread(
        Interval(whole.medium, float(ends[0][0]), float(ends[1][0])), Interval(whole.high, float(ends[0][1]), float(ends[1][1]))
    )


def _solve(counts: NDArray[np.float64]) -> Cuts:
    used = np.flatnonzero(counts)
    if used.size < 3:
        raise ValueError(f"three clusters need at least three different scores; there are {used.size}")
    weight, value = counts[used], used / 10.0
    # Sums over all values before each cut; a cluster's squared error is what its sums leave of its squares.
    n, s, q = (np.concatenate([[0.0], np.cumsum(part)]) for part in (weight, weight * value, weight * value**2))

    def error(start: NDArray[np.int64] | int, end: NDArray[np.int64] | int) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (q[end] - q[start]) - (s[end] - s[start]) ** 2 / (n[end] - n[start])
        return np.asarray(found, dtype=np.float64)

    last = used.size
    cuts = np.arange(1, last)
    total = error(0, cuts)[:, None] + error(cuts[:, None], cuts[None, :]) + error(cuts, last)[None, :]
    total[np.tril_indices(last - 1)] = np.inf
    first, second = (int(cuts[index]) for index in np.unravel_index(np.argmin(total), total.shape))
    low, middle, high = (float((s[b] - s[a]) / (n[b] - n[a])) for a, b in ((0, first), (first, second), (second, last)))
    return Cuts(round((low + middle) / 2, 1), round((middle + high) / 2, 1), (low, middle, high))
