"""Compares verdicts with labels: before the rules and after them, and what each rule has to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from calibration.chain import Assessment, assess, keywords_can_matter, text_can_matter
from calibration.labels import Label
from calibration.metrics import (
    CATEGORIES,
    Codes,
    Interval,
    accuracy,
    bootstrap,
    confusion,
    macro_f1,
    plcc,
    srcc,
    wilson,
)
from calibration.profile import Profile
from calibration.readings import Reading, signals_of
from calibration.rules import RULES, Rule
from calibration.signals import Signals

__all__ = ["Case", "Evaluation", "evaluate", "judged_codes", "labelled_codes", "make_cases"]

STAGES = {"background": "background", "text_area": "text_detection", "keywords": "text_recognition"}
"""The stage that a rule's signal costs; the others read what is there anyway."""
TEXT_MARGIN = 0.03


@dataclass(frozen=True)
class Case:
    """One labelled picture under one profile; ``assessment`` is ``None`` where it could not be judged."""

    label: Label
    reading: Reading
    signals: Signals
    assessment: Assessment | None


class Agreement(BaseModel):
    """How well one set of categories agrees with the labels."""

    accuracy: Interval
    macro_f1: float
    confusion: list[list[int]]


class KindResult(BaseModel):
    """Accuracy within one kind of pictures."""

    pictures: int
    raw: float
    calibrated: float


class RuleEffect(BaseModel):
    """What one rule does: how often, for better or worse, and what its signal costs (milliseconds a picture).

    ``alone`` and ``left_out`` are accuracies with this rule only, and with all others only. ``cost_ms`` is what its signal
    costs where it is measured; ``mean_cost_ms`` spreads that over all pictures of a worker that reads text only where it can
    matter.
    """

    fired: int
    corrected: int
    spoilt: int
    alone: float
    left_out: float
    cost_ms: float
    mean_cost_ms: float


class Shown(BaseModel):
    """Pictures that users would see (judged medium or high), and how many of them are labelled low."""

    shown: int
    low: int
    rate: Interval


class Opinions(BaseModel):
    """Agreement of scores with mean opinion scores."""

    pictures: int
    srcc: Interval
    plcc: Interval
    srcc_calibrated: float


class TextArea(BaseModel):
    """Agreement of measured text areas with true ones; ``within`` is the share that is off by no more than three points."""

    pictures: int
    mean_error: float
    bias: float
    within: float


class Evaluation(BaseModel):
    """Everything that ``iqa calibrate evaluate`` says."""

    profile: str
    pictures: int
    labelled: int
    unscorable: int
    raw: Agreement
    calibrated: Agreement
    gain: Interval
    kinds: dict[str, KindResult]
    rules: dict[str, RuleEffect]
    shown_unfiltered: Shown
    shown_raw: Shown
    shown: Shown
    opinions: Opinions | None
    text_area: TextArea | None
    costs_ms: dict[str, float]


def make_cases(labels: Sequence[Label], readings: Sequence[Reading], profile: Profile) -> list[Case]:
    """Judge every labelled picture by ``profile``."""
    cases = []
    for label, reading in zip(labels, readings, strict=True):
        signals = signals_of(reading, profile)
        done = None if reading.unscorable else assess(reading.raw_score, signals, profile)
        cases.append(Case(label, reading, signals, done))
    return cases


def labelled_codes(cases: Sequence[Case]) -> Codes:
    """The labels' categories as indices; every case must have one."""
    return np.array([CATEGORIES.index(case.label.category) for case in cases if case.label.category], np.int64)


def judged_codes(cases: Sequence[Case], profile: Profile, rules: Sequence[Rule] = RULES) -> Codes:
    """Categories that ``rules`` of ``profile`` give, as indices; -1 where a picture could not be judged."""
    return np.array(
        [
            -1
            if case.reading.unscorable
            else CATEGORIES.index(assess(case.reading.raw_score, case.signals, profile, rules).category)
            for case in cases
        ],
        np.int64,
    )


def evaluate(cases: Sequence[Case], profile: Profile) -> Evaluation:
    """Everything that can be said about ``cases`` (of ``make_cases`` with the same profile)."""
    rated = [case for case in cases if case.label.category is not None]
    truth = labelled_codes(rated)
    raw = judged_codes(rated, profile, ())
    final = judged_codes(rated, profile)
    costs = _costs(cases)
    gain = bootstrap(lambda pick: accuracy(truth[pick], final[pick]) - accuracy(truth[pick], raw[pick]), truth.size)
    everything = np.full(truth.size, CATEGORIES.index("high"), np.int64)
    return Evaluation(
        profile=profile.label,
        pictures=len(cases),
        labelled=len(rated),
        unscorable=sum(case.assessment is None for case in cases),
        raw=_agreement(truth, raw),
        calibrated=_agreement(truth, final),
        gain=gain,
        kinds=_kinds(rated, truth, raw, final),
        rules={rule.__name__: _effect(rule, cases, rated, truth, final, profile, costs) for rule in RULES},
        shown_unfiltered=_shown(truth, everything),
        shown_raw=_shown(truth, raw),
        shown=_shown(truth, final),
        opinions=_opinions(cases),
        text_area=_text_area(cases),
        costs_ms=costs,
    )


