"""Measures of agreement between verdicts and labels, and of how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from calibration.chain import Category

__all__ = [
    "CATEGORIES",
    "Confusion",
    "Interval",
    "accuracy",
    "bootstrap",
    "confusion",
    "macro_f1",
    "plcc",
    "ranks",
    "srcc",
    "wilson",
]

CATEGORIES: tuple[Category, ...] = get_args(Category)
RESAMPLES = 1000

Codes = NDArray[np.int64]
"""One code per picture: its category's index in ``CATEGORIES``; -1 for a picture that got no category."""


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


Confusion = NDArray[np.int64]
"""3 x 4 counts: rows are labelled low, medium, high; columns are judged low, medium, high, and not at all."""


def confusion(labelled: Codes, judged: Codes) -> Confusion:
    """Counts of every pair."""
    table = np.zeros((3, 4), np.int64)
    np.add.at(table, (labelled, np.where(judged < 0, 3, judged)), 1)
    return table


def accuracy(labelled: Codes, judged: Codes) -> float:
    """Share of pictures in the right category, 0-1; 0 where there are none."""
    return float((labelled == judged).mean()) if labelled.size else 0.0


def macro_f1(labelled: Codes, judged: Codes) -> float:
    """Mean F1 of the categories that are labelled at all, 0-1."""
    table = confusion(labelled, judged)
    scores = [2 * table[code, code] / (table[code].sum() + table[:, code].sum()) for code in range(3) if table[code].sum() > 0]
    return float(np.mean(scores)) if scores else 0.0


def plcc(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's linear correlation; not a number if either side does not vary."""
    x, y = np.asarray(one, float), np.asarray(other, float)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else float("nan")


def ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    x = np.asarray(values, float)
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def srcc(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks."""
    return plcc(ranks(one).tolist(), ranks(other).tolist())


def bootstrap(measure: Callable[[Codes], float], size: int, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The measure of all pictures, with its 95 % percentile interval over pictures drawn with replacement (Efron, 1979).

    ``measure`` is given indices (0 to ``size`` - 1) of the pictures to look at.
    """
    rng = np.random.default_rng(seed)
    values = [measure(rng.integers(0, size, size)) for _ in range(resamples)] if size else [0.0]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Interval(measure(np.arange(size)), float(low), float(high))


def wilson(hits: int, total: int) -> Interval:
    """A share with its 95 % score interval (Wilson, 1927), which also holds for shares near 0 and 1."""
    if total == 0:
        return Interval(0.0, 0.0, 1.0)
    z, share = 1.959964, hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * float(np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))) / (1 + z * z / total)
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))
