"""Every step of an assessment is told in words."""

from __future__ import annotations

from hypothesis import given

from calibration.chain import assess
from calibration.explain import explain
from calibration.signals import Background, Kind, Signals
from tests.calibration import strategies as s


def test_certificate_with_much_text() -> None:
    """Rules in order, with their evidence; then the category."""
    signals = Signals(800, 600, Background(0.1, 0.1, 1, 20), text_area=0.41, keywords=("合同",))
    assert explain(assess(80.0, signals, s.PROFILE)) == [
        "text on 41% of the picture (limit 30%): 84.0 -> 54.3",
        "keywords 合同: 54.3 -> 44.6",
        "medium at 44.6",
    ]


def test_kinds_are_told_with_their_probability() -> None:
    """So that who tunes the rules sees how sure it was."""
    signals = Signals(800, 600, Background(0.1, 0.1, 1, 20), kind=Kind("poster", 0.91, 0.05, 0.12))
    first, *_ = explain(assess(12.0, signals, s.TOLD))
    assert first.startswith("poster, 91% sure (photo 5%, limit 50%, 0% flat, 1.3 long; ruined 12%): 12.0 -> 4")


@given(s.scores, s.signals)
def test_a_sentence_for_every_step(raw: float, signals: Signals) -> None:
    """And one for the category; none is just a rule's name."""
    assessment = assess(raw, signals, s.PROFILE)
    sentences = explain(assessment)
    assert len(sentences) == len(assessment.adjustments) + 1
    assert not any(
        sentence.startswith(step.rule + ":") for sentence, step in zip(sentences, assessment.adjustments, strict=False)
    )
