"""Fits find what was hidden in the pictures, and look at nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.chain import Category
from calibration.errors import CalibrationError
from calibration.fit import fit_profile
from calibration.labels import Label
from calibration.profile import OutputMapping, Thresholds
from calibration.profile_file import load_profile
from calibration.readings import Reading
from tests.calibration.cases import LOGO, cases, picture

PROFILE = load_profile("recruitment")
WRONG = PROFILE.model_copy(update={"output_mapping": None, "thresholds": Thresholds(medium=30.0, high=65.0)})


def made(split: str, seed: int, flip: bool = False) -> list[tuple[Label, Reading]]:
    """Low ones score 5-38, high ones 52-85: thresholds of 30 and 65 are both wrong."""
    rng = np.random.default_rng(seed)
    low: Category = "high" if flip else "low"
    high: Category = "low" if flip else "high"
    found = [picture(round(rng.uniform(5, 38), 2), low, "ruined", split) for _ in range(60)]
    found += [picture(round(rng.uniform(52, 85), 2), high, "photo", split) for _ in range(90)]
    return found + [picture(round(rng.uniform(5, 30), 2), "medium", "logo", split, background=LOGO) for _ in range(20)]


def test_thresholds_are_found_and_the_gain_is_measured_elsewhere() -> None:
    """A new version, whose thresholds lie in the gap; the gain is that on the test split."""
    found = fit_profile(cases(WRONG, [*made("validation", 1), *made("test", 2)]), WRONG)
    assert found.profile.version == WRONG.version + 1
    assert 36 <= found.profile.thresholds.medium <= 52
    assert 44 <= found.profile.thresholds.high <= 53
    assert found.measured_on == "test"
    assert found.after > 0.97 > found.before
    assert found.gain.low > 0
    assert {change.field[0] for change in found.changes} == {"thresholds"}
    assert found.spread.medium.low <= found.cuts.medium <= found.spread.medium.high


def test_bands_stay_where_outputs_are_mapped_onto_them() -> None:
    """The engine's cuts move; what consumers read as medium and high does not."""
    mapped = PROFILE.model_copy(update={"output_mapping": OutputMapping(medium=30.0, high=65.0)})
    found = fit_profile(cases(mapped, [*made("validation", 1), *made("test", 2)]), mapped)
    assert found.profile.thresholds == PROFILE.thresholds
    assert found.profile.output_mapping
    assert 36 <= found.profile.output_mapping.medium <= 52
    assert 44 <= found.profile.output_mapping.high <= 53
    assert {change.field[0] for change in found.changes} == {"output_mapping"}
    assert found.after > 0.97 > found.before


def test_the_test_split_is_never_fitted_to() -> None:
    """Labels turned upside down there change the measured gain, and not the profile."""
    honest = fit_profile(cases(WRONG, [*made("validation", 1), *made("test", 2)]), WRONG)
    turned = fit_profile(cases(WRONG, [*made("validation", 1), *made("test", 2, flip=True)]), WRONG)
    assert turned.profile == honest.profile
    assert turned.gain.value < honest.gain.value


def test_what_is_right_already_stays() -> None:
    """No change, no new version."""
    first = fit_profile(cases(WRONG, made("", 1)), WRONG)
    again = fit_profile(cases(first.profile, made("", 1)), first.profile)
    assert again.changes == ()
    assert again.profile == first.profile
    assert again.measured_on == "the pictures it was fitted to"


@pytest.mark.parametrize("split", ["test", "validation"])
def test_nothing_to_fit_to(split: str) -> None:
    """Only test pictures, or all of one score."""
    with pytest.raises(CalibrationError, match="no labelled pictures outside|cannot be fitted"):
        fit_profile(cases(PROFILE, [picture(50, "high", split=split)] * 5), PROFILE)
