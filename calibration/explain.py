"""One plain sentence for every step from the raw score to the category, for people who tune rules or ask why."""

from __future__ import annotations

from calibration.chain import Assessment
from calibration.rules import Adjustment

__all__ = ["explain"]

REASONS = {
    "resolution_reward": "shorter side of {shorter_side} px (reward above {limit})",
    "kind": "{kind}, {probability:.0%} sure (photo {photo:.0%}, limit {limit:.0%}, {flat:.0%} flat, {aspect_ratio:.1f} long; "
    "ruined {ruined:.0%})",
    "background plain": "one plain colour on {share:.0%} of the picture, {border_share:.0%} of its frame",
    "background few_colours": "five colours on {palette:.0%} of the picture, {flat:.0%} of it flat",
    "drawn": "drawn, no photo: {flat:.0%} of it flat (limit {limit:.0%})",
    "text_area": "text on {text_area:.0%} of the picture (limit {limit:.0%})",
    "aspect_ratio": "aspect ratio {aspect_ratio:.2f} (limit {limit})",
    "resolution": "shorter side of {shorter_side} px (at least {limit})",
}
"""Why a rule acted, in its evidence's numbers."""


def explain(assessment: Assessment) -> list[str]:
    """Sentences in the order in which the rules fired; the last one gives the category."""
    steps = [f"{_reason(step)}: {step.before:.1f} -> {step.after:.1f}" for step in assessment.adjustments]
    return [*steps, f"{assessment.category} at {assessment.score:.1f}"]


def _reason(step: Adjustment) -> str:
    seen = step.evidence
    if step.rule == "keywords":
        words = seen["keywords"]
        return "keywords " + (", ".join(words) if isinstance(words, list) else str(words))
    rule = f"background {seen['sign']}" if step.rule == "background" else step.rule
    return REASONS.get(rule, rule).format_map(seen)
