"""Fits the mapping from a network's outputs to opinion scores on pictures that did not train it.

A network trained on few photos is cautious: it draws everything towards the mean. The mapping undoes that where the opinions
say so. It is piecewise linear between fixed points and rises everywhere, so the order of pictures stays; towards the ends,
where few pictures tell anything, a smoothness term leads it. Least squares with bounded slopes (Stark, Parker 1995).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import lsq_linear

__all__ = ["POINTS", "fit_output_mapping"]

POINTS = (0.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)
SMOOTHNESS = 3.0
"""Weight of a bend of one point against one picture that is a point off."""
SLOPES = (0.4, 2.5)


def fit_output_mapping(outputs: ArrayLike, opinions: ArrayLike) -> tuple[tuple[float, float], ...]:
    """Points (output, score) from (0, 0) to (100, 100), rising in both columns, for N outputs and opinions (0-100)."""
    points, widths = np.array(POINTS), np.diff(POINTS)
    # A score is the sum of slope x width up to the output: linear in the slopes.
    x = np.clip(np.asarray(outputs, float), 0, 100)[:, None]
    design = np.clip(x - points[:-1], 0, widths)
    bends = np.diff(np.eye(len(widths)), axis=0) * 10 * SMOOTHNESS
    # The last point must be 100: a heavy row, since bounded least squares has no equality.
    end = 1e4 * widths[None]
    target = np.concatenate([np.asarray(opinions, float), np.zeros(len(bends)), [1e4 * 100]])
    slopes = lsq_linear(np.concatenate([design, bends, end]), target, bounds=SLOPES).x
    scores = np.concatenate([[0.0], np.cumsum(slopes * widths)])
    scores *= 100 / scores[-1]
    return tuple((float(p), round(float(s), 2)) for p, s in zip(points, scores, strict=True))
