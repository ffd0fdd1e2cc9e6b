"""Fits a profile's numbers to labelled pictures: cuts between scores from k-means, then every number by accuracy.

The bands that consumers read (``thresholds``) stay where a profile has an ``output_mapping``: what moves is where they begin
among the engine's scores.

Only the validation split is looked at; the test split is touched once, at the end, to say what was gained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.evaluate import Case, judged_codes, labelled_codes
from calibration.metrics import Codes, Interval, accuracy, bootstrap, macro_f1
from calibration.profile import Profile
from calibration.readings import signals_of
from calibration.thresholds import Cuts, Spread, kmeans_cuts, resampled_cuts

__all__ = ["Change", "Fit", "fit_profile"]

ROUNDS = 3
"""Times that every number is tried again, since the best of one depends on the others."""
SURE = 1.645
"""A change is kept if it puts right more pictures than it puts wrong, by more than chance would (McNemar, one-sided 95 %)."""

Field = tuple[str, str]
# What may be tuned, and the values tried. Limits that are definitions (256 px, 2.5, 30 % of text) are not: no data moves them.
GRID: dict[Field, Sequence[float]] = {
    ("cuts", "medium"): range(25, 51),
    ("cuts", "high"): range(44, 67),
    ("background", "min_share"): [round(0.2 + 0.025 * n, 3) for n in range(13)],
    ("background", "min_border_share"): [round(0.6 + 0.025 * n, 3) for n in range(16)],
    ("background", "max_roughness"): [round(0.2 + 0.05 * n, 2) for n in range(17)],
    ("background", "min_edge"): range(4, 31),
    ("background", "min_palette"): [round(0.6 + 0.025 * n, 3) for n in range(14)],
    ("background", "min_flat"): [round(0.3 + 0.025 * n, 3) for n in range(17)],
    ("kind", "probability"): [round(0.1 + 0.05 * n, 2) for n in range(17)],
    ("kind", "ruined"): [round(0.3 + 0.05 * n, 2) for n in range(14)],
    ("kind", "photo"): [round(0.5 + 0.05 * n, 2) for n in range(11)],
    ("drawn", "min_flat"): [round(0.2 + 0.025 * n, 3) for n in range(17)],
    ("drawn", "min_edge"): range(4, 41, 2),
    ("keywords", "alone_height"): [round(0.005 * n, 3) for n in range(4, 17)],
    ("keywords", "title_share"): [round(0.25 + 0.05 * n, 2) for n in range(10)],
}


@dataclass(frozen=True)
class Change:
    """One number that was changed."""

    field: Field
    before: float
    after: float


@dataclass(frozen=True)
class Fit:
    """The outcome: a profile of the next version, what was changed, what k-means said, and what it gains.

    ``gain`` is the difference in accuracy, new less old, on the split named by ``measured_on``, with its 95 % interval.
    """

    profile: Profile
    changes: tuple[Change, ...]
    cuts: Cuts
    spread: Spread
    before: float
    after: float
    gain: Interval
    measured_on: str


def fit_profile(
    cases: Sequence[Case], profile: Profile, progress: Callable[[int, int], None] | None = None, seed: int = 0
) -> Fit:
    """Fit ``profile`` to the labelled ``cases`` (made with it), and measure the gain on their test split if they have one.

    Raises:
        CalibrationError: there are no labelled pictures to fit to, or their scores do not differ.

    """
    rated = [case for case in cases if case.label.category and not case.reading.unscorable]
    seen = [case for case in rated if case.label.split != "test"]
    unseen = [case for case in rated if case.label.split == "test"]
    if not seen:
        raise CalibrationError("no labelled pictures outside the test split: a fit needs some with another split, or none")
    scores = [case.reading.raw_score for case in seen]
    try:
        cuts = kmeans_cuts(scores)
    except ValueError as error:
        raise CalibrationError(f"thresholds cannot be fitted: {error}") from error
    fitted = _search(seen, profile, cuts, progress)
    changes = tuple(
        Change(_field(profile, field), _value(profile, field), _value(fitted, field))
        for field in GRID
        if _value(profile, field) != _value(fitted, field)
    )
    if changes:
        fitted = fitted.model_copy(update={"version": profile.version + 1})
    checked = unseen or seen
    truth, old, new = labelled_codes(checked), judged_codes(checked, profile), judged_codes(_under(checked, fitted), fitted)
    gain = bootstrap(lambda pick: accuracy(truth[pick], new[pick]) - accuracy(truth[pick], old[pick]), truth.size, seed=seed)
    return Fit(
        profile=fitted,
        changes=changes,
        cuts=cuts,
        spread=resampled_cuts(scores, seed),
        before=accuracy(truth, old),
        after=accuracy(truth, new),
        gain=gain,
        measured_on="test" if unseen else "the pictures it was fitted to",
    )


class _Search:
    """Coordinate search: one number at a time, kept only where it is surely better than the best so far."""

    def __init__(self, cases: Sequence[Case], profile: Profile) -> None:
        self._cases = cases
        self._truth = labelled_codes(cases)
        self._by_keywords = {profile.keywords: list(cases)}
        self.best = profile
        self._judged = self._judge(profile)

    def offer(self, candidates: Sequence[Profile]) -> None:
        """Take the best of ``candidates`` in place of the best so far, if it is better."""
        judged = [(self._judge(candidate), candidate) for candidate in candidates]
        if not judged:
            return
        goodness = [(accuracy(self._truth, codes), macro_f1(self._truth, codes)) for codes, _ in judged]
        top = max(goodness)
        # Of equally good values the middle one: limits on the edge of what works are the first to fail on other pictures.
        equal = [index for index, found in enumerate(goodness) if found[0] == top[0] and found[1] >= top[1] - 1e-9]
        codes, chosen = judged[equal[len(equal) // 2]]
        if self._better(codes):
            self.best, self._judged = chosen, codes

    def _better(self, codes: Codes) -> bool:
        now, before = codes == self._truth, self._judged == self._truth
        won, lost = int((now & ~before).sum()), int((before & ~now).sum())
        return bool(won - lost > SURE * np.sqrt(won + lost))

    def _judge(self, profile: Profile) -> Codes:
        # Keywords are looked for anew only where their own limits change: everything else leaves signals as they are.
        if profile.keywords not in self._by_keywords:
            self._by_keywords[profile.keywords] = _under(self._cases, profile)
        return judged_codes(self._by_keywords[profile.keywords], profile)


def _search(cases: Sequence[Case], profile: Profile, cuts: Cuts, progress: Callable[[int, int], None] | None) -> Profile:
    search = _Search(cases, profile)
    by_kmeans = _with(_with(profile, ("cuts", "medium"), cuts.medium), ("cuts", "high"), cuts.high)
    search.offer([by_kmeans] if by_kmeans is not None else [])
    total = ROUNDS * len(GRID)
    for turn in range(ROUNDS):
        before = search.best
        for number, (field, values) in enumerate(GRID.items(), 1):
            candidates = (_with(search.best, field, value) for value in values)
            search.offer([candidate for candidate in candidates if candidate is not None])
            if progress:
                progress(turn * len(GRID) + number, total)
        if search.best == before:
            break
    if progress:
        progress(total, total)
    return search.best


def _under(cases: Sequence[Case], profile: Profile) -> list[Case]:
    """The same pictures with the keywords that ``profile`` finds in them."""
    return [replace(case, signals=signals_of(case.reading, profile)) for case in cases]


def _field(profile: Profile, field: Field) -> Field:
    """Where a number stands in ``profile``: cuts are its thresholds, unless it maps outputs onto these."""
    section, name = field
    return ("output_mapping" if profile.output_mapping else "thresholds", name) if section == "cuts" else field


def _value(profile: Profile, field: Field) -> float:
    section, name = _field(profile, field)
    return float(getattr(getattr(profile, section), name))


def _with(profile: Profile | None, field: Field, value: float) -> Profile | None:
    """The profile with one number changed; ``None`` where its other numbers do not allow that."""
    if profile is None:
        return None
    fields = profile.model_dump()
    section, name = _field(profile, field)
    fields[section][name] = round(float(value), 4)
    try:
        return Profile.model_validate(fields)
    except ValueError:
        return None
