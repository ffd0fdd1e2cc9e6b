"""What int8 would cost and save: the quality engine quantised for CPUs, measured against itself.

    python -m engines.training.quantise --clive DIR --photos DIR [--engine NAME] [--out FILE]

Static quantisation by ONNX Runtime (QDQ, signed weights per channel, unsigned activations, ranges reduced to seven bits since
processors without VNNI overflow otherwise), calibrated on training pictures. The trunk alone is quantised; the head generates
weights per picture, and its ranges change with them. Worth shipping only if SRCC falls by less than 0.005 and at most 1 % of
categories change.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from scipy import stats

from engines.catalog import QualityInput, load_manifest, shipped_weights
from engines.half import kept_single, widen_weights
from engines.preprocess import LONGEST_SIDE, quality_input
from engines.quality import limits_of, opinion_score
from engines.runtime.onnx import OnnxRuntime
from engines.training.data import held_out, load_folder
from engines.training.datasets import load_rated

__all__ = ["flips", "main", "quantise"]

THRESHOLDS = (40.0, 60.0)
METHODS = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}


class Reader(CalibrationDataReader):
    """Pictures, as the network takes them, one after the other."""

    def __init__(self, name: str, pictures: Sequence[NDArray[np.uint8]], side: int) -> None:
        self._inputs: Iterator[dict[str, Any]] = ({name: quality_input(pixels, side)} for pixels in pictures)

    def get_next(self) -> dict[str, Any] | None:
        """One input, or ``None`` at the end."""
        return next(self._inputs, None)


def quantise(source: Path, target: Path, pictures: Sequence[NDArray[np.uint8]], method: str, side: int = LONGEST_SIDE) -> None:
    """Write the int8 form of the network in ``source``, calibrated on ``pictures`` at its serving size ``side``."""
    plain = widen_weights(onnx.load(source))
    excluded = kept_single(plain, "quality")
    with tempfile.TemporaryDirectory() as folder:
        single = Path(folder) / "single.onnx"
        onnx.save(plain, single)
        quantize_static(
            str(single),
            str(target),
            Reader(plain.graph.input[0].name, pictures, side),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
            calibrate_method=METHODS[method],
        )


def flips(before: Sequence[float], after: Sequence[float], thresholds: Sequence[float] = THRESHOLDS) -> float:
    """Share of pictures whose category changes."""
    pairs = zip(before, after, strict=True)
    return float(np.mean([bisect_right(list(thresholds), a) != bisect_right(list(thresholds), b) for a, b in pairs]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, quantise, measure, print."""
    parser = argparse.ArgumentParser(description="Measure an int8 form of the quality engine.")
    parser.add_argument("--engine", default="hyperiqa-lite0")
    parser.add_argument("--clive", type=Path, required=True)
    parser.add_argument("--photos", type=Path, action="append", required=True)
    parser.add_argument("--calibrate", type=int, default=60, help="pictures to calibrate on")
    parser.add_argument("--out", type=Path, help="keep the int8 network here (of the last method)")
    options = parser.parse_args(arguments)
    manifest = load_manifest(options.engine)
    source = shipped_weights() / manifest.file
    rated = load_rated("clive", options.clive)
    train, validation = ([r for r in rated if r.split == split] for split in ("train", "val"))
    step = max(1, len(train) // options.calibrate)
    unseen = held_out([photo for folder in options.photos for photo in load_folder(folder)])
    pictures = [*(r.pixels() for r in validation), *unseen]
    opinions = [r.opinion for r in validation]
    limits = limits_of(manifest)
    before, cost = _scores(source, pictures, limits)
    print(f"single precision: SRCC {stats.spearmanr(before[: len(opinions)], opinions)[0]:.4f}, {cost:.1f} core-ms", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        target = options.out or Path(folder) / "int8.onnx"
        for method in METHODS:
            quantise(source, target, [r.pixels() for r in train[::step]], method, limits.longest_side)
            after, cost = _scores(target, pictures, limits)
            srcc = stats.spearmanr(after[: len(opinions)], opinions)[0]
            worst = max(abs(a - b) for a, b in zip(before, after, strict=True))
            print(
                f"int8, {method}: SRCC {srcc:.4f}, {cost:.1f} core-ms, {target.stat().st_size / 1e6:.1f} MB; "
                f"of {len(pictures)} pictures {flips(before, after):.1%} change category, largest change {worst:.1f} points",
                flush=True,
            )


def _scores(path: Path, pictures: Sequence[NDArray[np.uint8]], limits: QualityInput) -> tuple[list[float], float]:
    """Scores, and core milliseconds of a picture in the network."""
    network, scores, spent = OnnxRuntime().load(path), [], 0.0
    for pixels in pictures:
        x = quality_input(pixels, limits.longest_side)
        start = time.process_time()
        output = float(network.run(x)[0])
        spent += time.process_time() - start
        scores.append(opinion_score(output, limits))
    return scores, 1000 * spent / len(pictures)


if __name__ == "__main__":
    main()
