"""Accuracy against cost: the quality engine at several sizes, one view or two, as a table and a plot for the model card.

    python -m engines.training.frontier --clive DIR --out engines/weights/hyperiqa-r18-frontier.svg [--engine NAME]

Every row judges the validation split whole, preprocessing included, on one thread; costs are processor time per picture, the
smallest of some rounds, and the share of the default's cost, which is what carries over to other machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from engines.catalog import Manifest, QualityInput, load_manifest, shipped_weights
from engines.errors import ManifestError
from engines.quality import QualityEngine
from engines.runtime.onnx import OnnxRuntime
from engines.training.datasets import load_rated

__all__ = ["Point", "main", "measure", "plot", "table"]

SIDES = (224, 288, 320, 384, 448, 500)
ROUNDS = 3


@dataclass(frozen=True)
class Point:
    """One way to judge: longest side (pixels), mirrored view too or not; its correlations and core milliseconds."""

    side: int
    mirror: bool
    srcc: float
    plcc: float
    core_ms: float

    @property
    def label(self) -> str:
        """As the table names it."""
        return f"{self.side}{' + mirror' if self.mirror else ''}"


def measure(
    manifest: Manifest, pictures: Sequence[NDArray[np.uint8]], opinions: Sequence[float], side: int, *, mirror: bool
) -> Point:
    """Judge all pictures at one size."""
    limits = _limits(manifest).model_copy(update={"longest_side": side, "mirror": mirror})
    network = OnnxRuntime().load(shipped_weights() / manifest.file)
    engine = QualityEngine(manifest.model_copy(update={"input": limits}), network)
    rounds, scores = [], list[float]()
    for _ in range(ROUNDS):
        start = time.process_time()
        scores = [engine.score(pixels) for pixels in pictures]
        rounds.append(1000 * (time.process_time() - start) / len(pictures))
    srcc, plcc = float(stats.spearmanr(scores, opinions)[0]), float(stats.pearsonr(scores, opinions)[0])
    return Point(side, mirror, srcc, plcc, min(rounds))


def _limits(manifest: Manifest) -> QualityInput:
    if not isinstance(manifest.input, QualityInput):
        raise ManifestError(f"engine {manifest.label} is no quality engine")
    return manifest.input


def table(points: Sequence[Point], default: int) -> str:
    """A Markdown table; costs also relative to the single view at the default size."""
    base = next(point.core_ms for point in points if point.side == default and not point.mirror)
    lines = ["| longest side | SRCC | PLCC | core-ms | relative |", "| --- | --- | --- | --- | --- |"]
    rows = sorted(points, key=lambda point: point.core_ms)
    lines += [f"| {p.label} | {p.srcc:.3f} | {p.plcc:.3f} | {p.core_ms:.0f} | {p.core_ms / base:.2f} |" for p in rows]
    return "\n".join(lines)


def plot(points: Sequence[Point], default: int, path: Path) -> None:
    """SRCC over core milliseconds; the default size stands out."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "iqa"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for mirror, marker, name in ((False, "o", "one view"), (True, "s", "with the mirrored view")):
        chosen = sorted((p for p in points if p.mirror == mirror), key=lambda point: point.core_ms)
        axes.plot([p.core_ms for p in chosen], [p.srcc for p in chosen], marker=marker, label=name)
        for point in chosen:
            weight = "bold" if point.side == default and not mirror else "normal"
            axes.annotate(str(point.side), (point.core_ms, point.srcc), (0, 7), textcoords="offset points", fontweight=weight)
    axes.set(xlabel="core milliseconds a picture", ylabel="SRCC, CLIVE validation", title="Longest side in pixels")
    axes.margins(0.06, 0.12)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print the table, write the plot."""
    parser = argparse.ArgumentParser(description="Accuracy against cost of the quality engine.")
    parser.add_argument("--engine", default="hyperiqa-r18")
    parser.add_argument("--clive", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the plot, .svg or .png")
    options = parser.parse_args(arguments)
    manifest = load_manifest(options.engine)
    default = _limits(manifest).longest_side
    rated = [r for r in load_rated("clive", options.clive) if r.split == "val"]
    pictures, opinions = [r.pixels() for r in rated], [r.opinion for r in rated]
    points = []
    for side in SIDES:
        for mirror in (False, True):
            points.append(measure(manifest, pictures, opinions, side, mirror=mirror))
            print(f"{points[-1].label}: SRCC {points[-1].srcc:.3f}, {points[-1].core_ms:.0f} core-ms", flush=True)
    print(table(points, default))
    plot(points, default, options.out)


if __name__ == "__main__":
    main()
