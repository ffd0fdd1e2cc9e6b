"""``iqa engines build``, ``verify --against`` and ``bench`` on the double of a GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from engines.cli import app
from engines.engine_set import DEFAULT_DIRECTORY
from engines.runtime.tensorrt import TensorRtRuntime
from tests.engines.gpu import cuda_double, trt_double
from tests.engines.gpu.cuda_double import Gpu, GraphLibrary
from tests.pictures import photo

runner = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fetched engines, with room for plans of their own, and a GPU to build them on."""
    Gpu()
    trt_double.Builder.builds = 0
    folder = tmp_path / "engines"
    folder.mkdir()
    for file in DEFAULT_DIRECTORY.expanduser().glob("*.onnx"):
        (folder / file.name).symlink_to(file)
    modules = (trt_double, cuda_double, GraphLibrary())

    def made(plans: Path, options: Any, **names: Any) -> TensorRtRuntime:
        return TensorRtRuntime(plans, options, modules, **names)

    monkeypatch.setattr("engines.runtime.select.TensorRtRuntime", made)
    return folder


def test_build_once_and_verify_against_onnx(directory: Path) -> None:
    """Half precision on the double: golden answers and the gate hold; verify uses what build has built."""
    built = runner.invoke(app, ["build", "--directory", str(directory)])
    assert built.exit_code == 0, built.output
    assert "plans for tensorrt@" in built.output
    assert built.output.count("Building engine: done") >= 3
    assert trt_double.Builder.builds == 3
    words = ["verify", "--runtime", "tensorrt", "--against", "onnx", "--directory", str(directory)]
    verified = runner.invoke(app, words)
    assert verified.exit_code == 0, verified.output
    assert trt_double.Builder.builds == 3
    assert "quality_sharp.png, portrait" in verified.output
    assert "differs" not in verified.output


def test_a_backend_that_judges_differently_is_caught(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points off on the GPU alone: exit code 1, with both scores."""
    run = trt_double.IExecutionContext._run

    def wrong(context: Any, x: Any) -> Any:
        answer = run(context, x)
        # Rows of score, kinds and ruin; maps and sequences have more axes.
        return answer + np.float32(2) * (np.arange(answer.shape[1]) == 0) if answer.ndim == 2 else answer

    monkeypatch.setattr(trt_double.IExecutionContext, "_run", wrong)
    words = ["verify", "--runtime", "tensorrt", "--against", "onnx", "--directory", str(directory)]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert "differs" in result.output


def test_pictures_and_thresholds_of_ones_own(directory: Path, tmp_path: Path) -> None:
    """A folder is compared instead of the gate's pictures; an empty one proves nothing; a missing one is named."""
    photos = tmp_path / "photos"
    photos.mkdir()
    words = ["verify", "--against", "onnx", "--directory", str(directory), "--pictures", str(photos)]
    empty = runner.invoke(app, words)
    assert empty.exit_code == 1
    assert "no pictures were compared" in empty.output
    photo(200, 150).save(photos / "mine.png")
    result = runner.invoke(app, [*words, "--threshold", "30", "--threshold", "70"])
    assert result.exit_code == 0, result.output
    assert "mine.png" in result.output
    absent = runner.invoke(app, [*words[:-1], str(tmp_path / "nowhere")])
    assert absent.exit_code == 2
    assert "is no folder" in absent.output


def test_bench(directory: Path) -> None:
    """A row an engine and batch, on either backend; JSON for machines."""
    words = [
        "bench",
        "--directory",
        str(directory),
        "--seconds",
        "0.1",
        "--engine",
        "hyperiqa-r18",
        "--batch",
        "1",
        "--batch",
        "2",
    ]
    rows = json.loads(runner.invoke(app, [*words, "--json"]).output)
    assert [(row["engine"].split("@")[0], row["batch"]) for row in rows] == [("hyperiqa-r18", 1), ("hyperiqa-r18", 2)]
    result = runner.invoke(app, [*words, "--runtime", "tensorrt", "--callers", "3"])
    assert result.exit_code == 0, result.output
    assert "tensorrt@" in result.output
    assert "p99 ms" in result.output
