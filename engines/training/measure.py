"""Measures a checkpoint (or the mean of several) as the model card reports it.

    python -m engines.training.measure --checkpoint FILE [--checkpoint FILE] --clive DIR --photos DIR [--photos DIR]

Opinion scores: SRCC and PLCC on CLIVE's validation split, with bootstrap intervals. Distortion ladders on photos that no run
has trained on (every eighth): share of steps in which the score falls, share of severe pictures below 40, at the photo's own
size and coded as a JPEG, as uploads are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from engines.export import average_checkpoints
from engines.models.hyperiqa import HyperIQA
from engines.preprocess import LONGEST_SIDE, quality_input
from engines.training.data import held_out, load_folder
from engines.training.datasets import load_rated
from engines.training.distortions import DISTORTIONS, coded

__all__ = ["bootstrap", "ladder_table", "main", "score"]

SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
RESAMPLES = 2000


@torch.no_grad()
def score(model: HyperIQA, pixels: NDArray[np.uint8], side: int = LONGEST_SIDE) -> float:
    """0-100 for one picture, preprocessed as in serving."""
    return float(model(torch.from_numpy(quality_input(pixels, side)))[0])


def bootstrap(scores: Sequence[float], opinions: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """SRCC with the ends of its 95 % percentile interval over resampled pictures."""
    x, y = np.asarray(scores), np.asarray(opinions)
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(x), (RESAMPLES, len(x)))
    values = [float(stats.spearmanr(x[pick], y[pick])[0]) for pick in picks]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(stats.spearmanr(x, y)[0]), float(low), float(high)


def ladder_table(model: HyperIQA, photos: Sequence[NDArray[np.uint8]], kind: str, side: int) -> NDArray[np.float64]:
    """Scores of photos (rows) under ``kind`` at ``SEVERITIES`` (columns); a photo's random choices stay the same."""
    rows = []
    for index, photo in enumerate(photos):
        made = (DISTORTIONS[kind](photo, s, np.random.default_rng(index)) if s else photo for s in SEVERITIES)
        rows.append([score(model, coded(pixels, 90), side) for pixels in made])
    return np.array(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the quality engine's checkpoints.")
    parser.add_argument("--checkpoint", type=Path, action="append", required=True)
    parser.add_argument("--clive", type=Path, required=True)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--side", type=int, default=LONGEST_SIDE)
    parser.add_argument("--limit", type=int, default=60, help="photos per folder for the ladders")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = average_checkpoints(options.checkpoint)
    rated = [r for r in load_rated("clive", options.clive) if r.split == "val"]
    scores, opinions = [score(model, r.pixels(), options.side) for r in rated], [r.opinion for r in rated]
    srcc, low, high = bootstrap(scores, opinions)
    print(f"CLIVE val ({len(rated)}): SRCC {srcc:.3f} [{low:.3f}, {high:.3f}], PLCC {stats.pearsonr(scores, opinions)[0]:.3f}")
    unseen = held_out([photo for folder in options.photos for photo in load_folder(folder)])
    unseen = unseen[:: max(1, len(unseen) // options.limit)]
    clean = np.array([score(model, photo, options.side) for photo in unseen])
    print(f"{len(unseen)} held-out photos: mean {clean.mean():.1f}, at least 60: {(clean >= 60).mean():.0%}", flush=True)
    for kind in DISTORTIONS:
        table = ladder_table(model, unseen, kind, options.side)
        falls, means = (np.diff(table, axis=1) < 0).mean(), " ".join(f"{value:5.1f}" for value in table.mean(axis=0))
        print(f"{kind:18} means {means}  falls {falls:.0%}  severe below 40: {(table[:, -1] < 40).mean():.0%}", flush=True)


if __name__ == "__main__":
    main()
