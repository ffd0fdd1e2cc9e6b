"""What a trunk has to tell about quality before anything is taught: ``iqa engines probe``.

Kernel ridge regression (Saunders, Gammerman, Vovk, ICML 1998) with a Gaussian kernel on everything that a head would hear of
the frozen trunk (``Stage.pool``), out of fold over all rated pictures. It takes minutes and has two settings, so it compares
trunks, where a fine-tuned network compares recipes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from engines.models.hyperiqa import Backbone, HyperIQA
from engines.preprocess import fit_longest
from engines.training.datasets import load_rated
from engines.training.features import FeatureExtractor, mapped
from engines.training.initial_weights import load_initial_weights

__all__ = ["Probed", "probe", "probe_lines"]

WIDTHS = (0.1, 0.3, 1.0)
"""Of the kernel: exp(-w d^2 / columns)."""
RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1)
FAR = 10.0
"""Deviations at which a number is cut off."""


@dataclass(frozen=True)
class Probed:
    """The best setting: correlations of scores out of fold with opinions, and the scores (N)."""

    srcc: float
    plcc: float
    width: float
    ridge: float
    scores: NDArray[np.float64]


def probe(rows: NDArray[np.floating], opinions: NDArray[np.float64], parts: Sequence[NDArray[np.int64]]) -> Probed:
    """Probe ``rows`` (N x columns) against ``opinions`` (N); ``parts`` divide 0 ... N - 1, each is told by all the others."""
    found = {(width, ridge): np.empty(len(rows)) for width in WIDTHS for ridge in RIDGES}
    for held in parts:
        learn = np.setdiff1d(np.arange(len(rows)), held)
        mean, std = rows[learn].mean(axis=0), rows[learn].std(axis=0).clip(1e-3)
        x = ((rows - mean) / std).clip(-FAR, FAR)
        squares = (x**2).sum(axis=1)
        apart = np.maximum(squares[:, None] + squares[None] - 2 * x @ x.T, 0) / x.shape[1]
        middle = opinions[learn].mean()
        for width in WIDTHS:
            kernel = np.exp(-width * apart)
            inner = kernel[np.ix_(learn, learn)]
            for ridge in RIDGES:
                solved = linalg.solve(inner + ridge * np.eye(len(learn)), opinions[learn] - middle, assume_a="pos")
                found[width, ridge][held] = kernel[np.ix_(held, learn)] @ solved + middle
    all_of_them = [
        Probed(float(stats.spearmanr(s, opinions)[0]), float(stats.pearsonr(s, opinions)[0]), *setting, s)
        for setting, s in found.items()
    ]
    return max(all_of_them, key=lambda probed: probed.srcc)


def probe_lines(
    initial_weights: Path, backbone: Backbone, name: str, folder: Path, side: int, folds: int, seed: int
) -> Iterator[str]:
    """A line for each stage of a trunk, and one for all of them; all splits of a data set together."""
    model = HyperIQA(backbone)
    load_initial_weights(model, initial_weights)
    rated = load_rated(name, folder)
    extractor = FeatureExtractor(model, side)
    rows = np.array(list(mapped(lambda r: extractor.row(fit_longest(r.pixels(), side)), rated, "rated pictures")), np.float32)
    opinions = np.array([r.opinion for r in rated])
    contents = sorted({r.content for r in rated})
    order = {contents[int(i)]: place for place, i in enumerate(np.random.default_rng(seed).permutation(len(contents)))}
    parts = [np.flatnonzero([order[r.content] % folds == fold for r in rated]) for fold in range(folds)]
    stages = np.split(rows, np.cumsum(model.widths)[:-1], axis=1)[:-1]  # the last part is no trunk's
    yield f"{name}, {len(rated)} pictures, {folds} folds, longest side {side}"
    for label, part in [*((f"layer{n}", stage) for n, stage in enumerate(stages, start=1)), ("all", np.concatenate(stages, 1))]:
        found = probe(part, opinions, parts)
        yield f"{label}: {part.shape[1]} numbers, SRCC {found.srcc:.3f}, PLCC {found.plcc:.3f}"
