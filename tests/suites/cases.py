"""Files with a known right answer, judged as a worker judges them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.contracts.verdicts import QualityVerdict
from worker.score import score_files
from worker.settings import Settings

__all__ = ["NAME", "NOT_BLANK", "Answer", "answers", "is_right", "run"]

NAME = "expected.csv"
"""Columns ``file`` and ``expected``."""
NOT_BLANK = 5.0
"""A raw score above it."""

Judge = Callable[[Iterable[Path], Settings], Iterator[QualityVerdict]]


@dataclass(frozen=True)
class Answer:
    """One file: what is right, and what the verdict says."""

    file: str
    expected: str
    told: str
    right: bool


def is_right(expected: str, verdict: QualityVerdict) -> bool:
    """Whether a verdict is what is expected.

    Args:
        expected: ``scored``, ``unscorable``, ``not blank``, a category (``low``, ``medium``, ``high``) or a reason's code.
        verdict: of the file.

    """
    if expected in {"scored", "unscorable"}:
        return verdict.status == expected
    if expected == "not blank":
        return verdict.raw_score is not None and verdict.raw_score > NOT_BLANK
    return expected in (verdict.category, verdict.reason.code if verdict.reason else None)


def answers(folder: Path, settings: Settings, judge: Judge = score_files) -> Iterator[Answer]:
    """In the order of the list.

    Raises:
        KeyError: the list lacks a column.
        EngineError, ProfileError: engines or profile cannot be used.

    """
    with (folder / NAME).open(encoding="utf-8", newline="") as file:
        rows = [(row["file"], row["expected"]) for row in csv.DictReader(file)]
    verdicts = judge([folder / name for name, _ in rows], settings)
    for (name, expected), verdict in zip(rows, verdicts, strict=True):
        yield Answer(name, expected, _told(verdict), is_right(expected, verdict))


def run(folder: Path, settings: Settings, judge: Judge = score_files) -> int:
    """Print a line for each, and how many are wrong; 1 if any is."""
    wrong = count = 0
    for answer in answers(folder, settings, judge):
        count, wrong = count + 1, wrong + (not answer.right)
        print(f"{'right' if answer.right else 'WRONG'}  {answer.file}: {answer.expected}; is {answer.told}")
    print(f"{count} cases, {wrong} wrong")
    return 1 if wrong else 0


def _told(verdict: QualityVerdict) -> str:
    if verdict.reason:
        return f"{verdict.reason.code} ({verdict.reason.detail})"
    return f"{verdict.category}, raw score {verdict.raw_score:.1f}"
