"""Whoever has opinions of his own: train, head, export, verify, judge, fit, evaluate; on a small copy of KonIQ's layout."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

torch = pytest.importorskip("torch")
from calibration.profile_file import read_profile  # noqa: E402
from engines.engine_set import DEFAULT_DIRECTORY  # noqa: E402
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from tests.pictures import photo  # noqa: E402
from tests.worker.helpers import Run  # noqa: E402

pytestmark = pytest.mark.torch
SIDE = "96"


@pytest.fixture(scope="module")
def koniq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 pictures with the official table, whose split they keep."""
    root = tmp_path_factory.mktemp("koniq")
    (root / "1024x768").mkdir()
    rows: list[tuple[object, ...]] = [("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set")]
    for number in range(28):
        photo(480, 360, number).save(root / "1024x768" / f"{number:05}.jpg")
        split = "training" if number < 16 else "validation" if number < 22 else "test"
        rows.append((f"{number:05}.jpg", 0, 0, 0.2, 0.7, 0.1, 105, 20 + 2 * number, 0.5, split))
    with (root / "koniq10k_distributions_sets.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(16):
        photo(120, 100, 40 + number).save(folder / f"{number:02}.png")
    return folder


def test_from_opinions_to_verdicts(
    iqa: Run, koniq: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command's output is what the next one takes, and the last ones judge by the engine that the first one began."""
    torch.manual_seed(0)
    torch.save({"average": HyperIQA().state_dict()}, tmp_path / "start.pt")
    data, engines = ("--data", f"koniq10k={koniq}"), tmp_path / "engines"
    monkeypatch.setenv("IQA_ENGINES__DIRECTORY", str(engines))

    def done(*words: str) -> str:
        code, told, errors = iqa(*words)
        assert code == 0, told + errors
        return told

    start = ("--initial-weights", str(tmp_path / "start.pt"), "--photos", str(photos), "--side", SIDE)
    training = ("--steps", "2", "--every", "2", "--batch", "4", "--crop", "64", "--ladder-crop", "64", "--ladders", "1")
    done("engines", "train", *data, *start, "--out", str(tmp_path / "run"), *training)
    again = ("--initial-weights", str(tmp_path / "run" / "last.pt"), "--photos", str(photos), "--side", SIDE)
    done("engines", "train-head", *data, *again, "--out", str(tmp_path / "head"), "--steps", "4", "--rated", "8")
    head = str(tmp_path / "head" / "head.pt")
    told = done(
        "engines", "export", "--checkpoint", head, "--name", "mine", "--version", "3", *data, "--training-data", "KonIQ"
    )
    assert "IQA_ENGINES__QUALITY=mine" in told
    manifest = yaml.safe_load((engines / "mine.yaml").read_text())
    assert (manifest["version"], manifest["input"]["longest_side"], manifest["imported"]) == (3, int(SIDE), True)
    assert len(manifest["input"]["scale"]) > 2
    told = done("engines", "measure", *data, "--weights", str(engines / "mine.onnx"), "--side", SIDE)
    assert "koniq10k, validation split, 6 photos" in told
    assert "koniq10k, test split, 6 photos" in told
    for fetched in DEFAULT_DIRECTORY.expanduser().glob("*.onnx"):
        (engines / fetched.name).symlink_to(fetched)
    monkeypatch.setenv("IQA_ENGINES__QUALITY", "mine")
    assert "mine@3" in done("engines", "verify")
    rows = [
        ("file", "category", "split"),
        *((f"1024x768/{n:05}.jpg", "low" if n < 14 else "high", "validation") for n in range(28)),
    ]
    with (koniq / "judged.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    assert '"mine@3"' in done("score", "--json", str(koniq / "1024x768" / "00003.jpg"))
    start_profile, fitted = tmp_path / "start.yaml", tmp_path / "fitted.yaml"
    start_profile.write_text(read_profile("recruitment")[1].replace("  high: 50", "  high: 95"), encoding="utf-8")
    told = done("calibrate", "fit", str(koniq / "judged.csv"), "--profile", str(start_profile), "--out", str(fitted))
    assert fitted.exists(), told
    assert "28" in done("calibrate", "evaluate", str(koniq / "judged.csv"), "--profile", str(fitted))


def test_names_of_engines_that_ship_are_taken(iqa: Run, tmp_path: Path) -> None:
    """An engine of one's own never stands in for one that ships."""
    torch.save({"average": HyperIQA().state_dict()}, tmp_path / "run.pt")
    words = ("engines", "export", "--checkpoint", str(tmp_path / "run.pt"), "--directory", str(tmp_path / "engines"))
    code, _, errors = iqa(*words, "--name", "hyperiqa-lite0")
    assert code != 0
    assert "choose another --name" in errors
    code, _, errors = iqa(*words, "--name", "My Engine")
    assert code != 0
    assert "name" in errors
    assert not list((tmp_path / "engines").glob("*"))
