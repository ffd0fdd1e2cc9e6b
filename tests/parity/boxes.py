"""How far two sets of boxes are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["corner_distance", "worst_corner"]

Box = NDArray[np.float32]


def corner_distance(first: Box, second: Box) -> float:
    """Largest coordinate difference of two boxes' corners, whichever corner each begins with."""
    turns = (np.roll(second, turn, axis=0)[::way] for turn in range(4) for way in (1, -1))
    return min(float(np.abs(turned - first).max()) for turned in turns)


def worst_corner(ours: Sequence[Box], theirs: Sequence[Sequence[Sequence[float]]]) -> float:
    """Largest corner distance of two sets of boxes, paired one to one; infinite if there are more of one than of the other."""
    if len(ours) != len(theirs):
        return float("inf")
    left = [np.array(box, dtype=np.float32) for box in theirs]
    worst = 0.0
    for box in ours:
        distances = [corner_distance(box, other) for other in left]
        nearest = int(np.argmin(distances))
        worst = max(worst, distances[nearest])
        del left[nearest]
    return worst
