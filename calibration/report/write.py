"""Fills the page: figures, one row per picture for the sliders, and thumbnails of the pictures worth looking at."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from calibration.chain import assess, categorise, on_bands
from calibration.errors import CalibrationError
from calibration.evaluate import Case, Evaluation
from calibration.explain import explain
from calibration.metrics import CATEGORIES
from calibration.profile import Profile
from calibration.rules import RULES

__all__ = ["page_data", "write_report"]

MISTAKES = 48
PER_RULE = 12
THUMBNAIL = 220
PARTS = 10_000
"""Of a point: as finely as scores are rounded."""
"""Longest side of the pictures in the page, in pixels."""


def write_report(path: Path, found: Evaluation, cases: Sequence[Case], profile: Profile) -> None:
    """Write the page to ``path``. It needs no network and no other file.

    Raises:
        CalibrationError: it cannot be written.

    """
    template = (resources.files("calibration.report") / "page.html").read_text(encoding="utf-8")
    data = json.dumps(page_data(found, cases, profile), ensure_ascii=False).replace("</", "<\\/")
    page = template.replace("{{title}}", escape(f"{found.profile} on {found.labelled} labelled pictures")).replace(
        "{{data}}", data
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CalibrationError(f"report {path} cannot be written: {error}") from error


def page_data(found: Evaluation, cases: Sequence[Case], profile: Profile) -> dict[str, Any]:
    """What the page's script works on."""
    judged = [case for case in cases if case.assessment is not None]
    rated = [case for case in judged if case.label.category is not None]
    return {
        "evaluation": found.model_dump(mode="json"),
        "cuts": profile.cuts,
        "bands": profile.thresholds.model_dump(),
        "pictures": [_row(case, profile) for case in rated],
        "unjudged": [CATEGORIES.index(case.label.category) for case in cases if not case.assessment and case.label.category],
        "mistakes": [_card(case, profile) for case in _mistakes(rated, profile)[:MISTAKES]],
        "mistakes_total": len(_mistakes(rated, profile)),
        "changed": {
            rule.__name__: [_card(case, profile) for case in _changed(rated, rule.__name__, profile)[:PER_RULE]]
            for rule in RULES
        },
        "opinions": [[case.label.opinion, case.reading.raw_score] for case in judged if case.label.opinion is not None],
    }


def _row(case: Case, profile: Profile) -> list[float]:
    """Label, engine's score, and the scores on the bands from which on the picture is at least medium, and high.

    Rules keep the order of scores, so where cuts move, these two say the category.
    """
    label = case.label.category
    medium, high = (_opens(at_least, case, profile) for at_least in (1, 2))
    return [CATEGORIES.index(label) if label else -1, case.reading.raw_score, medium, high]


def _opens(at_least: int, case: Case, profile: Profile) -> float:
    """The lowest score on the bands that ends in a category, or a better one; above 100 if none does."""
    bare = profile.model_copy(update={"output_mapping": None})
    low, high = 0, 100 * PARTS + 1
    while low < high:
        middle = (low + high) // 2
        found = assess(min(100.0, middle / PARTS), case.signals, bare).category
        if middle > 100 * PARTS or CATEGORIES.index(found) >= at_least:
            high = middle
        else:
            low = middle + 1
    return low / PARTS


def _mistakes(cases: Sequence[Case], profile: Profile) -> list[Case]:
    """Wrong categories, those farthest from the right one first."""
    wrong = [case for case in cases if case.assessment and case.assessment.category != case.label.category]
    return sorted(wrong, key=lambda case: _distance(case, profile), reverse=True)


def _distance(case: Case, profile: Profile) -> float:
    ends = {
        "low": (0.0, profile.thresholds.medium),
        "medium": (profile.thresholds.medium, profile.thresholds.high),
        "high": (profile.thresholds.high, 100.0),
    }
    low, high = ends[case.label.category or "low"]
    score = case.assessment.score if case.assessment else 0.0
    return max(low - score, score - high)


def _changed(cases: Sequence[Case], rule: str, profile: Profile) -> list[Case]:
    """Pictures whose category a rule moved, those that are wrong now first."""
    moved = [
        case
        for case in cases
        if case.assessment
        and any(
            step.rule == rule and categorise(step.before, profile.thresholds) != categorise(step.after, profile.thresholds)
            for step in case.assessment.adjustments
        )
    ]
    return sorted(moved, key=lambda case: case.assessment is not None and case.assessment.category == case.label.category)


def _card(case: Case, profile: Profile) -> dict[str, Any]:
    done = case.assessment
    return {
        "name": case.label.name,
        "kind": " ".join(filter(None, (case.label.kind, case.label.detail))),
        "label": case.label.category,
        "raw": on_bands(case.reading.raw_score, profile),
        "raw_category": categorise(on_bands(case.reading.raw_score, profile), profile.thresholds),
        "category": done.category if done else None,
        "why": explain(done) if done else [],
        "picture": _thumbnail(case.label.file),
    }


def _thumbnail(file: Path) -> str:
    pixels = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if pixels is None:
        return ""
    scale = min(1.0, THUMBNAIL / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    _, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 78])
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode()
