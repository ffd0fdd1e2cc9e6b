"""The table of labelled pictures that fits and evaluations read."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from calibration.chain import Category
from calibration.errors import LabelsError

__all__ = ["FIELDS", "Label", "load_labels"]

FIELDS = ("file", "category", "kind", "split", "text_area", "opinion", "source", "detail")
"""Columns; ``file`` and ``category`` must be there, unknown ones are left alone."""
_CATEGORIES = get_args(Category)


@dataclass(frozen=True)
class Label:
    """What people (or a benchmark's builder) say about one picture.

    Attributes:
        file: where it lies.
        name: the same as the table has it.
        category: low, medium or high; ``None`` where only an opinion or a text area is known.
        kind: what sort of picture it is, for breakdowns; "picture" if not said.
        split: validation, test, or "" in tables without splits.
        text_area: true share of the picture under text, 0-1.
        opinion: mean opinion score, 0-100.
        detail: free text: which defect, which layout.

    """

    file: Path
    name: str
    category: Category | None
    kind: str = "picture"
    split: str = ""
    text_area: float | None = None
    opinion: float | None = None
    detail: str = ""


def load_labels(table: Path) -> list[Label]:
    """Read a CSV table with a header; a folder stands for its ``labels.csv``. Files are relative to the table.

    Raises:
        LabelsError: it cannot be read, has no ``file`` or ``category``, or a line is wrong; the message names the line.

    """
    path = table / "labels.csv" if table.is_dir() else table
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = {"file", "category"} - set(reader.fieldnames or ())
            if missing:
                raise LabelsError(f"{path}: line 1: no column {', '.join(sorted(missing))}")
            labels = [_label(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelsError(f"labels {path} cannot be read: {error}") from error
    if not labels:
        raise LabelsError(f"{path} has no pictures")
    return labels


def _label(path: Path, line: int, row: dict[str, str | None]) -> Label:
    def text(field: str) -> str:
        return (row.get(field) or "").strip()

    def number(field: str, top: float) -> float | None:
        try:
            value = float(text(field)) if text(field) else None
        except ValueError:
            value = -1.0
        if value is not None and not 0 <= value <= top:
            raise LabelsError(f"{path}: line {line}: {field} must be a number from 0 to {top:g}, not {text(field)!r}")
        return value

    category = text("category")
    if category and category not in _CATEGORIES:
        raise LabelsError(f"{path}: line {line}: category must be one of {', '.join(_CATEGORIES)}, not {category!r}")
    if not text("file"):
        raise LabelsError(f"{path}: line {line}: file is empty")
    return Label(
        file=path.parent / text("file"),
        name=text("file"),
        category=next((known for known in _CATEGORIES if known == category), None),
        kind=text("kind") or "picture",
        split=text("split"),
        text_area=number("text_area", 1),
        opinion=number("opinion", 100),
        detail=text("detail"),
    )
