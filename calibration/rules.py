"""The rules: each looks at signals and may adjust the score.

The conditions are those of the published article ("From Blur to Brilliance", 58.com); how a score is brought down is ours:
scores are squashed, never clipped, so that the better of two capped pictures still ranks higher. The shipped order matters:
the reward comes first, so that it cannot lift what another rule has capped; background next, since it is the only other rule
that may raise a score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from calibration.profile import Profile, Thresholds
from calibration.signals import Signals

__all__ = ["RULES", "Adjustment", "Evidence", "Rule", "squash"]

Evidence = Mapping[str, float | int | str | list[str]]

MARGIN = 0.5
"""Points that a capped score stays below the threshold it may not reach."""


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


def _medium_at_best(score: float, thresholds: Thresholds) -> float:
    return squash(score, thresholds.medium, thresholds.high - MARGIN)


def _into_medium(score: float, thresholds: Thresholds) -> float:
    """Map 0-100 linearly onto the medium range: a medium picture, whatever the quality engine makes of it."""
    bottom, top = thresholds.medium + MARGIN / 2, thresholds.high - MARGIN
    return round(bottom + score * (top - bottom) / 100.0, 4)


def _low(score: float, thresholds: Thresholds) -> float:
    return squash(score, 0.0, thresholds.medium - MARGIN)


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


def background(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Logos and product shots on one plain colour: into the medium range if they are sharp, else medium at best."""
    limits, seen = profile.background, signals.background
    plain = seen.share >= limits.min_share and seen.border_share >= limits.min_border_share
    if not limits.enabled or not plain or seen.roughness > limits.max_roughness:
        return None
    evidence = {"share": seen.share, "border_share": seen.border_share, "edge": seen.edge, "limit": limits.min_share}
    effect = _into_medium if seen.edge >= limits.min_edge else _medium_at_best
    return _adjusted("background", score, effect(score, profile.thresholds), evidence)


def text_area(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Posters: more text than the limit is medium at best."""
    limits = profile.text_area
    if not limits.enabled or signals.text_area is None or signals.text_area <= limits.limit:
        return None
    evidence = {"text_area": signals.text_area, "limit": limits.limit}
    return _adjusted("text_area", score, _medium_at_best(score, profile.thresholds), evidence)


def keywords(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Certificates, licences, contracts: medium at best, or low if the profile says so."""
    if not profile.keywords.enabled or not signals.keywords:
        return None
    cap = _low if profile.keywords.effect == "low" else _medium_at_best
    return _adjusted("keywords", score, cap(score, profile.thresholds), {"keywords": list(signals.keywords)})


def aspect_ratio(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Banners: medium at best."""
    limits = profile.aspect_ratio
    if not limits.enabled or signals.aspect_ratio <= limits.limit:
        return None
    evidence = {"aspect_ratio": round(signals.aspect_ratio, 4), "limit": limits.limit}
    return _adjusted("aspect_ratio", score, _medium_at_best(score, profile.thresholds), evidence)


def resolution(score: float, signals: Signals, profile: Profile) -> Adjustment | None:
    """Tiny pictures are low."""
    limits, side = profile.resolution, signals.shorter_side
    if not limits.enabled or side >= limits.low_below:
        return None
    evidence = {"shorter_side": side, "limit": limits.low_below}
    return _adjusted("resolution", score, _low(score, profile.thresholds), evidence)


RULES: tuple[Rule, ...] = (resolution_reward, background, text_area, keywords, aspect_ratio, resolution)
"""In the order in which they are applied."""
