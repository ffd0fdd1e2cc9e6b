"""Loaders read the layouts in which data sets are published, on small made-up copies of them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

scipy_io = pytest.importorskip("scipy.io")
openpyxl = pytest.importorskip("openpyxl")
from engines.training.datasets import LIVE_FOLDERS, DataSetError, Rated, folds, load_rated, split_by_content  # noqa: E402

pytestmark = pytest.mark.torch


def dot(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (200, 100, 50)).save(path)


def cells(values: list[str]) -> Any:
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    return array


def make_clive(root: Path) -> None:
    names = [f"t{i}.bmp" for i in range(1, 8)] + ["3.bmp", "4.bmp", "12.JPG", "13.bmp", "14.bmp"]
    (root / "Data").mkdir(parents=True)
    scipy_io.savemat(root / "Data" / "AllImages_release.mat", {"AllImages_release": cells(names)})
    scipy_io.savemat(root / "Data" / "AllMOS_release.mat", {"AllMOS_release": np.arange(12.0)[None] * 8})
    for name in names[7:]:
        dot(root / "Images" / name)


def make_koniq10k(root: Path) -> None:
    rows = [("1.jpg", 77.4, "training"), ("2.jpg", 68.7, "test"), ("3.jpg", 3.9, "validation")]
    for name, _, _ in rows:
        dot(root / "1024x768" / name)
    with (root / "koniq10k_distributions_sets.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set"])
        writer.writerows((name, 0, 0, 0.2, 0.7, 0.1, 105, mos, 0.5, split) for name, mos, split in rows)


def make_live(root: Path) -> None:
    names = [f"{place}.bmp" for place in ("bikes", "caps", "ocean", "plane", "rapids")]
    count = sum(number for _, number in LIVE_FOLDERS)
    references = [names[i % 5] for i in range(count)]
    scores = np.linspace(-5, 111, count)
    copies = np.zeros(count)
    copies[:3] = 1
    for folder, number in LIVE_FOLDERS:
        dot(root / folder / "img1.bmp")
        data = (root / folder / "img1.bmp").read_bytes()
        for index in range(2, number + 1):
            (root / folder / f"img{index}.bmp").write_bytes(data)
    scipy_io.savemat(root / "dmos_realigned.mat", {"dmos_new": scores[None], "orgs": copies[None]})
    scipy_io.savemat(root / "refnames_all.mat", {"refnames_all": cells(references).T})


def make_tid2013(root: Path) -> None:
    lines = []
    for reference in range(1, 6):
        for level in (1, 5):
            dot(root / "distorted_images" / f"I{reference:02}_07_{level}.BMP")
            lines.append(f"{9 / level:.5f} i{reference:02}_07_{level}.bmp")
    (root / "mos_with_names.txt").write_text("\n".join(lines) + "\n")


def make_csiq(root: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "all_by_image"
    rows = [[], ["", "", "", "notes"], [], [None] * 3 + ["image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos"]]
    rows += [[None] * 3 + [1600, 1, "noise", 1, 0.03, 0.062], [None] * 3 + [1600, 3, "jpeg 2000", 5, 0.05, 0.9]]
    rows += [[None] * 3 + [name, 5, "blur", 2, 0.03, 0.25] for name in ("boston", "elk", "fisher", "rushmore")]
    for row in rows:
        sheet.append(row)
    book.save(root / "csiq.DMOS.xlsx")
    dot(root / "dst_imgs" / "awgn" / "1600.AWGN.1.png")
    dot(root / "dst_imgs" / "jpeg2000" / "1600.jpeg2000.5.png")
    for name in ("boston", "elk", "fisher", "rushmore"):
        dot(root / "dst_imgs" / "blur" / f"{name}.BLUR.2.png")


def make_kadid10k(root: Path) -> None:
    rows = [(f"I{photo:02}_01_{level}.png", f"I{photo:02}.png", 6 - level) for photo in range(1, 6) for level in (1, 5)]
    for name, _, _ in rows:
        dot(root / "images" / name)
    with (root / "dmos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("dist_img", "ref_img", "dmos", "var"), *((*row, 0.4) for row in rows)])


def make_spaq(root: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Image name", "MOS", "Brightness", "Colorfulness"])
    for number in range(1, 7):
        book.active.append([f"{number:05}.jpg", 12.5 * number, 50, 50])
        dot(root / "TestImage" / f"{number:05}.jpg")
    (root / "Annotations").mkdir()
    book.save(root / "Annotations" / "MOS and Image attribute scores.xlsx")


MAKERS = {
    "clive": make_clive,
    "koniq10k": make_koniq10k,
    "live": make_live,
    "tid2013": make_tid2013,
    "csiq": make_csiq,
    "kadid10k": make_kadid10k,
    "spaq": make_spaq,
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    for name, make in MAKERS.items():
        (root / name).mkdir()
        make(root / name)
    return {name: root / name for name in MAKERS}


def by_name(rated: list[Rated]) -> dict[str, float]:
    return {r.path.name: r.opinion for r in rated}


@pytest.mark.parametrize("name", MAKERS)
def test_every_set_gives_readable_pictures_on_one_scale(sets: dict[str, Path], name: str) -> None:
    """RGB, 0-100, some of them to train on and some to validate with, in the same order and split every time."""
    rated = load_rated(name, sets[name])
    assert all(0 <= r.opinion <= 100 for r in rated)
    assert rated[0].pixels()[0, 0].tolist() == pytest.approx([200, 100, 50], abs=8)
    assert {"train", "val"} <= {r.split for r in rated}
    assert rated == load_rated(name, sets[name])


def test_clive(sets: dict[str, Path]) -> None:
    """The first seven entries are instructions to raters; opinions are as published."""
    assert by_name(load_rated("clive", sets["clive"])) == {
        "3.bmp": 56, "4.bmp": 64, "12.JPG": 72, "13.bmp": 80, "14.bmp": 88
    }  # fmt: skip


def test_koniq10k(sets: dict[str, Path]) -> None:
    """The official split, all three parts of it."""
    assert {r.path.name: r.split for r in load_rated("koniq10k", sets["koniq10k"])} == {
        "1.jpg": "train", "2.jpg": "test", "3.jpg": "val"
    }  # fmt: skip


def test_koniq10k_with_the_table_beside_its_pictures(tmp_path: Path) -> None:
    """It has no split and another scale of MOS; MOS_zscore is the one that the official table calls MOS."""
    for number in range(5):
        dot(tmp_path / "512x384" / f"{number}.jpg")
    rows = [(f"{number}.jpg", 3.5, 20.5 * number) for number in range(5)]
    with (tmp_path / "koniq10k_scores_and_distributions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_name", "MOS", "MOS_zscore"), *rows])
    rated = load_rated("koniq10k", tmp_path)
    assert by_name(rated) == {f"{number}.jpg": 20.5 * number for number in range(5)}
    assert Counter(r.split for r in rated) == {"train": 4, "val": 1}


def test_kadid10k(sets: dict[str, Path]) -> None:
    """Five is the best, whatever the column is called."""
    opinions = by_name(load_rated("kadid10k", sets["kadid10k"]))
    assert (opinions["I01_01_1.png"], opinions["I01_01_5.png"]) == (100, 0)


def test_spaq(sets: dict[str, Path]) -> None:
    """Opinions as published."""
    assert by_name(load_rated("spaq", sets["spaq"]))["00003.jpg"] == 37.5


def test_live(sets: dict[str, Path]) -> None:
    """Copies of references are left out; worse is lower; scores are of the folders in their published order."""
    rated = load_rated("live", sets["live"])
    assert len(rated) == 982 - 3
    opinions = [r.opinion for r in rated]
    assert opinions == sorted(opinions, reverse=True)
    assert opinions[-1] == 0
    assert Counter(r.path.parent.name for r in rated) == dict(LIVE_FOLDERS) | {"jp2k": 224}
    assert rated[-1].path.name == "img174.bmp"


def test_tid2013(sets: dict[str, Path]) -> None:
    """0-9 becomes 0-100, whatever the case of names."""
    opinions = by_name(load_rated("tid2013", sets["tid2013"]))
    assert opinions["I01_07_1.BMP"] == 100
    assert opinions["I01_07_5.BMP"] == pytest.approx(20)


def test_csiq(sets: dict[str, Path]) -> None:
    """DMOS 0-1, higher is worse; folders and tokens as published; a name that is a number."""
    opinions = by_name(load_rated("csiq", sets["csiq"]))
    assert opinions["1600.AWGN.1.png"] == pytest.approx(93.8)
    assert opinions["1600.jpeg2000.5.png"] == pytest.approx(10)


@pytest.mark.parametrize("name", ["live", "tid2013", "csiq", "kadid10k"])
def test_versions_of_one_photo_stay_together(sets: dict[str, Path], name: str) -> None:
    """A photo that was trained on in one version would make validation easy in another."""
    rated = load_rated(name, sets[name])
    sides = {(r.content, r.split) for r in rated}
    assert len(sides) == len({content for content, _ in sides})


def test_folds_cover_everything_once() -> None:
    """Every picture validates in exactly one part; parts are of one size."""
    rated = [Rated(Path(f"{i}.png"), 50, f"{i // 2}") for i in range(40)]
    parts = [{r.path.name for r in folds(rated, fold, 5) if r.split == "val"} for fold in range(5)]
    assert sorted(name for part in parts for name in part) == sorted(r.path.name for r in rated)
    assert {len(part) for part in parts} == {8}
    assert sum(r.split == "val" for r in split_by_content(rated)) == 8


def broken_tid(root: Path) -> None:
    make_tid2013(root)
    (root / "mos_with_names.txt").write_text("5.5 I01_07_1.bmp\nfive I01_07_5.bmp\n")


def missing_picture(root: Path) -> None:
    make_koniq10k(root)
    (root / "1024x768" / "2.jpg").unlink()


def odd_split(root: Path) -> None:
    (root / "images").mkdir()
    (root / "labels.csv").write_text("file,mos,split\na.png,50,somewhere\n")


def short_scores(root: Path) -> None:
    make_clive(root)
    scipy_io.savemat(root / "Data" / "AllMOS_release.mat", {"AllMOS_release": np.arange(11.0)[None]})


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("tid2013", broken_tid, "mos_with_names.txt:2"),
        ("koniq10k", missing_picture, "2.jpg is missing"),
        ("clive", odd_split, "unknown split 'somewhere'"),
        ("clive", short_scores, "differ in length"),
        ("clive", lambda root: None, "AllImages_release.mat"),
        ("live", lambda root: None, "dmos.mat"),
        ("csiq", lambda root: None, "csiq.DMOS.xlsx is missing"),
        ("koniq10k", lambda root: None, "none of koniq10k_distributions_sets.csv"),
        ("tid2013", lambda root: None, "distorted_images is missing"),
        ("kadid10k", lambda root: None, "dmos.csv cannot be read"),
        ("spaq", lambda root: None, "attribute scores.xlsx is missing"),
        ("kadid", lambda root: None, "no data set 'kadid'; there are: clive"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, make: Any, says: str) -> None:
    """The file, the line, the word."""
    make(tmp_path)
    with pytest.raises(DataSetError, match=says):
        load_rated(name, tmp_path)
