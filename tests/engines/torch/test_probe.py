"""What a trunk can tell is told out of fold."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from typer.testing import CliRunner  # noqa: E402

from engines.cli import app  # noqa: E402
from engines.models.hyperiqa import HyperIQA  # noqa: E402
from engines.training.probe import probe  # noqa: E402
from tests.pictures import photo  # noqa: E402

pytestmark = pytest.mark.torch


def test_what_is_there_is_found_and_what_is_not_is_not() -> None:
    """Opinions that hang on the numbers are told; shuffled ones are not, since nobody tells himself."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 8))
    opinions = 50 + 15 * np.tanh(rows[:, 0]) + 5 * rows[:, 1]
    parts = np.array_split(rng.permutation(120), 5)
    found = probe(rows, opinions, parts)
    assert found.srcc > 0.9
    assert found.scores.shape == (120,)
    assert probe(rows, rng.permutation(opinions), parts).srcc < 0.4


def test_the_command(tmp_path: Path) -> None:
    """A line for each stage, and one for all."""
    (tmp_path / "images").mkdir()
    rows = [["file", "mos", "split"]]
    for number in range(12):
        photo(90, 80, number).save(tmp_path / "images" / f"{number}.png")
        rows.append([f"{number}.png", str(10 + 5 * number), "train" if number % 4 else "val"])
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    torch.manual_seed(0)
    torch.save({"average": HyperIQA().state_dict()}, tmp_path / "start.pt")
    words = f"probe --data clive={tmp_path} --initial-weights {tmp_path / 'start.pt'} --side 96 --folds 3"
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    lines = [line for line in result.output.splitlines() if "SRCC" in line]
    assert [line.split(":")[0] for line in lines] == ["layer1", "layer2", "layer3", "layer4", "all"]
    assert "12 pictures, 3 folds" in result.output
