"""Properties of the rules as a whole, for every profile that ships and some that do not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.chain import assess, categorise, keywords_can_matter, on_bands, text_can_matter
from calibration.profile import FlatLimits, Profile, TextAreaLimits, Thresholds
from calibration.rules import RULES
from calibration.signals import Background, Kind, Signals
from tests.calibration import strategies as s

PLAIN = Background(share=0.1, border_share=0.1, roughness=1.0, edge=20.0)
GOOD = Signals(width=800, height=600, background=PLAIN, text_area=0.0, keywords=())
ORDER = {"low": 0, "medium": 1, "high": 2}
CAPS = ("text_area", "keywords", "aspect_ratio", "resolution")


@given(s.scores, s.signals, s.profiles)
def test_score_stays_in_range(raw: float, signals: Signals, profile: Profile) -> None:
    """Whatever the signals, the calibrated score is from 0 to 100."""
    assert 0 <= assess(raw, signals, profile).score <= 100


@given(s.scores, s.signals, s.profiles)
def test_steps_are_a_chain(raw: float, signals: Signals, profile: Profile) -> None:
    """Each rule fires at most once, starts where the last one ended, changes something, and gives evidence."""
    assessment = assess(raw, signals, profile)
    names = [step.rule for step in assessment.adjustments]
    known = [rule.__name__ for rule in RULES]
    assert names == [name for name in known if name in names]
    ends = [on_bands(raw, profile), *(step.after for step in assessment.adjustments)]
    assert [step.before for step in assessment.adjustments] == ends[:-1]
    assert ends[-1] == assessment.score
    assert all(step.before != step.after and step.evidence for step in assessment.adjustments)


@given(s.scores, s.profiles)
def test_engines_cuts_open_the_bands(raw: float, profile: Profile) -> None:
    """By the mapping alone a score is medium or high from the engine's own cuts on, and its neighbours keep their order."""
    medium, high = profile.cuts
    expected = "high" if raw >= high else "medium" if raw >= medium else "low"
    assert assess(raw, GOOD, profile, ()).category == expected
    assert on_bands(raw, profile) < on_bands(raw + 0.01, profile) or raw >= 100


def test_without_a_mapping_scores_stay() -> None:
    """A profile that names no mapping takes the engine's scores as they are."""
    profile = s.PROFILE.model_copy(update={"output_mapping": None})
    assert [on_bands(raw, profile) for raw in (0.0, 44.4, 100.0)] == [0.0, 44.4, 100.0]
    assert assess(55.0, GOOD, profile).adjustments == ()


@given(s.scores, s.signals, s.profiles)
def test_caps_never_raise(raw: float, signals: Signals, profile: Profile) -> None:
    """Text, keywords, aspect ratio and resolution only ever bring a score down."""
    assert all(step.after < step.before for step in assess(raw, signals, profile).adjustments if step.rule in CAPS)


@given(s.scores, s.scores, s.signals, s.profiles)
def test_order_is_kept(one: float, other: float, signals: Signals, profile: Profile) -> None:
    """Of two pictures with the same signals, the better one never ranks lower afterwards."""
    low, high = sorted((one, other))
    assert assess(low, signals, profile).score <= assess(high, signals, profile).score


@given(s.scores, s.scores, st.sampled_from([0.31, 0.6, 1.0]))
def test_order_among_capped_is_strict(one: float, other: float, area: float) -> None:
    """Capped scores are squashed, not clipped: different ones stay different."""
    low, high = sorted((one, other))
    if low < high:
        signals = replace(GOOD, text_area=area)
        assert assess(low, signals, s.PROFILE).score < assess(high, signals, s.PROFILE).score


@given(s.scores, s.signals, s.profiles)
def test_same_signals_same_verdict(raw: float, signals: Signals, profile: Profile) -> None:
    """Nothing else goes in."""
    assert assess(raw, signals, profile) == assess(raw, replace(signals), profile)