def _agreement(truth: Codes, judged: Codes) -> Agreement:
    return Agreement(
        accuracy=bootstrap(lambda pick: accuracy(truth[pick], judged[pick]), truth.size),
        macro_f1=macro_f1(truth, judged),
        confusion=confusion(truth, judged).tolist(),
    )


def _kinds(cases: Sequence[Case], truth: Codes, raw: Codes, final: Codes) -> dict[str, KindResult]:
    names = np.array([case.label.kind for case in cases], dtype=object)
    found = {}
    for name in dict.fromkeys(names.tolist()):
        here: NDArray[np.bool_] = names == name
        found[name] = KindResult(
            pictures=int(here.sum()), raw=accuracy(truth[here], raw[here]), calibrated=accuracy(truth[here], final[here])
        )
    return found


def _effect(
    rule: Rule,
    cases: Sequence[Case],
    rated: Sequence[Case],
    truth: Codes,
    final: Codes,
    profile: Profile,
    costs: dict[str, float],
) -> RuleEffect:
    name = rule.__name__
    without = judged_codes(rated, profile, [other for other in RULES if other is not rule])
    stage = STAGES.get(name)
    cost = costs.get(stage, 0.0) if stage else 0.0
    return RuleEffect(
        fired=sum(step.rule == name for case in cases if case.assessment for step in case.assessment.adjustments),
        corrected=int(((without != truth) & (final == truth)).sum()),
        spoilt=int(((without == truth) & (final != truth)).sum()),
        alone=accuracy(truth, judged_codes(rated, profile, (rule,))),
        left_out=accuracy(truth, without),
        cost_ms=cost,
        mean_cost_ms=round(cost * _share_measured(name, cases, profile), 2),
    )


def _share_measured(rule: str, cases: Sequence[Case], profile: Profile) -> float:
    """The share of pictures on which a worker that reads text lazily measures a rule's signal."""
    scored = [case for case in cases if case.assessment]
    if rule not in {"text_area", "keywords"} or not scored:
        return 1.0 if rule in STAGES else 0.0
    located = [case for case in scored if text_can_matter(case.reading.raw_score, case.signals, profile)]
    if rule == "text_area":
        return len(located) / len(scored)
    return sum(keywords_can_matter(case.reading.raw_score, case.signals, profile) for case in located) / len(scored)


def _shown(truth: Codes, judged: Codes) -> Shown:
    seen = judged >= CATEGORIES.index("medium")
    low = int((truth[seen] == CATEGORIES.index("low")).sum())
    return Shown(shown=int(seen.sum()), low=low, rate=wilson(low, int(seen.sum())))


def _opinions(cases: Sequence[Case]) -> Opinions | None:
    rated = [(case.label.opinion, case.reading.raw_score, case.assessment.score) for case in cases
             if case.label.opinion is not None and case.assessment]  # fmt: skip
    if len(rated) < 3:
        return None
    opinion, raw, final = (np.array(column, float) for column in zip(*rated, strict=True))
    return Opinions(
        pictures=len(rated),
        srcc=bootstrap(lambda pick: srcc(raw[pick].tolist(), opinion[pick].tolist()), len(rated)),
        plcc=bootstrap(lambda pick: plcc(raw[pick].tolist(), opinion[pick].tolist()), len(rated)),
        srcc_calibrated=srcc(final.tolist(), opinion.tolist()),
    )


def _text_area(cases: Sequence[Case]) -> TextArea | None:
    off = np.array(
        [case.reading.text_area - case.label.text_area for case in cases
         if case.label.text_area is not None and case.assessment]
    )  # fmt: skip
    if off.size == 0:
        return None
    return TextArea(
        pictures=off.size,
        mean_error=float(np.abs(off).mean()),
        bias=float(off.mean()),
        within=float((np.abs(off) <= TEXT_MARGIN).mean()),
    )


def _costs(cases: Sequence[Case]) -> dict[str, float]:
    stages = dict.fromkeys(stage for case in cases for stage in case.reading.costs)
    return {
        stage: round(float(np.mean([case.reading.costs[stage] for case in cases if stage in case.reading.costs])), 2)
        for stage in stages
    }
