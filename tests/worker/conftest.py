"""Fixtures of the worker's tests."""

from __future__ import annotations

import sys

import pytest

from tests.worker.helpers import Run
from worker import cli


@pytest.fixture
def iqa(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process; gives exit code, output, errors."""

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        # Narrow terminals break words; tests look for them whole.
        monkeypatch.setenv("COLUMNS", environment.get("COLUMNS", "160"))
        monkeypatch.setattr(sys, "argv", ["iqa", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, captured.out, captured.err

    return run