@given(s.scores, s.signals, s.profiles, s.shares, s.words)
def test_skipped_text_could_not_have_mattered(
    raw: float, signals: Signals, profile: Profile, area: float, words: tuple[str, ...]
) -> None:
    """Where text is not measured, or not read, no text at all would have given another category."""
    without = replace(signals, text_area=None, keywords=None)
    category = assess(raw, without, profile).category
    if not text_can_matter(raw, without, profile):
        assert assess(raw, replace(signals, text_area=area, keywords=words), profile).category == category
    measured = replace(signals, text_area=area, keywords=None)
    if not keywords_can_matter(raw, measured, profile):
        assert assess(raw, replace(measured, keywords=words), profile).category == assess(raw, measured, profile).category


@pytest.mark.parametrize(
    ("signals", "rule", "category"),
    [
        (replace(GOOD, text_area=0.31), "text_area", "medium"),
        (replace(GOOD, keywords=("contract",)), "keywords", "medium"),
        (replace(GOOD, width=2600, height=1000), "aspect_ratio", "medium"),
        (replace(GOOD, width=300, height=255), "resolution", "low"),
        (replace(GOOD, background=Background(0.7, 0.95, 0.1, 40)), "background", "medium"),
        (replace(GOOD, background=Background(0.7, 0.95, 0.1, 3)), "background", "medium"),
        (replace(GOOD, background=Background(0.4, 0.3, 0.1, 40, palette=0.9, flat=0.6)), "background", "medium"),
    ],
)
def test_each_rule_fires_beyond_its_limit(signals: Signals, rule: str, category: str) -> None:
    """A good score under each of the article's conditions."""
    assessment = assess(90.0, signals, s.PROFILE)
    assert [step.rule for step in assessment.adjustments] == [rule]
    assert assessment.category == category


@pytest.mark.parametrize(
    "signals",
    [
        replace(GOOD, text_area=0.24),
        replace(GOOD, width=1000, height=440),
        replace(GOOD, width=290, height=290),
        replace(GOOD, background=Background(0.7, 0.79, 0.1, 40)),
        replace(GOOD, background=Background(0.7, 0.95, 0.6, 40)),
        replace(GOOD, background=Background(0.2, 0.3, 0.1, 40, palette=0.9, flat=0.3)),
    ],
)
def test_rules_leave_no_trace_before_their_limits(signals: Signals) -> None:
    """Outside the zones around limits nothing happens yet."""
    assert assess(90.0, signals, s.PROFILE).adjustments == ()


SIDES = [replace(GOOD, width=side, height=side) for side in range(225, 291)]
AREAS = [replace(GOOD, text_area=round(0.23 + 0.001 * n, 3)) for n in range(140)]
RATIOS = [replace(GOOD, width=round(1000 * (2.2 + 0.005 * n)), height=1000) for n in range(120)]


@pytest.mark.parametrize("raw", [45.0, 65.0, 75.0, 95.0])
@pytest.mark.parametrize(("row", "crossing"), [(AREAS, 8.0), (RATIOS, 8.0), (SIDES, 30.0)], ids=["text", "ratio", "size"])
def test_limits_are_soft(row: list[Signals], crossing: float, raw: float) -> None:
    """A hair's breadth moves a score by a point or two; only at the limit itself, where the category changes, by more."""
    found = [assess(raw, signals, s.PROFILE) for signals in row]
    for one, other in itertools.pairwise(found):
        step = abs(one.score - other.score)
        assert step < (2.5 if one.category == other.category else crossing)
    kept = [assessment for assessment in found if assessment.adjustments]
    assert kept
    assert len({assessment.category for assessment in found}) <= 2


@pytest.mark.parametrize(
    "signals",
    [replace(GOOD, text_area=0.30), replace(GOOD, width=1000, height=400), replace(GOOD, width=256, height=256)],
)
def test_the_limit_itself_is_still_allowed(signals: Signals) -> None:
    """The category changes beyond it."""
    assert assess(90.0, signals, s.PROFILE).category == "high"


