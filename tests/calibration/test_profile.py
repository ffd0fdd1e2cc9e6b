"""Profiles are read strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from calibration.errors import ProfileError
from calibration.profile_file import load_profile

SHIPPED = Path("calibration/profiles/recruitment.yaml")


def changed(tmp_path: Path, **groups: object) -> str:
    fields = yaml.safe_load(SHIPPED.read_text(encoding="utf-8")) | groups
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(fields, allow_unicode=True), encoding="utf-8")
    return str(path)


def test_shipped_profile_has_the_articles_numbers() -> None:
    """Text 30 %, ratio 2.5, sides 256 and 1,000; thresholds are the engine's, not the article's."""
    profile = load_profile("recruitment")
    assert (profile.text_area.limit, profile.aspect_ratio.limit) == (0.30, 2.5)
    assert (profile.resolution.low_below, profile.resolution.reward_from) == (256, 1000)
    assert profile.label == f"recruitment@{profile.version}"


def test_digest_covers_values_and_not_comments(tmp_path: Path) -> None:
    """Rewriting the file changes nothing; changing a number does."""
    shipped = load_profile("recruitment").digest
    assert load_profile(changed(tmp_path)).digest == shipped
    assert load_profile(changed(tmp_path, text_area={"limit": 0.31})).digest != shipped


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ({"text_area": {"limit": 1.5}}, "text_area.limit"),
        ({"text_area": {"limit": 0.3, "limits": 1}}, "text_area.limits"),
        ({"thresholds": {"medium": 60, "high": 40}}, "thresholds"),
        ({"keywords": {"words": ["x"]}}, "keywords.words.0"),
        ({"version": 0}, "version"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, groups: dict[str, object], named: str) -> None:
    """The message names the file, the line and the field."""
    path = changed(tmp_path, **groups)
    with pytest.raises(ProfileError) as caught:
        load_profile(path)
    assert re.search(rf"{re.escape(path)}: line \d+: {re.escape(named)}:", str(caught.value))


@pytest.mark.parametrize("text", ["- a list", "key: [", ""])
def test_files_that_are_no_profile(tmp_path: Path, text: str) -> None:
    """Neither YAML lists nor broken YAML nor nothing."""
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError, match="odd.yaml"):
        load_profile(str(path))


def test_unknown_names_list_the_known_ones() -> None:
    """A typing error is answered with what there is."""
    with pytest.raises(ProfileError, match="there are: housing, recruitment, used_cars"):
        load_profile("recruitmint")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile("/nowhere/at/all.yaml")
