"""``iqa engines``."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engines.cli import app
from engines.errors import EngineMissingError, ManifestError
from engines.quality import Judgement

runner = CliRunner(env={"COLUMNS": "200"})


def test_list_says_what_is_missing(tmp_path: Path) -> None:
    """And how to get it."""
    result = runner.invoke(app, ["list", "--directory", str(tmp_path)])
    assert result.exit_code == 0
    assert "hyperiqa-lite0@7" in result.output
    assert "hyperiqa-r18@2" in result.output
    assert result.output.count("missing: iqa engines fetch") == 2


def test_verify_passes_with_what_ships() -> None:
    """On whatever processor the tests run."""
    result = runner.invoke(app, ["verify"])
    assert result.exit_code == 0, result.output
    assert result.output.count("ok") == 5


def test_verify_takes_panels() -> None:
    """Every member of a panel answers its own golden pictures; what is no choice is named."""
    result = runner.invoke(app, ["verify", "--quality", "hyperiqa-lite0+hyperiqa-r18"])
    assert result.exit_code == 0, result.output
    assert result.output.count("ok") == 7
    refused = runner.invoke(app, ["verify", "--quality", "hyperiqa-lite0+"])
    assert isinstance(refused.exception, ManifestError)


def test_verify_fails_when_an_answer_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, with both answers."""
    monkeypatch.setattr("engines.quality.QualityEngine.judge", lambda *_: Judgement(12.34))
    result = runner.invoke(app, ["verify"])
    assert result.exit_code == 1
    assert "12.34" in result.output
    assert "differs" in result.output


def test_verify_without_the_files(tmp_path: Path) -> None:
    """The error says what to run; the whole command turns it into one line."""
    result = runner.invoke(app, ["verify", "--directory", str(tmp_path)])
    assert isinstance(result.exception, EngineMissingError)
    assert "iqa engines fetch" in str(result.exception)
