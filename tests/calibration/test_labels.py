"""Tables of labels are read strictly, and mistakes have a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.errors import LabelsError
from calibration.labels import load_labels


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_all_columns(tmp_path: Path) -> None:
    """Empty cells are unknown; columns that nobody knows are left alone; a folder stands for its table."""
    table(tmp_path, "file,category,kind,split,text_area,opinion,mine\na/1.jpg,low,ruined,test,0.25,31.5,x\n2.jpg,,,,,,\n")
    first, second = load_labels(tmp_path)
    assert (first.file, first.name) == (tmp_path / "a/1.jpg", "a/1.jpg")
    assert (first.category, first.kind, first.split, first.text_area, first.opinion) == ("low", "ruined", "test", 0.25, 31.5)
    assert (second.category, second.kind, second.split, second.text_area, second.opinion) == (None, "picture", "", None, None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file,kind\na.jpg,x\n", "line 1: no column category"),
        ("file,category\na.jpg,low\nb.jpg,mid\n", "line 3: category must be one of low, medium, high, not 'mid'"),
        ("file,category\n,low\n", "line 2: file is empty"),
        ("file,category,text_area\na.jpg,low,1.5\n", "line 2: text_area must be a number from 0 to 1, not '1.5'"),
        ("file,category,opinion\na.jpg,low,x\n", "line 2: opinion must be a number from 0 to 100, not 'x'"),
        ("file,category\n", "has no pictures"),
        ("", "line 1: no column category, file"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, told: str) -> None:
    """One line that says where and what."""
    with pytest.raises(LabelsError) as caught:
        load_labels(table(tmp_path, text))
    assert told in str(caught.value)


def test_missing_table(tmp_path: Path) -> None:
    """Neither a file nor a folder with one."""
    with pytest.raises(LabelsError, match="cannot be read"):
        load_labels(tmp_path)
