"""``iqa calibrate``, from folders of photos to a profile's next version."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from calibration.profile_file import load_profile, read_profile
from tests.needs import needs_fonts
from tests.sources import make_sources
from tests.worker.helpers import Run


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    make_sources(root)
    return root


@pytest.fixture
def benchmark(iqa: Run, sources: Path) -> Path:
    needs_fonts()
    out = sources / "built"
    if not out.exists():
        folders = [f"trained={sources / 'trained'}", str(sources / "photos"), f"logos={sources / 'logos'}"]
        code, told, _ = iqa("calibrate", "benchmark", *folders, f"opinions={sources / 'clive'}", str(out), "--size", "100")
        assert code == 0
        assert "102 pictures" in told
    return out


def test_evaluate_fit_and_report(iqa: Run, benchmark: Path, tmp_path: Path) -> None:
    """Tables, JSON and a page agree; a second run takes no readings again; a fit writes a file that can be used."""
    report = tmp_path / "report.html"
    code, told, _ = iqa("calibrate", "evaluate", str(benchmark), "--json", "--report", str(report))
    assert code == 0
    found = json.loads(told)
    assert found["pictures"] == 102
    assert found["calibrated"]["accuracy"]["value"] > found["raw"]["accuracy"]["value"]
    assert found["rules"]["text_area"]["cost_ms"] > 0
    assert report.stat().st_size > 50_000
    (kept,) = benchmark.glob(".readings-*.jsonl")
    before = kept.read_bytes()
    code, told, _ = iqa("calibrate", "evaluate", str(benchmark / "labels.csv"), "--split", "test")
    assert code == 0
    assert "low ones shown / shown" in told
    assert kept.read_bytes() == before
    start = tmp_path / "start.yaml"
    # What stands for photos here is drawn, and an engine that tells kinds says so.
    text = read_profile("recruitment")[1].replace("kind:\n  enabled: true", "kind:\n  enabled: false")
    start.write_text(text.replace("  high: 50", "  high: 95"), encoding="utf-8")
    made = tmp_path / "next.yaml"
    code, told, _ = iqa("calibrate", "fit", str(benchmark), "--profile", str(start), "--out", str(made))
    assert code == 0
    assert "output_mapping.high" in told
    fitted = load_profile(str(made))
    assert fitted.version == load_profile(str(start)).version + 1
    assert fitted.output_mapping
    assert fitted.output_mapping.high < 95
    assert fitted.thresholds == load_profile("recruitment").thresholds
    assert made.read_text(encoding="utf-8").count("#") == start.read_text(encoding="utf-8").count("#")


def test_other_keywords_need_no_new_readings(iqa: Run, benchmark: Path, tmp_path: Path) -> None:
    """Readings hold the text, not what a profile makes of it."""
    iqa("calibrate", "evaluate", str(benchmark), "--json")
    other = tmp_path / "other.yaml"
    other.write_text(
        read_profile("recruitment")[1].replace("enabled: true\n  effect", "enabled: false\n  effect"), encoding="utf-8"
    )
    kept = {path: path.stat().st_mtime_ns for path in benchmark.glob(".readings-*")}
    code, told, _ = iqa("calibrate", "evaluate", str(benchmark), "--json", "--profile", str(other))
    assert code == 0
    assert json.loads(told)["rules"]["keywords"]["fired"] == 0
    assert {path: path.stat().st_mtime_ns for path in benchmark.glob(".readings-*")} == kept


def test_labels_of_ones_own(iqa: Run, sources: Path) -> None:
    """Two columns are enough; a file that is no picture is counted, not passed over."""
    (sources / "bad.jpg").write_bytes(b"no picture")
    table = sources / "mine.csv"
    with table.open("w", newline="") as lines:
        csv.writer(lines).writerows([["file", "category"], ["photos/p00.jpg", "high"], ["bad.jpg", "low"]])
    code, told, _ = iqa("calibrate", "evaluate", str(table), "--json")
    assert code == 0
    assert (json.loads(told)["labelled"], json.loads(told)["unscorable"]) == (2, 1)


def test_folders_that_cannot_be_written(iqa: Run, sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings are not kept then, and that is all."""

    def refuse(path: Path, _: object) -> None:
        raise PermissionError(path)

    monkeypatch.setattr("worker.readings.append_reading", refuse)
    (sources / "one.csv").write_text("file,category\nphotos/p05.jpg,high\n")
    assert iqa("calibrate", "evaluate", str(sources / "one.csv"), "--json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("benchmark", "photos=nowhere", "out"), "photos: nowhere is no folder"),
        (("benchmark", "pets=nowhere", "out"), "there is no role 'pets'; there are photos, trained,"),
        (("benchmark", "out"), "give at least one folder of photos"),
        (("evaluate", "nowhere.csv"), "labels nowhere.csv cannot be read"),
        (("evaluate", "nowhere.csv", "--profile", "pets"), "no profile 'pets'"),
        (("fit", "nowhere.csv"), "labels nowhere.csv cannot be read"),
        (("check", "nowhere.yaml"), "profile nowhere.yaml cannot be read"),
        (("reference", "nowhere.jsonl"), "nowhere.jsonl: No such file"),
        (("reference", "README.md"), "README.md: line 1 is not JSON"),
        (("drift-rules", "README.md"), "no reference as `iqa calibrate reference` writes it"),
    ],
)
def test_what_the_user_can_mend(iqa: Run, arguments: tuple[str, ...], told: str) -> None:
    """One line that says what, exit code 2."""
    code, _, errors = iqa("calibrate", *arguments)
    assert code == 2
    assert told in errors
    assert errors.count("\n") == 1


