"""Thresholds by k-means."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.thresholds import kmeans_cuts, resampled_cuts


def brute_force(scores: list[float]) -> float:
    """The smallest squared error of any three groups of sorted scores."""
    ordered = sorted(scores)

    def error(group: list[float]) -> float:
        return float(sum((score - float(np.mean(group))) ** 2 for score in group))

    return min(
        error(ordered[:a]) + error(ordered[a:b]) + error(ordered[b:]) for a, b in combinations(range(1, len(ordered)), 2)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1000).map(lambda n: n / 10), min_size=3, max_size=14).filter(lambda x: len(set(x)) >= 3))
def test_no_other_clusters_are_better(scores: list[float]) -> None:
    """The optimum, not where Lloyd's algorithm happens to end."""
    cuts = kmeans_cuts(scores)
    error = sum(min((score - centre) ** 2 for centre in cuts.centres) for score in scores)
    assert error == pytest.approx(brute_force(scores), abs=1e-6)


def test_three_groups() -> None:
    """Cuts lie half-way between the means."""
    cuts = kmeans_cuts([10, 12, 50, 52, 80, 82])
    assert (cuts.medium, cuts.high) == (31.0, 66.0)
    assert cuts.centres == (11, 51, 81)


def test_spread_tells_clear_groups_from_none() -> None:
    """Three groups give cuts that hardly move when pictures are drawn anew; an even spread does not."""
    rng = np.random.default_rng(1)
    clear = np.clip(np.concatenate([rng.normal(m, 3, 60) for m in (15, 50, 80)]), 0, 100).tolist()
    even = rng.uniform(0, 100, 60).tolist()
    tight, loose = resampled_cuts(clear), resampled_cuts(even)
    assert tight.medium.high - tight.medium.low < 3
    assert loose.medium.high - loose.medium.low > 2 * (tight.medium.high - tight.medium.low)
    assert resampled_cuts(even) == loose


@pytest.mark.parametrize("scores", [[], [50.0], [1.0, 1.0, 2.0, 2.0]])
def test_too_few_scores(scores: list[float]) -> None:
    """Three clusters need three values."""
    with pytest.raises(ValueError, match="three different scores"):
        kmeans_cuts(scores)
