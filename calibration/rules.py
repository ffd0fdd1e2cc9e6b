"""The rules: each looks at signals and may adjust the score.

The conditions are those of the published article ("From Blur to Brilliance", 58.com); how a score is brought down is ours.
Scores are squashed, never clipped, so that the better of two capped pictures still ranks higher. Limits are soft: on the way to
one the score nears the end of its category without leaving it, and beyond it sinks to full depth step by step, so that a pixel
more or less never moves a picture far. The shipped order matters: the reward comes first, so that it cannot lift what another
rule has capped; then the three rules that may raise a score, kind, background and drawn; then the caps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from calibration.profile import Profile, Thresholds
from calibration.signals import Signals

__all__ = ["RULES", "Adjustment", "Evidence", "Rule", "squash"]

Evidence = Mapping[str, float | int | str | list[str]]

MARGIN = 0.5
"""Points that a capped score stays below the threshold it may not reach."""
KEPT = 0.1
"""What is left, at a limit, of the points between a score and the end of its category; and of a cap's depth just beyond it."""


@dataclass(frozen=True)
class Adjustment:
    """What one rule did: its name, the score before and after (0-100), and the numbers that made it act."""

    rule: str
    before: float
    after: float
    evidence: Evidence


Rule = Callable[[float, Signals, Profile], Adjustment | None]


def squash(score: float, floor: float, ceiling: float) -> float:
    """Map ``floor``..100 linearly onto ``floor``..``ceiling``; scores at or below ``floor`` stay. Never raises a score."""
    if score <= floor:
        return score
    return round(floor + (score - floor) * (ceiling - floor) / (100.0 - floor), 4)


def _capped(score: float, floor: float, end: float, beyond: float) -> float:
    """Bring a score below ``end`` (a threshold); how deep depends on how far ``beyond`` its limit a signal is (0-1).

    Just beyond it, what was above the threshold comes close below it; far beyond it, ``floor``..100 is squashed evenly.
    """
    if score <= floor:
        return score
    ceiling = end - MARGIN
    bend = ceiling - KEPT * (ceiling - floor)
    shallow = float(np.interp(score, (floor, end, 100.0), (floor, bend, ceiling)))
    return round((1.0 - beyond) * shallow + beyond * squash(score, floor, ceiling), 4)


def _nearing(score: float, ends: tuple[float, ...], nearness: float) -> float:
    """Shrink the points between a score and the highest of ``ends`` (thresholds) below it; its category stays."""
    end = max((end for end in ends if end < score), default=score)
    return round(end + (score - end) * (1.0 - (1.0 - KEPT) * nearness), 4)


def _medium_at_best(score: float, thresholds: Thresholds, over: float = 1.0) -> float:
    """``over``: -1 far below a limit, 0 at it, 1 far beyond it, in widths of its soft zone."""
    if over <= 0:
        return _nearing(score, (thresholds.high,), 1.0 + over) if score > thresholds.high else score
    return _capped(score, thresholds.medium, thresholds.high, over)


def _low(score: float, thresholds: Thresholds, over: float = 1.0) -> float:
    if over <= 0:
        above = score > thresholds.medium
        return _nearing(score, (thresholds.medium, thresholds.high), 1.0 + over) if above else score
    return _capped(score, 0.0, thresholds.medium, over)


def _over(value: float, limit: float, soft: float) -> float:
    """How far ``value`` is beyond ``limit``, in widths of the soft zone: from -1 (or less: nothing happens yet) to 1."""
    if soft <= 0:
        return 1.0 if value > limit else -1.0
    return float(np.clip((value - limit) / soft, -1.0, 1.0))


def _into_medium(score: float, thresholds: Thresholds) -> float:
    """Map 0-100 linearly onto the medium range: a medium picture, whatever the quality engine makes of it."""
    bottom, top = thresholds.medium + MARGIN / 2, thresholds.high - MARGIN
    return round(bottom + score * (top - bottom) / 100.0, 4)


def _adjusted(rule: str, before: float, after: float, evidence: Evidence) -> Adjustment | None:
    return Adjustment(rule, before, after, evidence) if after != before else None


