"""Right and wrong verdicts of files with a known answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.suites.__main__ import main
from tests.suites.cases import is_right, run
from worker.contracts.verdicts import QualityVerdict, Reason
from worker.settings import Settings


def verdict(**changes: Any) -> QualityVerdict:
    kept = {"image_id": "x", "event_id": "x", "fingerprint": "x", "engines": {}, "profile": "x"}
    return QualityVerdict(**kept, produced_at=datetime(2026, 1, 1, tzinfo=UTC), **changes)


def scored(category: str, raw: float) -> QualityVerdict:
    return verdict(status="scored", category=category, score=raw, raw_score=raw)


REFUSED = verdict(status="unscorable", reason=Reason(code="damaged", detail="broken on purpose"))


@pytest.mark.parametrize(
    ("expected", "of", "right"),
    [
        ("scored", scored("low", 1), True), ("scored", REFUSED, False),
        ("unscorable", REFUSED, True), ("unscorable", scored("high", 90), False),
        ("medium", scored("medium", 40), True), ("medium", scored("low", 1), False), ("medium", REFUSED, False),
        ("not blank", scored("low", 5.1), True), ("not blank", scored("low", 5), False), ("not blank", REFUSED, False),
        ("damaged", REFUSED, True), ("truncated", REFUSED, False), ("damaged", scored("high", 90), False),
    ],
)  # fmt: skip
def test_what_is_expected(expected: str, of: QualityVerdict, right: bool) -> None:
    """Of each kind of expectation, verdicts that are it and that are not."""
    assert is_right(expected, of) is right


def test_wrong_ones_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each file of the list, and for none beside it."""
    (tmp_path / "expected.csv").write_text("file,expected\ngood.jpg,scored\nbad.jpg,scored\n")

    def judge(files: Iterable[Path], _: Settings) -> Iterator[QualityVerdict]:
        yield from (REFUSED if file.name == "bad.jpg" else scored("high", 81.5) for file in files)

    assert run(tmp_path, Settings(), judge) == 1
    assert capsys.readouterr().out.splitlines() == [
        "right  good.jpg: scored; is high, raw score 81.5",
        "WRONG  bad.jpg: scored; is damaged (broken on purpose)",
        "2 cases, 1 wrong",
    ]
    (tmp_path / "expected.csv").write_text("file,expected\ngood.jpg,high\n")
    assert run(tmp_path, Settings(), judge) == 0


def test_a_folder_without_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is missing."""
    with pytest.raises(SystemExit):
        main(["--cases", str(tmp_path)])
    assert "has no expected.csv" in capsys.readouterr().err
