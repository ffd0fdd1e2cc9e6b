"""Accuracy against cost: quality engines at several sizes, as a table and a plot: ``iqa engines cost-curve``.

Every row judges a data set's test split, or else its validation split, whole, preprocessing included, on one thread. Costs
are processor time: every picture's least over some rounds in which all rows take turns, and the share of the first engine's
cost at its own size, which is what carries over to other machines.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from engines.catalog import Manifest, load_manifest, shipped_weights
from engines.quality import QualityEngine, QualityPanel, limits_of
from engines.runtime.onnx import OnnxRuntime
from engines.training.datasets import load_rated

__all__ = ["Point", "at_size", "cost_curve", "measure", "plot", "table"]

SIDES = (224, 288, 320, 384, 448, 500)
ROUNDS = 2

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Point:
    """One way to judge: engines, at what longest side (pixels; ``None``: their own); correlations, core milliseconds."""

    engine: str
    side: int | None
    srcc: float
    plcc: float
    core_ms: float

    @property
    def label(self) -> str:
        """As the table names it."""
        return "own" if self.side is None else str(self.side)


def at_size(manifest: Manifest, side: int) -> QualityPanel:
    """The engine, fed at another size than its own."""
    limits = limits_of(manifest).model_copy(update={"longest_side": side})
    network = OnnxRuntime().load(shipped_weights() / manifest.file)
    return QualityPanel([QualityEngine(manifest.model_copy(update={"input": limits}), network)])


def measure(
    panels: Sequence[QualityPanel], pictures: Sequence[Pixels], opinions: Sequence[float]
) -> list[tuple[float, float, float]]:
    """SRCC, PLCC and core milliseconds a picture, of each panel.

    A shared machine is slow for seconds at a time: the panels take turns at every picture, so that they share what befalls it.
    """
    scores, least = np.zeros((len(panels), len(pictures))), np.full((len(panels), len(pictures)), np.inf)
    for _ in range(ROUNDS):
        for column, pixels in enumerate(pictures):
            for row, panel in enumerate(panels):
                start = time.process_time()
                scores[row, column] = panel.score(pixels)
                least[row, column] = min(least[row, column], 1000 * (time.process_time() - start))
    return [
        (float(stats.spearmanr(line, opinions)[0]), float(stats.pearsonr(line, opinions)[0]), float(cost.mean()))
        for line, cost in zip(scores, least, strict=True)
    ]


def table(points: Sequence[Point], base: float) -> str:
    """A Markdown table, cheapest first; costs also relative to ``base`` core milliseconds."""
    lines = ["| engine | longest side | SRCC | PLCC | core-ms | relative |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {p.engine} | {p.label} | {p.srcc:.3f} | {p.plcc:.3f} | {p.core_ms:.0f} | {p.core_ms / base:.2f} |"
        for p in sorted(points, key=lambda point: point.core_ms)
    ]
    return "\n".join(lines)


def plot(points: Sequence[Point], path: Path, pictures: str) -> None:
    """SRCC over core milliseconds, on ``pictures``: a line an engine, a star where it serves."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "iqa"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for engine in dict.fromkeys(p.engine for p in points if p.side is not None):
        chosen = sorted((p for p in points if p.engine == engine), key=lambda point: point.core_ms)
        axes.plot([p.core_ms for p in chosen], [p.srcc for p in chosen], "o-", label=engine, markersize=4)
        for point in chosen:
            axes.annotate(str(point.side), (point.core_ms, point.srcc), (0, 6), textcoords="offset points", fontsize=8)
    for point in (p for p in points if p.side is None):
        axes.plot(point.core_ms, point.srcc, "*", markersize=13, color="black")
        axes.annotate(
            point.engine, (point.core_ms, point.srcc), (0, -16), textcoords="offset points", fontweight="bold", ha="center"
        )
    axes.set(xlabel="core milliseconds a picture", ylabel=f"SRCC, {pictures}", title="Numbers: longest side in pixels")
    axes.margins(0.1, 0.12)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def cost_curve(names: Sequence[str], data: tuple[str, Path], out: Path) -> str:
    """Measure engines at ``SIDES`` and at their own, draw the plot to ``out`` (.svg or .png), return the table."""
    manifests = [load_manifest(name) for name in names]
    pictures_of = load_rated(*data)
    rated = [r for r in pictures_of if r.split == "test"] or [r for r in pictures_of if r.split == "val"]
    pictures, opinions = [r.pixels() for r in rated], [r.opinion for r in rated]
    panels: list[tuple[str, int | None, QualityPanel]] = [(m.name, side, at_size(m, side)) for m in manifests for side in SIDES]
    panels += [(manifest.name, None, at_size(manifest, limits_of(manifest).longest_side)) for manifest in manifests]
    figures = measure([panel for *_, panel in panels], pictures, opinions)
    points = [Point(engine, side, *figure) for (engine, side, _), figure in zip(panels, figures, strict=True)]
    plot(points, out, f"{data[0]}, {len(rated)} photos")
    return table(points, next(point.core_ms for point in points if point.side is None))