def resolution_reward(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Large pictures gain a little, smoothly from ``reward_from`` to ``reward_full``; low ones gain nothing."""
    limits, side = profile.resolution, signals.shorter_side
    if not limits.enabled or side <= limits.reward_from or score < profile.thresholds.medium:
        return None
    share = min(1.0, (side - limits.reward_from) / (limits.reward_full - limits.reward_from))
    after = round(score + limits.reward_points * share * (100.0 - score) / 100.0, 4)
    return _adjusted("resolution_reward", score, after, {"shorter_side": side, "limit": limits.reward_from})


def kind(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """No photo: into the medium range if it is whole, else low. What photo engines make of drawings says nothing about them.

    A score that is high in spite of ruin says that one of the two is wrong: that is medium at best, not low.
    """
    limits, seen = profile.kind, signals.kind
    if not limits.enabled or seen is None:
        return None
    limit = _asked(signals, profile)
    # A zone wider than its limit would reach pictures that are surely photos.
    over = _over(1.0 - seen.photo, limit, min(limits.soft, limit))
    # At the limit half of the way to what is no photo; a photo that is hardly in doubt stays where it is.
    share = 0.5 * (1.0 + over)
    if share <= 0:
        return None
    ruined = seen.ruined >= limits.ruined
    spoil = _medium_at_best if score >= profile.thresholds.high else _low
    goal = (spoil if ruined else _into_medium)(score, profile.thresholds)
    after = round(score + share * (goal - score), 4)
    evidence: Evidence = {
        "kind": seen.name,
        "probability": seen.probability,
        "photo": seen.photo,
        "ruined": seen.ruined,
        "flat": signals.background.flat,
        "aspect_ratio": round(signals.aspect_ratio, 4),
        "limit": round(1.0 - limit, 4),
    }
    return _adjusted("kind", score, after, evidence)


def _text_limit(signals: Signals, profile: Profile) -> float:
    """The share of text that is allowed: more, step by step, the surer it is a photo."""
    limits, doubt = profile.text_area, profile.kind
    if limits.photo_limit is None or not doubt.enabled or signals.kind is None:
        return limits.limit
    sure = 1.0 + min(0.0, _over(signals.kind.photo, doubt.photo, doubt.soft))
    return limits.limit + sure * max(0.0, limits.photo_limit - limits.limit)


def _surely_photo(signals: Signals, profile: Profile) -> bool:
    return profile.kind.enabled and signals.kind is not None and signals.kind.photo >= profile.kind.photo


def _asked(signals: Signals, profile: Profile) -> float:
    """The probability of being no photo that is asked for, given how flat and how long the picture is."""
    asked, flat, seen = profile.kind.probability, profile.kind.flat, signals.background
    if flat is not None and seen.edge >= flat.min_edge:
        asked = float(np.interp(seen.flat, (flat.begin, flat.full), (asked, min(asked, flat.probability))))
    long = profile.aspect_ratio
    if profile.kind.strip is None or not long.enabled:
        return asked
    over = max(0.0, _over(signals.aspect_ratio, long.limit, long.soft))
    return min(asked, asked + over * (profile.kind.strip - asked))


def background(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Logos and product shots: into the medium range if they are sharp, else medium at best.

    The evidence is one smooth colour over much of the picture and nearly all of its frame, or a few flat colours in all.
    """
    limits, seen = profile.background, signals.background
    plain = seen.share >= limits.min_share and seen.border_share >= limits.min_border_share
    smooth = plain and seen.roughness <= limits.max_roughness
    few = seen.palette >= limits.min_palette and seen.flat >= limits.min_flat
    if not limits.enabled or _surely_photo(signals, profile) or not (smooth or few):
        return None
    evidence: dict[str, float | int | str | list[str]] = {"sign": "plain" if smooth else "few_colours", "edge": seen.edge}
    if smooth:
        evidence |= {"share": seen.share, "border_share": seen.border_share, "roughness": seen.roughness}
    else:
        evidence |= {"palette": seen.palette, "flat": seen.flat}
    effect = _into_medium if seen.edge >= limits.min_edge else _medium_at_best
    return _adjusted("background", score, effect(score, profile.thresholds), evidence)


def drawn(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Pages, panels and flyers that another rule makes medium at best: into the medium range, since they are no bad photos.

    Quality engines know photos, and find a clean page poor. Flat areas and sharp edges tell it from a ruined photo.
    """
    limits, seen = profile.drawn, signals.background
    if not limits.enabled or seen.flat < limits.min_flat or seen.edge < limits.min_edge:
        return None
    wordy = profile.text_area.enabled and (signals.text_area or 0.0) > _text_limit(signals, profile)
    named = profile.keywords.enabled and bool(signals.keywords)
    long = profile.aspect_ratio.enabled and signals.aspect_ratio > profile.aspect_ratio.limit
    if not (wordy or named or long):
        return None
    evidence = {"flat": seen.flat, "edge": seen.edge, "limit": limits.min_flat}
    return _adjusted("drawn", score, _into_medium(score, profile.thresholds), evidence)


def text_area(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Posters: more text than the limit is medium at best; photos of signs have a limit of their own."""
    limits = profile.text_area
    if not limits.enabled or signals.text_area is None:
        return None
    limit = _text_limit(signals, profile)
    after = _medium_at_best(score, profile.thresholds, _over(signals.text_area, limit, limits.soft))
    return _adjusted("text_area", score, after, {"text_area": signals.text_area, "limit": round(limit, 4)})


def keywords(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Certificates, licences, contracts: medium at best, or low if the profile says so."""
    if not profile.keywords.enabled or not signals.keywords:
        return None
    cap = _low if profile.keywords.effect == "low" else _medium_at_best
    return _adjusted("keywords", score, cap(score, profile.thresholds), {"keywords": list(signals.keywords)})


def aspect_ratio(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Banners: medium at best."""
    limits = profile.aspect_ratio
    if not limits.enabled:
        return None
    after = _medium_at_best(score, profile.thresholds, _over(signals.aspect_ratio, limits.limit, limits.soft))
    evidence = {"aspect_ratio": round(signals.aspect_ratio, 4), "limit": limits.limit}
    return _adjusted("aspect_ratio", score, after, evidence)


def resolution(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Tiny pictures are low."""
    limits, side = profile.resolution, signals.shorter_side
    if not limits.enabled:
        return None
    # The limit itself is still allowed: one pixel less is the first that is too small.
    over = _over(limits.low_below - side, 0.0, limits.soft)
    return _adjusted(
        "resolution", score, _low(score, profile.thresholds, over), {"shorter_side": side, "limit": limits.low_below}
    )


RULES: tuple[Rule, ...] = (resolution_reward, kind, background, drawn, text_area, keywords, aspect_ratio, resolution)
"""In the order in which they are applied."""
