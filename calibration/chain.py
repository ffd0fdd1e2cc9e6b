"""Applies the rules in order and says whether reading text could still change the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from calibration.profile import Profile, Thresholds
from calibration.rules import RULES, Adjustment, Rule
from calibration.signals import Signals

__all__ = ["Assessment", "Category", "assess", "categorise", "keywords_can_matter", "on_bands", "text_can_matter"]

Category = Literal["low", "medium", "high"]


@dataclass(frozen=True)
class Assessment:
    """The outcome for one picture.

    Attributes:
        category: of the calibrated score.
        score: calibrated, 0-100.
        raw_score: before the rules, on the profile's bands, 0-100.
        engine_score: what the quality engine said, 0-100; ``raw_score`` is where that lies on the profile's bands.
        adjustments: what each rule that fired did, in order; the first starts at ``raw_score``, the last ends at ``score``.

    """

    category: Category
    score: float
    raw_score: float
    engine_score: float
    adjustments: tuple[Adjustment, ...]


def categorise(score: float, thresholds: Thresholds) -> Category:
    """The category of a score from 0 to 100; a threshold belongs to the category that it opens."""
    if score >= thresholds.high:
        return "high"
    return "medium" if score >= thresholds.medium else "low"


def on_bands(engine_score: float, profile: Profile) -> float:
    """An engine's score where ``profile.thresholds`` divide the categories, 0-100; see ``OutputMapping``."""
    ends = profile.thresholds
    if profile.cuts == (ends.medium, ends.high):
        return engine_score
    return round(float(np.interp(engine_score, (0, *profile.cuts, 100), (0, ends.medium, ends.high, 100))), 4)


def assess(engine_score: float, signals: Signals, profile: Profile, rules: Sequence[Rule] = RULES) -> Assessment:
    """Bring the score onto the profile's bands, then apply every rule once, in order.

    The same arguments always give the same assessment.

    Evaluations leave ``rules`` out, or try one alone; a worker never does.

    Raises:
        ValueError: ``engine_score`` is not within 0-100.

    """
    if not 0.0 <= engine_score <= 100.0:
        raise ValueError(f"engine_score must be within 0-100, not {engine_score}")
    score = raw_score = on_bands(engine_score, profile)
    adjustments: list[Adjustment] = []
    for rule in rules:
        adjustment = rule(score, signals, profile)
        if adjustment is not None:
            adjustments.append(adjustment)
            score = adjustment.after
    return Assessment(categorise(score, profile.thresholds), score, raw_score, engine_score, tuple(adjustments))


def text_can_matter(engine_score: float, signals: Signals, profile: Profile) -> bool:
    """Whether any text at all could change the category of a picture whose text was not measured yet.

    Asks the rules themselves, with all that text there could be: no knowledge about them is repeated here. What rules make of
    text areas changes at one limit, and what they make of keywords depends on whether there are any, so four cases cover all.
    """
    outcomes = {
        _category(engine_score, signals, profile, area, words)
        for area in (None, 1.0)
        for words in (None, profile.keywords.words)
    }
    return len(outcomes) > 1


def keywords_can_matter(engine_score: float, signals: Signals, profile: Profile) -> bool:
    """Whether keywords could change the category, given the text area already in ``signals``."""
    outcomes = {_category(engine_score, signals, profile, signals.text_area, words) for words in (None, profile.keywords.words)}
    return len(outcomes) > 1


def _category(
    engine_score: float, signals: Signals, profile: Profile, area: float | None, words: tuple[str, ...] | None
) -> Category:
    return assess(engine_score, replace(signals, text_area=area, keywords=words), profile).category
