"""Measures quality engines as the model card reports them, through the runtime that serves them: ``iqa engines measure``.

Opinion scores: SRCC and PLCC with bootstrap intervals, on the splits of data sets that nothing learns from. Distortion ladders
on photos that no run has trained on (every eighth): share of steps in which the score falls, share of severe pictures below
40, at the photo's own size and coded as a JPEG, as uploads are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from engines.catalog import load_manifest, shipped_weights
from engines.preprocess import quality_input
from engines.quality import QualityEngine, QualityPanel, panel_names
from engines.runtime.onnx import OnnxRuntime
from engines.training.data import held_out, load_folder
from engines.training.datasets import load_rated
from engines.training.distortions import DISTORTIONS
from engines.training.ladders import even_steps
from engines.training.output_mapping import fit_output_mapping

__all__ = [
    "bootstrap",
    "clean_line",
    "exported",
    "falls",
    "ladder_lines",
    "ladder_row",
    "ladder_table",
    "opinions_line",
    "output_mapping_line",
    "rated_lines",
    "severe",
    "shipped_panel",
]

RESAMPLES = 2000
THRESHOLD = 40.0
SPLITS = {"val": "validation split", "test": "test split"}

Pixels = NDArray[np.uint8]
Score = Callable[[Pixels], float]


def shipped_panel(choice: str) -> QualityPanel:
    """The engines that ``choice`` means, from the weights that ship, on ONNX Runtime."""
    manifests = [load_manifest(name) for name in panel_names(choice)]
    return QualityPanel([QualityEngine(m, OnnxRuntime().load(shipped_weights() / m.file)) for m in manifests])


def exported(path: Path, side: int) -> Score:
    """The score that an exported network gives, for one whose manifest is still to be written."""
    network = OnnxRuntime().load(path)
    return lambda pixels: float(network.run(quality_input(pixels, side)).flat[0])


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


def ladder_table(score: Score, photos: Sequence[Pixels], kind: str) -> NDArray[np.float64]:
    """Scores of photos (rows) under ``kind`` at ``EVEN`` severities (columns); a photo's random choices stay the same."""

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


def output_mapping_line(outputs: Sequence[float], opinions: Sequence[float]) -> str:
    """The mapping from outputs to opinions as a line of a manifest's ``input``."""
    return f"scale: [{', '.join(f'[{output:g}, {score:g}]' for output, score in fit_output_mapping(outputs, opinions))}]"


def rows(score: Score, photos: Sequence[Pixels]) -> Iterator[str]:
    """A row of the model card's table for every distortion."""
    yield "| distortion | mean score by severity | falls in | severe under 40 |\n| --- | --- | --- | --- |"
    for kind in DISTORTIONS:
        yield ladder_row(kind, ladder_table(score, photos, kind))


def rated_lines(score: Score, data: Sequence[tuple[str, Path]], output_mapping: bool) -> Iterator[str]:
    """A line for each split of each data set that nothing learns from; and the mapping fitted on its validation split."""
    for name, root in data:
        pictures = load_rated(name, root)
        for split in ("val", "test"):
            rated = [r for r in pictures if r.split == split]
            if not rated:
                continue
            scores, opinions = scores_of(score, (r.pixels() for r in rated)), [r.opinion for r in rated]
            yield f"{name}, {SPLITS[split]}, {len(rated)} photos: {opinions_line(scores, opinions)}"
            if output_mapping and split == "val":
                yield f"for its manifest:\n  {output_mapping_line(scores, opinions)}"


def ladder_lines(score: Score, folders: Sequence[Path], limit: int) -> Iterator[str]:
    """What held-out photos score, and a row for every kind of ladder made of ``limit`` of them."""
    unseen = held_out([photo for folder in folders for photo in load_folder(folder)])
    yield f"{len(unseen)} held-out photos: {clean_line(np.array(scores_of(score, unseen)))}"
    unseen = unseen[:: max(1, -(-len(unseen) // limit))]
    yield f"ladders on {len(unseen)} of them:"
    yield from rows(score, unseen)
