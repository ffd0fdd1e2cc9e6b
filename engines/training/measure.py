"""Measures quality engines as the model card reports them, through the runtime that serves them.

    python -m engines.training.measure --clive DIR --photos DIR [--photos DIR] [--quality fast] [--limit 95]

Opinion scores: SRCC and PLCC on CLIVE's validation split, with bootstrap intervals. Distortion ladders on photos that no run
has trained on (every eighth): share of steps in which the score falls, share of severe pictures below 40, at the photo's own
size and coded as a JPEG, as uploads are. ``--quality`` is a preset, an engine or several joined by ``+``; with ``--weights`` an
exported file that has no manifest yet is measured at ``--side``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from engines.catalog import load_manifest, shipped_weights
from engines.preprocess import LONGEST_SIDE, quality_input
from engines.quality import QualityEngine, QualityPanel, panel_names
from engines.runtime.onnx import OnnxRuntime
from engines.training.data import held_out, load_folder
from engines.training.datasets import load_rated
from engines.training.distortions import DISTORTIONS, coded
from engines.training.scale import fit_scale

__all__ = [
    "SEVERITIES",
    "bootstrap",
    "clean_line",
    "even_steps",
    "falls",
    "ladder_row",
    "ladder_table",
    "main",
    "opinions_line",
    "scale_line",
    "severe",
    "shipped_panel",
]

SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
RESAMPLES = 2000
THRESHOLD = 40.0

Pixels = NDArray[np.uint8]
Score = Callable[[Pixels], float]


def shipped_panel(choice: str) -> QualityPanel:
    """The engines that ``choice`` means, from the weights that ship, on ONNX Runtime."""
    manifests = [load_manifest(name) for name in panel_names(choice)]
    return QualityPanel([QualityEngine(m, OnnxRuntime().load(shipped_weights() / m.file)) for m in manifests])


def exported(path: Path, side: int) -> Score:
    """The score that an exported network gives, for one whose manifest is still to be written."""
    network = OnnxRuntime().load(path)
    return lambda pixels: float(network.run(quality_input(pixels, side))[0])


def bootstrap(scores: Sequence[float], opinions: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """SRCC with the ends of its 95 % percentile interval over resampled pictures."""
    x, y = np.asarray(scores), np.asarray(opinions)
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(x), (RESAMPLES, len(x)))
    values = [float(stats.spearmanr(x[pick], y[pick])[0]) for pick in picks]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(stats.spearmanr(x, y)[0]), float(low), float(high)


def scores_of(score: Score, pictures: Iterable[Pixels]) -> list[float]:
    """Scores of many pictures, one thread a core: networks release the interpreter's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(score, pictures))


def even_steps(photo: Pixels, kind: str, seed: int) -> Iterator[Pixels]:
    """``photo`` under ``kind`` at ``SEVERITIES``, each a JPEG of quality 90; ``seed`` makes the random choices of all."""
    for severity in SEVERITIES:
        made = DISTORTIONS[kind](photo, severity, np.random.default_rng(seed)) if severity else photo
        yield coded(made, 90)


def ladder_table(score: Score, photos: Sequence[Pixels], kind: str) -> NDArray[np.float64]:
    """Scores of photos (rows) under ``kind`` at ``SEVERITIES`` (columns); a photo's random choices stay the same."""

    def row(numbered: tuple[int, Pixels]) -> list[float]:
        index, photo = numbered
        return [score(pixels) for pixels in even_steps(photo, kind, index)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.array(list(pool.map(row, enumerate(photos))))


def opinions_line(scores: Sequence[float], opinions: Sequence[float]) -> str:
    """SRCC with its interval, PLCC and the root mean square error, in one line."""
    srcc, low, high = bootstrap(scores, opinions)
    error = float(np.sqrt(np.mean((np.asarray(scores) - np.asarray(opinions)) ** 2)))
    return f"SRCC {srcc:.3f} [{low:.3f}, {high:.3f}], PLCC {stats.pearsonr(scores, opinions)[0]:.3f}, RMSE {error:.2f}"


def falls(table: NDArray[np.float64]) -> float:
    """Share of steps in which scores (photos x severities) fall."""
    return float((np.diff(table, axis=1) < 0).mean())


def severe(table: NDArray[np.float64]) -> float:
    """Share of photos that score under ``THRESHOLD`` at the last severity."""
    return float((table[:, -1] < THRESHOLD).mean())


def ladder_row(kind: str, table: NDArray[np.float64]) -> str:
    """What the model card says of one distortion, of scores (photos x severities)."""
    means = " ".join(f"{value:.1f}" for value in table.mean(axis=0))
    return f"| {kind} | {means} | {falls(table):.1%} | {severe(table):.1%} |"


def clean_line(scores: NDArray[np.float64]) -> str:
    """What good photos score."""
    return f"mean {scores.mean():.1f}, at least 60: {(scores >= 60).mean():.0%}"


def scale_line(outputs: Sequence[float], opinions: Sequence[float]) -> str:
    """The mapping from outputs to opinions as a line of a manifest's ``input``."""
    return f"scale: [{', '.join(f'[{output:g}, {score:g}]' for output, score in fit_scale(outputs, opinions))}]"


def rows(score: Score, photos: Sequence[Pixels]) -> Iterator[str]:
    """A row of the model card's table for every distortion."""
    yield "| distortion | mean score by severity | falls in | severe under 40 |\n| --- | --- | --- | --- |"
    for kind in DISTORTIONS:
        yield ladder_row(kind, ladder_table(score, photos, kind))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure quality engines.")
    parser.add_argument("--quality", default="fast", help="a preset, an engine, or several joined by +")
    parser.add_argument("--weights", type=Path, help="an exported file, instead")
    parser.add_argument("--side", type=int, default=LONGEST_SIDE, help="with --weights: longest side in pixels")
    parser.add_argument("--clive", type=Path, required=True)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--limit", type=int, default=1000, help="held-out photos for the ladders, at most")
    options = parser.parse_args(arguments)
    score = exported(options.weights, options.side) if options.weights else shipped_panel(options.quality).score
    rated = [r for r in load_rated("clive", options.clive) if r.split == "val"]
    scores = scores_of(score, (r.pixels() for r in rated))
    print(f"CLIVE's validation split, {len(rated)} photos: {opinions_line(scores, [r.opinion for r in rated])}", flush=True)
    if options.weights:
        print(f"for its manifest:\n  {scale_line(scores, [r.opinion for r in rated])}", flush=True)
    unseen = held_out([photo for folder in options.photos for photo in load_folder(folder)])
    clean = np.array(scores_of(score, unseen))
    print(f"{len(unseen)} held-out photos: {clean_line(clean)}", flush=True)
    unseen = unseen[:: max(1, -(-len(unseen) // options.limit))]
    print(f"ladders on {len(unseen)} of them:")
    for row in rows(score, unseen):
        print(row, flush=True)


if __name__ == "__main__":
    main()