@pytest.mark.parametrize(
    ("signals", "rules"),
    [
        (replace(GOOD, keywords=("certificate",)), ["drawn", "keywords"]),
        (replace(GOOD, text_area=0.5), ["drawn", "text_area"]),
        (replace(GOOD, width=2000, height=600), ["drawn", "aspect_ratio"]),
        (GOOD, []),
    ],
)
def test_pages_are_no_bad_photos(signals: Signals, rules: list[str]) -> None:
    """What is drawn is lifted out of low, but only where another rule says what it is; photos never are."""
    page = Background(0.5, 0.5, 0.1, 50, palette=0.6, flat=0.6)
    assessment = assess(8.0, replace(signals, background=page), s.PROFILE)
    assert [step.rule for step in assessment.adjustments] == rules
    assert assessment.category == ("medium" if rules else "low")
    assert assess(8.0, signals, s.PROFILE).category == "low"


def test_sharp_logo_is_lifted_into_medium_and_faded_picture_is_not() -> None:
    """Quality engines find logos poor; pictures without a sharp edge stay as low as they are."""
    sharp, faded = Background(0.7, 0.95, 0.1, 40), Background(0.7, 0.95, 0.1, 3)
    assert assess(12.0, replace(GOOD, background=sharp), s.PROFILE).category == "medium"
    assert assess(12.0, replace(GOOD, background=faded), s.PROFILE).category == "low"


def test_reward_is_smooth_and_spares_the_low() -> None:
    """It begins at nothing above the limit, grows to its full size, and never turns low into medium."""
    at = [assess(70.0, replace(GOOD, width=side, height=side), s.PROFILE).score for side in (1000, 1001, 1500, 2000, 9000)]
    assert at[0] == on_bands(70.0, s.PROFILE)
    assert at == sorted(at)
    assert at[1] - at[0] < 0.01
    assert at[3] == at[4] > at[0]
    assert assess(39.99, replace(GOOD, width=3000, height=3000), s.PROFILE).adjustments == ()


@given(s.scores)
def test_thresholds_belong_to_the_category_they_open(score: float) -> None:
    """With 40 and 60, 40 is medium and 60 is high."""
    expected = "high" if score >= 60 else "medium" if score >= 40 else "low"
    assert categorise(score, Thresholds(medium=40, high=60)) == expected


@pytest.mark.parametrize("raw", [-0.1, 100.1, float("nan")])
def test_scores_out_of_range_are_refused(raw: float) -> None:
    """An engine that answers nonsense is not calibrated away."""
    with pytest.raises(ValueError, match="engine_score"):
        assess(raw, GOOD, s.PROFILE)


def kind(photo: float, ruined: float, name: str = "drawing") -> Kind:
    """A picture that is as surely of one other kind as it is no photo."""
    return Kind(name, round(1 - photo, 4), photo, ruined)


@pytest.mark.parametrize("raw", [3.0, 35.0, 55.0, 97.0])
def test_what_is_no_photo_is_medium_or_ruined(raw: float) -> None:
    """However a photo engine scores it; but where it scores ruins high, one of the two is wrong, and low would be too much."""
    whole = assess(raw, replace(GOOD, kind=kind(0.02, 0.1)), s.TOLD)
    ruined = assess(raw, replace(GOOD, kind=kind(0.02, 0.9)), s.TOLD)
    assert (whole.category, ruined.category) == ("medium", "medium" if raw >= s.TOLD.cuts[1] else "low")
    assert [step.rule for step in whole.adjustments] == ["kind"]


def test_a_photo_stays_one() -> None:
    """An over-exposed one is no logo, whatever its colours look like; without kinds, or in doubt, it may be."""
    blown_out = replace(GOOD, background=Background(0.7, 0.95, 0.1, 40))
    assert assess(20.0, replace(blown_out, kind=kind(0.97, 0.8)), s.TOLD).adjustments == ()
    assert assess(20.0, blown_out, s.TOLD).category == "medium"
    assert assess(20.0, replace(blown_out, kind=kind(0.8, 0.2)), s.TOLD).category == "medium"


FLAT = FlatLimits(begin=0.2, full=0.4, probability=0.1, min_edge=10)


def drawn(flat: float, edge: float) -> Signals:
    """What is a photo for seven in ten, with flat areas."""
    return replace(GOOD, background=Background(0.2, 0.2, 1.0, edge, flat=flat), kind=kind(0.7, 0.1))


