"""Benchmarks have their proportions, keep their splits apart, and are the same for the same seed."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.background import measure_background
from calibration.benchmark.build import Recipe, build_benchmark, counts
from calibration.benchmark.defects import TEST_DEFECTS, Defect
from calibration.benchmark.drawing import find_fonts
from calibration.benchmark.kinds import DESIGNS, KINDS, Designs
from calibration.benchmark.sources import find_sources
from calibration.errors import BenchmarkError
from calibration.labels import Label, load_labels
from engines.training.distortions import DISTORTIONS
from tests.needs import needs_fonts
from tests.pictures import photo, pixels

SIZE = 100


def recipe(folders: Path, seed: int = 3) -> Recipe:
    roles = [("photos", "photos"), ("trained", "trained"), ("logos", "logos"), ("products", "products"), ("opinions", "clive")]
    sources = find_sources([(role, folders / folder) for role, folder in [*roles, ("text", "signs")]])  # type: ignore[misc]
    return Recipe(sources, find_fonts(), DISTORTIONS, SIZE, seed)


@pytest.fixture(scope="module")
def built(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Label]]:
    needs_fonts()
    out = tmp_path_factory.mktemp("built")
    return out, load_labels(build_benchmark(recipe(folders), out, 2))


@pytest.mark.parametrize("size", [50, 100, 777, 4991])
def test_proportions_are_those_of_the_article(size: int) -> None:
    """814 : 1605 : 2572, to the picture."""
    found = Counter[str]()
    for kind, count in counts(size):
        found[kind.category] += count
    assert sum(found.values()) == size
    for category, share in {"low": 814, "medium": 1605, "high": 2572}.items():
        assert found[category] == pytest.approx(size * share / 4991, abs=5)


def test_every_kind_is_there(built: tuple[Path, list[Label]]) -> None:
    """In both splits, with pictures that decode, and what was asked for on top."""
    _, labels = built
    for split in ("validation", "test"):
        kinds = {label.kind for label in labels if label.split == split}
        assert {kind.name for kind in KINDS} <= kinds
    assert all(cv2.imread(str(label.file)) is not None for label in labels)
    assert Counter(label.kind for label in labels)["opinions"] == 2
    assert all(label.text_area is not None for label in labels if label.kind == "text")


def test_kinds_are_what_they_are_called(built: tuple[Path, list[Label]]) -> None:
    """Tiny ones are tiny, banners long, logos on one colour, posters beyond the limit and light ones below it."""
    for label in built[1]:
        pixels = np.asarray(cv2.imread(str(label.file)))
        short, long = sorted(pixels.shape[:2])
        assert (short < 256) == (label.kind == "tiny")
        assert (long / short > 2.5) == (label.kind == "banner")
        if label.kind == "logo":
            assert measure_background(np.ascontiguousarray(pixels[:, :, ::-1])).border_share > 0.9
        if label.kind == "poster":
            assert label.text_area is not None
            assert label.text_area > 0.33
        if label.kind == "light_poster":
            assert label.text_area is not None
            assert label.text_area < 0.26


def test_splits_share_no_design_defect_or_font(built: tuple[Path, list[Label]]) -> None:
    """What limits were chosen by says nothing about how well they were chosen."""
    for field in fields(Designs):
        assert getattr(DESIGNS["validation"], field.name) is not getattr(DESIGNS["test"], field.name)
    record = json.loads((built[0] / "benchmark.json").read_text(encoding="utf-8"))
    assert not set(record["defects"]["validation"]) & set(record["defects"]["test"])
    chinese = {Path(face[0]).name for face in find_fonts().chinese}
    shared = set(record["fonts"]["validation"]) & set(record["fonts"]["test"])
    assert not shared - chinese
    assert len(chinese) < 2 or not shared


@pytest.mark.parametrize("defect", TEST_DEFECTS.values(), ids=TEST_DEFECTS)
def test_defects_grow_with_severity(defect: Defect) -> None:
    """Little at 0.05, much at 1; the same for the same seed, and of the same shape."""
    picture = pixels(photo(600, 450, 4))
    mild, again, severe = (defect(picture, severity, np.random.default_rng(1)) for severity in (0.05, 0.05, 1.0))
    assert (mild == again).all()
    assert (severe.shape, severe.dtype) == (picture.shape, picture.dtype)
    away = [float(np.abs(made.astype(int) - picture).mean()) for made in (mild, severe)]
    assert away[1] > max(3.0, 1.3 * away[0])


def test_splits_share_no_source(built: tuple[Path, list[Label]]) -> None:
    """A photo that made a picture of one split makes none of the other."""
    used: dict[str, set[str]] = {"validation": set(), "test": set()}
    for line in (built[0] / "labels.csv").read_text(encoding="utf-8").splitlines()[1:]:
        cells = line.split(",")
        used[cells[3]] |= set(cells[6].split())
    assert used["validation"]
    assert used["test"]
    assert not used["validation"] & used["test"]


def test_same_seed_same_pictures(built: tuple[Path, list[Label]], folders: Path, tmp_path: Path) -> None:
    """Byte for byte, however many workers; another seed gives others."""
    again = load_labels(build_benchmark(recipe(folders), tmp_path / "again", 1))
    other = load_labels(build_benchmark(recipe(folders, 4), tmp_path / "other", 1))

    def digests(labels: list[Label]) -> list[str]:
        return [hashlib.sha256(label.file.read_bytes()).hexdigest() for label in labels]

    assert digests(again) == digests(built[1])
    assert len(set(digests(other)) & set(digests(again))) <= len(
        [label for label in other if label.kind in {"opinions", "text"}]
    )
    assert json.loads((tmp_path / "again" / "benchmark.json").read_text())["seed"] == 3


def test_nothing_is_built_over(built: tuple[Path, list[Label]], folders: Path) -> None:
    """A folder that holds something is left alone."""
    with pytest.raises(BenchmarkError, match="not empty"):
        build_benchmark(recipe(folders), built[0])


def test_without_chinese_fonts(tmp_path: Path) -> None:
    """The message says what to install."""
    with pytest.raises(BenchmarkError, match="fonts-noto-cjk"):
        find_fonts([tmp_path])
