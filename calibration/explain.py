"""One plain sentence for every step from the raw score to the category, for people who tune rules or ask why."""

from __future__ import annotations

from calibration.chain import Assessment
from calibration.rules import Adjustment

__all__ = ["explain"]


def explain(assessment: Assessment) -> list[str]:
    """Sentences in the order in which the rules fired; the last one gives the category."""
    steps = [f"{_reason(step)}: {step.before:.1f} -> {step.after:.1f}" for step in assessment.adjustments]
    return [*steps, f"{assessment.category} at {assessment.score:.1f}"]


def _reason(step: Adjustment) -> str:
    seen = step.evidence
    match step.rule:
        case "resolution_reward":
            return f"shorter side of {seen['shorter_side']} px (reward above {seen['limit']})"
        case "kind":
            sure = f"{seen['kind']}, {seen['probability']:.0%} sure (a photo: {seen['photo']:.0%}"
            return f"{sure}, ruined: {seen['ruined']:.0%})"
        case "background":
            if seen["sign"] == "plain":
                return f"one plain colour on {seen['share']:.0%} of the picture, {seen['border_share']:.0%} of its frame"
            return f"five colours on {seen['palette']:.0%} of the picture, {seen['flat']:.0%} of it flat"
        case "drawn":
            return f"drawn, no photo: {seen['flat']:.0%} of it flat (limit {seen['limit']:.0%})"
        case "text_area":
            return f"text on {seen['text_area']:.0%} of the picture (limit {seen['limit']:.0%})"
        case "keywords":
            words = seen["keywords"]
            return "keywords " + (", ".join(words) if isinstance(words, list) else str(words))
        case "aspect_ratio":
            return f"aspect ratio {seen['aspect_ratio']:.2f} (limit {seen['limit']})"
        case "resolution":
            return f"shorter side of {seen['shorter_side']} px (at least {seen['limit']})"
        case other:
            return other