@pytest.mark.parametrize(
    ("flat", "edge", "category"),
    [(0.05, 40, "high"), (0.2, 40, "high"), (0.4, 40, "medium"), (0.9, 40, "medium"), (0.9, 5, "high")],
)
def test_flat_areas_speak_for_a_drawing(flat: float, edge: float, category: str) -> None:
    """With them less doubt is enough; without anything sharp they may be blur."""
    profile = s.TOLD.model_copy(update={"kind": s.TOLD.kind.model_copy(update={"flat": FLAT})})
    assert assess(75.0, drawn(flat, edge), profile).category == category
    assert assess(75.0, drawn(flat, edge), s.TOLD).category == "high"


@given(s.scores, s.shares)
def test_what_is_surely_a_photo_is_left_alone_whatever_its_shape(raw: float, ruined: float) -> None:
    """The rule's soft zone does not reach it, however little doubt is asked for."""
    strip = replace(GOOD, width=1600, height=500, kind=kind(1.0, ruined))
    assert "kind" not in {step.rule for step in assess(raw, strip, s.PROFILE).adjustments}


@pytest.mark.parametrize(
    ("width", "photo", "ruined", "category"),
    [(1600, 0.8, 0.1, "medium"), (1600, 0.8, 0.9, "low"), (1200, 0.8, 0.1, "low"), (1600, 0.999, 0.1, "low")],
)
def test_a_strip_is_no_bad_photo_because_of_its_shape(width: int, photo: float, ruined: float, category: str) -> None:
    """Low only where it is ruined, or surely a photo; what is shorter is judged as before."""
    profile = s.TOLD.model_copy(update={"kind": s.TOLD.kind.model_copy(update={"strip": 0.1})})
    strip = replace(GOOD, width=width, height=500, kind=kind(photo, ruined))
    assert assess(35.0, strip, profile).category == category
    assert assess(35.0, replace(strip, kind=None), profile).category == "low"
    assert assess(90.0, strip, profile).category == ("medium" if width == 1600 else "high")


@pytest.mark.parametrize(
    ("photo", "text", "category"),
    [(0.95, 0.4, "high"), (0.95, 0.7, "medium"), (0.79, 0.4, "medium"), (0.85, 0.4, "high"), (0.85, 0.5, "medium")],
)
def test_a_photo_of_a_sign_may_have_more_text(photo: float, text: float, category: str) -> None:
    """What the engine is sure of is no poster; beyond its own limit it is one all the same. In doubt it lies in between."""
    profile = s.TOLD.model_copy(update={"text_area": TextAreaLimits(limit=0.3, photo_limit=0.6)})
    seen = replace(GOOD, kind=kind(photo, 0.1), text_area=text)
    assert assess(75.0, seen, profile).category == category
    assert assess(75.0, replace(seen, kind=None), profile).category == ("medium" if text > 0.3 else "high")


@given(s.scores, s.shares, s.shares)
def test_flat_areas_move_a_score_gradually(raw: float, photo: float, flat: float) -> None:
    """A hundredth more or less of them, as with doubt itself."""
    limits = s.TOLD.kind.model_copy(update={"flat": FLAT})
    profile = s.TOLD.model_copy(update={"kind": limits})
    one, other = (
        assess(raw, replace(drawn(share, 40), kind=kind(photo, 0.1)), profile).score for share in (flat, min(1.0, flat + 0.01))
    )
    assert abs(one - other) <= 0.01 * 0.4 / 0.2 * 0.5 / limits.soft * 60 + 0.1


@given(s.scores, s.shares)
def test_doubt_moves_a_score_gradually(raw: float, photo: float) -> None:
    """A hundredth of probability never moves it by more than its share of the way."""
    near = min(1.0, round(photo + 0.01, 4))
    one, other = (assess(raw, replace(GOOD, kind=kind(p, 0.1)), s.TOLD).score for p in (photo, near))
    assert abs(one - other) <= 0.5 * 0.01 / s.TOLD.kind.soft * 60 + 0.1
