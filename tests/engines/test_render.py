"""Pages as picture files: each is what its HTML says, wherever it lay in the browser's window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from engines.cli import app
from engines.errors import EngineError
from engines.training.datasets import read_rgb
from engines.training.material import render
from engines.training.material.pages import DESIGNS
from tests.needs import chromium
from tests.pictures import photo

runner = CliRunner(env={"COLUMNS": "200"})


def test_many_pages_are_cut_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several sizes, in several windows: none has a pixel of its neighbour, quotes in it do no harm."""
    monkeypatch.setattr(render, "TALLEST", 500)
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (128, 128, 128)]
    sizes = [(120, 200), (300, 210), (80, 300), (200, 150)]
    sheets = [
        (f'<!doctype html><style>body{{margin:0;background:rgb{rgb}}}</style><body title="&quot;a">', width, height)
        for rgb, (width, height) in zip(colours, sizes, strict=True)
    ]
    for pixels, rgb, (width, height) in zip(render.drawn(sheets, chromium()), colours, sizes, strict=True):
        assert pixels.shape == (height, width, 3)
        assert (pixels == rgb[::-1]).all()


def test_without_a_browser() -> None:
    """Says so."""
    with pytest.raises(EngineError, match="no-such-browser draws no pages"):
        next(render.drawn([("<body>", 10, 10)], "no-such-browser"))


def test_the_command_draws_every_kind_and_goes_on(tmp_path: Path) -> None:
    """Pictures from folders are shown; what is there is left alone."""
    for name in ("photos", "things", "drawings"):
        (tmp_path / name).mkdir()
        photo(200, 150, len(name)).save(tmp_path / name / "one.png")
    folders = [f"--{name}={tmp_path / name}" for name in ("photos", "things", "drawings")]
    words = ["draw", *folders, f"--out={tmp_path / 'out'}", "--count=2", f"--browser={chromium()}"]
    first = runner.invoke(app, words)
    assert first.exit_code == 0, first.output
    made = sorted((tmp_path / "out").rglob("*.jpg"))
    assert [path.parent.name for path in made] == sorted([*DESIGNS, *DESIGNS])
    assert all(float(np.std(read_rgb(path))) > 5 for path in made)
    times = [path.stat().st_mtime_ns for path in made]
    made[3].unlink()
    assert runner.invoke(app, words).exit_code == 0
    assert [path.stat().st_mtime_ns == time for path, time in zip(made, times, strict=True)].count(False) == 1
