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
from engines.preprocess import quality_input
from engines.training.data import coded, load_clive, load_folder
from engines.training.distortions import DISTORTIONS

__all__ = ["bootstrap", "main", "score"]

SEVERITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
RESAMPLES = 2000


@torch.no_grad()
def score(model: HyperIQA, pixels: NDArray[np.uint8]) -> float:
    """0-100 for one picture, preprocessed as in serving."""
    return float(model(torch.from_numpy(quality_input(pixels)))[0])


def bootstrap(scores: Sequence[float], opinions: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """SRCC with the ends of its 95 % percentile interval over resampled pictures."""
    x, y = np.asarray(scores), np.asarray(opinions)
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(x), (RESAMPLES, len(x)))
    values = [float(stats.spearmanr(x[pick], y[pick])[0]) for pick in picks]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(stats.spearmanr(x, y)[0]), float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the quality engine's checkpoints.")
    parser.add_argument("--checkpoint", type=Path, action="append", required=True)
    parser.add_argument("--clive", type=Path, required=True)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--limit", type=int, default=60, help="photos per folder for the ladders")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = average_checkpoints(options.checkpoint)
    rated = load_clive(options.clive, "val")
    scores, opinions = [score(model, r.pixels) for r in rated], [r.opinion for r in rated]
    srcc, low, high = bootstrap(scores, opinions)
    print(f"CLIVE val ({len(rated)}): SRCC {srcc:.3f} [{low:.3f}, {high:.3f}], PLCC {stats.pearsonr(scores, opinions)[0]:.3f}")
    # The numbering of the trainer: folders one after the other, every eighth photo held out.
    photos = [photo for folder in options.photos for photo in load_folder(folder)]
    held_out = photos[::8]
    held_out = held_out[:: max(1, len(held_out) // options.limit)]
    clean = np.array([score(model, photo) for photo in held_out])
    print(f"{len(held_out)} held-out photos: mean {clean.mean():.1f}, at least 60: {(clean >= 60).mean():.0%}")
    rng = np.random.default_rng(0)
    for kind, distort in DISTORTIONS.items():
        table = np.array([[score(model, coded(distort(p, s, rng) if s else p, 90)) for s in SEVERITIES] for p in held_out])
        falls = (np.diff(table, axis=1) < 0).mean()
        means = " ".join(f"{value:5.1f}" for value in table.mean(axis=0))
        print(f"{kind:18} means {means}  falls {falls:.0%}  severe below 40: {(table[:, -1] < 40).mean():.0%}")


if __name__ == "__main__":
    main()