def test_splits_that_are_not_there(iqa: Run, sources: Path) -> None:
    """The message names those that are."""
    (sources / "two.csv").write_text("file,category,split\nphotos/p00.jpg,high,mine\n")
    code, _, errors = iqa("calibrate", "evaluate", str(sources / "two.csv"), "--split", "test")
    assert code == 2
    assert "no pictures of split 'test'; there are: mine" in errors


def test_labelled_files_that_are_gone(iqa: Run, tmp_path: Path) -> None:
    """Which one."""
    (tmp_path / "labels.csv").write_text("file,category\ngone.jpg,high\n")
    code, _, errors = iqa("calibrate", "evaluate", str(tmp_path))
    assert code == 2
    assert "gone.jpg" in errors


def test_check(iqa: Run, tmp_path: Path) -> None:
    """All shipped ones are fine; of a broken one every mistake is told with file and line."""
    code, told, _ = iqa("calibrate", "check")
    assert code == 0
    assert told.count("is fine") == 3
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        read_profile("housing")[1].replace("limit: 0.30", "limit: 3").replace("high: 50", "hihg: 50"), encoding="utf-8"
    )
    code, _, errors = iqa("calibrate", "check", "recruitment", str(wrong))
    assert code == 2
    assert len([line for line in errors.splitlines() if line.startswith((f"profile {wrong}: line ", f"{wrong}: line "))]) == 3


def test_a_reference_becomes_rules(iqa: Run, tmp_path: Path) -> None:
    """From lines of verdicts to what Prometheus loads."""
    verdict = {"profile": "mine@1", "fingerprint": "f", "score": 50.0}
    (tmp_path / "verdicts.jsonl").write_text((json.dumps(verdict) + "\n") * 1000, encoding="utf-8")
    code, reference, _ = iqa("calibrate", "reference", str(tmp_path / "verdicts.jsonl"), "--source", "a test")
    assert code == 0
    assert json.loads(reference)["source"] == "a test"
    (tmp_path / "reference.json").write_text(reference, encoding="utf-8")
    code, rules, errors = iqa("calibrate", "drift-rules", str(tmp_path / "reference.json"))
    assert (code, errors) == (0, "")
    assert "vector(1)" in rules
    assert "profile: mine@1" in rules


def test_schema(iqa: Run) -> None:
    """JSON that names the fields."""
    code, told, _ = iqa("calibrate", "schema")
    assert code == 0
    assert "thresholds" in json.loads(told)["properties"]
