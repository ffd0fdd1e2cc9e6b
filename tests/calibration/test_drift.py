"""The population stability index and its references."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.drift import BOUNDS, LEAST, as_json, parse_references, psi, reference_of, shares_of
from calibration.errors import CalibrationError


def verdicts(scores: list[float], profile: str = "p@1", fingerprint: str = "f") -> list[dict[str, object]]:
    return [{"score": score, "profile": profile, "fingerprint": fingerprint} for score in scores]


def test_bins_have_their_upper_bound() -> None:
    """As Prometheus' histograms do."""
    shares = shares_of([5.0, 5.01, 95.0, 95.01])
    assert (shares[0], shares[1], shares[18], shares[19]) == (0.25, 0.25, 0.25, 0.25)
    assert sum(shares_of([])) == 0


def test_the_index_of_a_known_case() -> None:
    """Two bins, half and half against a quarter and three: (0.25 ln 2) + (-0.25 ln (2/3))."""
    half, quarter = [0.0] * 20, [0.0] * 20
    half[3] = half[4] = 0.5
    quarter[3], quarter[4] = 0.25, 0.75
    assert psi(half, quarter) == pytest.approx(0.2747, abs=1e-4)


@given(st.lists(st.floats(0, 100), min_size=1), st.lists(st.floats(0, 100), min_size=1))
def test_it_is_0_of_the_same_and_never_negative(one: list[float], other: list[float]) -> None:
    """Also where bins are empty."""
    assert psi(shares_of(one), shares_of(one)) == 0
    assert psi(shares_of(one), shares_of(other)) >= 0


def test_noise_of_one_population_is_small() -> None:
    """As small as its expectation says, within a factor of three: 19 * (1/1000 + 1/1000)."""
    source = random.Random(1)
    one, other = ([min(99.9, max(0.1, source.gauss(65, 18))) for _ in range(1000)] for _ in range(2))
    assert psi(shares_of(one), shares_of(other)) < 3 * (len(BOUNDS)) * 2 / 1000


def test_a_reference_is_written_and_read() -> None:
    """What has no score counts for nothing."""
    made = reference_of([*verdicts([50.0] * LEAST), *verdicts([50.0])[:0], {"score": None, "profile": "q@1"}], "mine")
    assert (made.profile, made.count, made.shares[9]) == ("p@1", LEAST, 1.0)
    assert parse_references([as_json(made)]) == [made]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (verdicts([50.0] * (LEAST - 1)), "takes 1000 at least"),
        ([*verdicts([50.0] * LEAST), *verdicts([1.0], "q@1")], "several profiles"),
        ([*verdicts([50.0] * LEAST), *verdicts([1.0], fingerprint="g")], "several profiles or fingerprints"),
    ],
)
def test_what_makes_no_reference(wrong: list[dict[str, object]], told: str) -> None:
    """Too few, or of several."""
    with pytest.raises(CalibrationError, match=told):
        reference_of(wrong, "")


def test_what_is_no_reference() -> None:
    """Other JSON, other bins, two of one profile."""
    good = as_json(reference_of(verdicts([50.0] * LEAST), ""))
    few = json.dumps({**json.loads(good), "shares": [1.0]})
    for texts in (["{}"], ["nonsense"], ["[]"], [few], [good, good]):
        with pytest.raises(CalibrationError):
            parse_references(texts)
