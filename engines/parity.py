"""The parity gate: two backends must say the same of the same pictures.

TensorRT and ONNX Runtime order their sums differently, and half precision rounds; now and then a backend is simply wrong. So
before one serves that did not record the golden answers, its scores and text areas are held against the other's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.engine_set import EngineSet
from engines.errors import ParityError
from engines.pictures import read_picture
from engines.quality import Judgement
from engines.text_detection import text_area
from engines.verify import PROBABILITY_MARGIN, golden_picture

__all__ = ["Difference", "compare_engines", "folder_pictures", "gate_pictures", "require_parity"]

Pixels = NDArray[np.uint8]
SCORE_MARGIN = 1.0
AREA_MARGIN = 0.02
THRESHOLDS = (40.0, 60.0)


@dataclass(frozen=True)
class Difference:
    """One picture under both backends; ``passed`` says whether they agree."""

    picture: str
    scores: tuple[float, float]
    areas: tuple[float, float]
    photo: tuple[float, float]
    passed: bool


def gate_pictures() -> Iterator[tuple[str, Pixels]]:
    """Golden pictures, and variants that come in other shapes and light: enough to see every layer, few enough for a start."""
    for name in ("quality_sharp.png", "quality_blurred.png", "text.png"):
        pixels = golden_picture(name)
        height, width = pixels.shape[:2]
        yield name, pixels
        yield f"{name}, portrait", np.ascontiguousarray(pixels[:, : max(64, height // 2)])
        yield f"{name}, banner", np.ascontiguousarray(pixels[: max(64, height // 3)])
        yield f"{name}, dark", (pixels // 4).astype(np.uint8)
        yield f"{name}, small", np.asarray(cv2.resize(pixels, (max(64, width // 3), max(64, height // 3))), dtype=np.uint8)


def folder_pictures(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """Every picture directly below ``folder`` that OpenCV can read, in name order."""
    for path in sorted(folder.iterdir()):
        pixels = read_picture(path) if path.is_file() else None
        if pixels is not None:
            yield path.name, pixels


def compare_engines(
    reference: EngineSet,
    candidate: EngineSet,
    pictures: Iterable[tuple[str, Pixels]],
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[Difference]:
    """Both sets' scores (0-100), text areas and probabilities of a photo (0-1; 1 from engines that tell no kinds).

    A picture passes if scores differ by at most 1, areas by at most 0.02 and probabilities by at most 0.05, and the category,
    which ``thresholds`` make of the score, is the same unless the score lies within 1 of a threshold.
    """
    results = []
    for name, pixels in pictures:
        said = (reference.quality.judge(pixels), candidate.quality.judge(pixels))
        scores, photo = (said[0].score, said[1].score), (_photo(said[0]), _photo(said[1]))
        areas = (_area(reference, pixels), _area(candidate, pixels))
        near = any(abs(scores[0] - threshold) <= SCORE_MARGIN for threshold in thresholds)
        same = near or bisect_right(list(thresholds), scores[0]) == bisect_right(list(thresholds), scores[1])
        close = abs(scores[0] - scores[1]) <= SCORE_MARGIN and abs(areas[0] - areas[1]) <= AREA_MARGIN
        told = (photo, *(tuple(getattr(one, name) or 0.0 for one in said) for name in ("ruined", "text")))
        close = close and all(abs(a - b) <= PROBABILITY_MARGIN for a, b in told)
        results.append(Difference(name, scores, areas, photo, same and close))
    return results


def require_parity(reference: EngineSet, candidate: EngineSet, thresholds: Sequence[float] = THRESHOLDS) -> None:
    """Compare on ``gate_pictures``.

    Raises:
        ParityError: the backends disagree; the message shows the worst picture.

    """
    failed = [result for result in compare_engines(reference, candidate, gate_pictures(), thresholds) if not result.passed]
    if failed:
        worst = max(failed, key=lambda result: abs(result.scores[0] - result.scores[1]))
        raise ParityError(
            f"{candidate.runtime_label} and {reference.runtime_label} disagree on {len(failed)} pictures; on {worst.picture}: "
            f"scores {worst.scores[1]} and {worst.scores[0]}, text areas {worst.areas[1]} and {worst.areas[0]}, "
            f"a photo with {worst.photo[1]} and {worst.photo[0]}"
        )


def _photo(said: Judgement) -> float:
    return said.kinds.get("photo", 1.0)


def _area(engines: EngineSet, pixels: Pixels) -> float:
    regions = engines.text_detection.detect(pixels)
    return text_area([region.extent for region in regions], pixels.shape[1], pixels.shape[0])
