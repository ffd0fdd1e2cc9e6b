"""Profiles as files: mistakes have a line, and numbers change without losing a comment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibration.errors import ProfileError
from calibration.profile import Profile
from calibration.profile_file import check_text, load_profile, parse_profile, read_profile, replace_values, shipped_profiles

_, TEXT = read_profile("recruitment")
LINES = TEXT.splitlines()


def line_of(start: str) -> int:
    return next(number for number, line in enumerate(LINES, 1) if line.strip().startswith(start))


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profiles_are_fine(name: str) -> None:
    """Each is called by its file's name, and nothing is wrong with it."""
    assert check_text(read_profile(name)[1]) == []
    assert load_profile(name).name == name


def test_every_mistake_has_its_line() -> None:
    """All of them, in the order of the lines, not only the first."""
    broken = (
        TEXT.replace("  medium: 40", "  medium: fourty", 1)
        .replace("  limit: 2.5", "  limit: 0.5")
        .replace("soft: 24", "soffft: 24")
    )
    found = [(problem.line, problem.where) for problem in check_text(broken)]
    assert found == [
        (line_of("medium: 40"), "thresholds.medium"),
        (line_of("limit: 2.5"), "aspect_ratio.limit"),
        (line_of("soft: 24"), "resolution.soffft"),
    ]


def test_missing_fields_are_named_at_their_group() -> None:
    """There is no line of what is not there."""
    (problem,) = check_text(TEXT.replace("  low_below: 256\n", ""))
    assert (problem.line, problem.where) == (line_of("resolution:"), "resolution.low_below")


def test_words_are_counted_by_their_own_lines() -> None:
    """A wrong word in a list of fifty."""
    (problem,) = check_text(TEXT.replace("    - diploma", "    - d"))
    assert problem.line == line_of("- diploma")


def test_fields_that_stand_twice_are_a_mistake() -> None:
    """YAML readers would silently take the last."""
    (problem,) = check_text(TEXT.replace("  high: 60", "  medium: 45\n  high: 60"))
    assert "twice" in problem.message
    assert problem.where == "thresholds.medium"
    with pytest.raises(ProfileError, match="twice"):
        parse_profile(TEXT.replace("  high: 60", "  medium: 45\n  high: 60"))


def test_words_that_can_never_count_are_told() -> None:
    """A context word inside a keyword makes it dead."""
    (problem,) = check_text(
        TEXT.replace("  context:\n", "  context:\n    - 执照\n    - 驾驶\n")
        .replace("    - 营业执照\n    - 经营许可证\n", "")
        .replace("    - 执照\n    - 驾驶证", "    - 驾驶证", 1)
    )
    assert "驾驶证" in problem.message


@pytest.mark.parametrize(("text", "line"), [("name: x\n  bad: [", 2), ("- a list", 1), ("", 1)])
def test_what_is_no_yaml_has_a_line_too(text: str, line: int) -> None:
    """Broken, a list, or nothing."""
    (problem,) = check_text(text)
    assert problem.line == line


def test_numbers_change_and_comments_stay() -> None:
    """Only the values themselves are written anew."""
    changed = replace_values(TEXT, {("thresholds", "high"): 52, ("background", "max_roughness"): 0.2, ("version",): 9})
    differing = [(old, new) for old, new in zip(LINES, changed.splitlines(), strict=True) if old != new]
    assert next(new for _, new in differing) == "version: 9"
    assert len(differing) == 3
    assert all(old.partition("#")[2] == new.partition("#")[2] for old, new in differing)
    profile = parse_profile(changed)
    assert (profile.version, profile.thresholds.high, profile.background.max_roughness) == (9, 52, 0.2)


@pytest.mark.parametrize("path", [("keywords", "words"), ("nothing",)])
def test_only_single_values_can_be_replaced(path: tuple[str, ...]) -> None:
    """Neither lists nor what is not there."""
    with pytest.raises(ProfileError, match=path[-1]):
        replace_values(TEXT, {path: 1})


def test_published_schema_is_the_models() -> None:
    """``make schemas`` writes it; editors read it."""
    published = json.loads(Path("calibration/profiles/schema.json").read_text(encoding="utf-8"))
    assert published == Profile.model_json_schema()
