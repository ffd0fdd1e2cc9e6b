"""Evaluations say what is so, on pictures small enough to count by hand."""

from __future__ import annotations

import pytest

from calibration.evaluate import evaluate
from calibration.profile_file import load_profile
from tests.calibration.cases import MIXED, cases, picture

PROFILE = load_profile("recruitment").model_copy(
    update={"thresholds": load_profile("recruitment").thresholds.model_copy(update={"medium": 40, "high": 60})}
)


def test_accuracy_before_and_after() -> None:
    """Raw: two good photos and a ruined one are right; the rules add the logo, poster, certificate, banner and tiny one."""
    found = evaluate(cases(PROFILE), PROFILE)
    assert (found.pictures, found.labelled, found.unscorable) == (12, 9, 0)
    assert found.raw.accuracy.value == pytest.approx(3 / 9)
    assert found.calibrated.accuracy.value == pytest.approx(8 / 9)
    assert found.gain.value == pytest.approx(5 / 9)
    assert found.calibrated.confusion == [[2, 1, 0, 0], [0, 4, 0, 0], [0, 0, 2, 0]]
    assert found.kinds["logo"].raw == 0
    assert found.kinds["logo"].calibrated == 1


def test_every_rules_part() -> None:
    """Each of five rules corrects one picture; without it that one is wrong again."""
    found = evaluate(cases(PROFILE), PROFILE)
    for rule in ("background", "text_area", "keywords", "aspect_ratio", "resolution"):
        effect = found.rules[rule]
        assert (effect.fired, effect.corrected, effect.spoilt) == (1, 1, 0)
        assert effect.alone == pytest.approx(4 / 9)
        assert effect.left_out == pytest.approx(7 / 9)
    assert found.rules["resolution_reward"].fired == 0
    assert found.rules["text_area"].cost_ms == 50.0
    assert 0 < found.rules["text_area"].mean_cost_ms < 50.0


def test_a_rule_that_spoils_is_told() -> None:
    """A good photo on a plain colour that the label calls high."""
    studio = MIXED[4][1].background
    found = evaluate(cases(PROFILE, [picture(80, "high", background=studio), picture(10, "low")]), PROFILE)
    assert (found.rules["background"].corrected, found.rules["background"].spoilt) == (0, 1)


def test_defects_that_users_would_see() -> None:
    """Of all nine three are low; of the seven shown after the rules one is; of the raw ones shown two are."""
    found = evaluate(cases(PROFILE), PROFILE)
    assert (found.shown_unfiltered.low, found.shown_unfiltered.shown) == (3, 9)
    assert (found.shown_raw.low, found.shown_raw.shown) == (2, 7)
    assert (found.shown.low, found.shown.shown) == (1, 7)


def test_opinions_and_text_areas() -> None:
    """Where the labels have them, and only there."""
    found = evaluate(cases(PROFILE), PROFILE)
    assert found.opinions is not None
    assert found.opinions.pictures == 3
    assert found.opinions.srcc.value == pytest.approx(1.0)
    assert found.text_area is not None
    assert found.text_area.mean_error == pytest.approx(0.01)
    assert found.text_area.within == 1.0
    assert evaluate(cases(PROFILE, MIXED[:2]), PROFILE).opinions is None


def test_pictures_that_cannot_be_judged_are_wrong() -> None:
    """They are counted, in a column of their own."""
    found = evaluate(cases(PROFILE, [picture(80, "high"), picture(0, "high", unscorable="truncated")]), PROFILE)
    assert found.unscorable == 1
    assert found.calibrated.confusion[2] == [0, 0, 1, 1]
    assert found.calibrated.accuracy.value == 0.5
