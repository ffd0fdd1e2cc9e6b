"""Which pictures may be in the test split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.benchmark.build import covered, opinion_category
from calibration.benchmark.sources import find_sources, guess_roles
from calibration.benchmark.studio import stands_on_white
from calibration.errors import BenchmarkError
from tests.pictures import photo, pixels


def test_trained_photos_are_tested_with_every_eighth(folders: Path) -> None:
    """As ``iqa engines train`` keeps them out, in name order; the others are not used at all."""
    found = find_sources([("trained", folders / "trained"), ("photos", folders / "photos")])
    assert [s.path.name for s in found if s.role == "trained"] == ["t00.jpg", "t08.jpg"]


def test_new_photos_split_by_name(folders: Path, tmp_path: Path) -> None:
    """Both splits get some, and another folder with more pictures moves none of them."""
    found = {s.path.name: s.split for s in find_sources([("photos", folders / "photos")])}
    assert set(found.values()) == {"validation", "test"}
    for number in range(16):
        (tmp_path / f"p{number:02}.jpg").write_bytes((folders / "photos" / f"p{number:02}.jpg").read_bytes())
        photo(64, 64, number).save(tmp_path / f"a{number:02}.jpg")
    again = {s.path.name: s.split for s in find_sources([("photos", tmp_path)])}
    assert {name: again[name] for name in found} == found


def test_opinions_that_trained_are_not_used(folders: Path) -> None:
    """What an engine was trained on tells nothing about it; scores near a threshold have no category."""
    found = find_sources([("photos", folders / "photos"), ("opinions", folders / "clive")])
    assert sorted(s.opinion or 0 for s in found if s.role == "opinions") == [50.0, 61.0]
    assert [opinion_category(opinion) for opinion in (20, 36, 50, 57, 61, 66)] == ["low", None, "medium", None, None, "high"]


def test_boxes_around_text(folders: Path) -> None:
    """Turned about their centres; a union, so that a box twice counts once."""
    found = find_sources([("photos", folders / "photos"), ("text", folders / "signs")])
    boxes = next(s.boxes for s in found if s.role == "text")
    assert np.allclose(boxes[2], [(80, 200), (80, 260), (20, 260), (20, 200)], atol=1e-3)
    assert covered(boxes, 400, 300) == pytest.approx((200 * 60 + 60 * 60) / 120_000, rel=0.05)


def test_a_folder_of_folders(folders: Path) -> None:
    """Each for what its name or contents say; empty ones are left out; a folder with pictures of its own holds photos."""
    (folders / "empty").mkdir(exist_ok=True)
    assert {(role, path.name) for role, path in guess_roles(folders)} == {
        ("opinions", "clive"), ("logos", "logos"), ("photos", "photos"), ("products", "products"), ("text", "signs"),
        ("trained", "trained"),
    }  # fmt: skip
    assert guess_roles(folders / "photos") == [("photos", folders / "photos")]
    assert guess_roles(folders / "nowhere") == [("photos", folders / "nowhere")]


def test_photos_on_white_are_product_shots() -> None:
    """White around it, and not just in it."""
    shot = pixels(photo(300, 300))
    assert not stands_on_white(shot)
    framed = np.full((400, 400, 3), 250, np.uint8)
    framed[50:350, 50:350] = shot
    assert stands_on_white(framed)
    assert not stands_on_white(np.pad(framed, ((60, 60), (60, 60), (0, 0)), constant_values=90))


@pytest.mark.parametrize(
    ("role", "folder", "told"),
    [
        ("photos", "nowhere", "is no folder"),
        ("photos", "signs/boxes", "holds no pictures"),
        ("opinions", "photos", "must have the columns file, mos and split"),
        ("text", "photos", "must have the columns x, y, width"),
        ("logos", "logos", "too few ordinary photos"),
    ],
)
def test_folders_that_do_not_serve(folders: Path, role: str, folder: str, told: str) -> None:
    """The message names the role and what it wants."""
    with pytest.raises(BenchmarkError, match=told):
        find_sources([(role, folders / folder)])  # type: ignore[list-item]
