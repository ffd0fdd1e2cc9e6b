"""The golden check: every engine answers its recorded pictures as it did when it was made.

A worker runs it at start and does not become ready when an answer differs by more than the manifest's tolerance: a wrong
file, another runtime or an odd processor is found before it judges anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Golden, Manifest, shipped_weights
from engines.engine_set import EngineSet
from engines.errors import GoldenError
from engines.pictures import read_picture
from engines.quality import QualityEngine
from engines.text_detection import text_area

__all__ = ["GoldenResult", "golden_picture", "require_golden", "verify_engines"]


PROBABILITY_MARGIN = 0.05


@dataclass(frozen=True)
class GoldenResult:
    """One golden picture's outcome: what was recorded, what was answered now, and whether that is close enough."""

    engine: str
    picture: str
    recorded: str
    answered: str
    passed: bool


def golden_picture(name: str) -> NDArray[np.uint8]:
    """A golden picture that ships with the package (H x W x 3, uint8, RGB).

    Raises:
        GoldenError: it is missing or damaged.

    """
    path = shipped_weights() / "golden" / name
    pixels = read_picture(path)
    if pixels is None:
        raise GoldenError(f"golden picture {path} is missing or damaged; install the package again")
    return pixels


def verify_engines(engines: EngineSet) -> list[GoldenResult]:
    """Run every golden picture of every engine."""
    results = [_quality(judge, golden) for judge in engines.quality.members for golden in judge.manifest.golden]
    results += [_detection(engines, golden) for golden in engines.text_detection.manifest.golden]
    results += [_recognition(engines, golden) for golden in engines.text_recognition.manifest.golden]
    return results


def require_golden(engines: EngineSet) -> None:
    """Run the golden check.

    Raises:
        GoldenError: an engine answers differently; the message shows both answers.

    """
    for result in verify_engines(engines):
        if not result.passed:
            raise GoldenError(
                f"engine {result.engine} answers {result.answered} to {result.picture}, recorded was {result.recorded}"
            )


def _close(answer: float, recorded: float | None, tolerance: float) -> bool:
    return recorded is None or abs(answer - recorded) <= tolerance


def _result(manifest: Manifest, golden: Golden, recorded: object, answered: object, *, passed: bool) -> GoldenResult:
    return GoldenResult(manifest.label, golden.picture, str(recorded), str(answered), passed)


def _quality(engine: QualityEngine, golden: Golden) -> GoldenResult:
    said = engine.judge(golden_picture(golden.picture))
    if golden.photo is None:
        passed = _close(said.score, golden.score, golden.tolerance)
        return _result(engine.manifest, golden, golden.score, said.score, passed=passed)
    answered = (said.score, said.kinds.get("photo", 0.0), said.ruined or 0.0, said.text or 0.0)
    recorded = (golden.score, golden.photo, golden.ruined, golden.text_seen)
    margins = (golden.tolerance, *3 * (PROBABILITY_MARGIN,))
    passed = all(_close(*each) for each in zip(answered, recorded, margins, strict=True))
    shown = _told(*answered[:3], None if golden.text_seen is None else answered[3])
    return _result(engine.manifest, golden, _told(*recorded), shown, passed=passed)


def _told(score: float | None, photo: float, ruined: float | None, text: float | None) -> str:
    return f"{score}, photo {photo}, ruined {ruined}" + ("" if text is None else f", text {text}")


def _detection(engines: EngineSet, golden: Golden) -> GoldenResult:
    pixels = golden_picture(golden.picture)
    regions = engines.text_detection.detect(pixels)
    area = text_area([region.extent for region in regions], pixels.shape[1], pixels.shape[0])
    passed = golden.boxes in {None, len(regions)} and _close(area, golden.text_area, golden.tolerance)
    recorded = f"{golden.boxes} boxes, area {golden.text_area}"
    return _result(engines.text_detection.manifest, golden, recorded, f"{len(regions)} boxes, area {area}", passed=passed)


def _recognition(engines: EngineSet, golden: Golden) -> GoldenResult:
    text = engines.text_recognition.read_line(golden_picture(golden.picture)).text
    return _result(engines.text_recognition.manifest, golden, repr(golden.text), repr(text), passed=text == golden.text)
