"""How commands end when what is around them is broken, or they are themselves."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import encode, photo
from tests.worker.helpers import Run
from worker import cli
from worker.stream.records import software_version


def shell(line: str, **environment: str) -> tuple[int, str]:
    """Exit code of the command in ``line``, and its errors. Output is small, so that it is written at the very end."""
    script = f"{sys.executable} -m worker.cli {line}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    return done.returncode, done.stderr


def test_version(iqa: Run) -> None:
    """As of the package."""
    assert iqa("--version") == (0, f"iqa {software_version()}\n", "")


@pytest.mark.parametrize("command", ["calibrate schema", "engines list", "--help"])
def test_a_reader_that_has_gone(command: str) -> None:
    """As ``head`` goes: 1, and no word."""
    assert shell(f"{command} | true; exit ${{PIPESTATUS[0]}}") == (1, "")


def test_outputs_that_are_closed_or_full() -> None:
    """What is written to a closed one is lost; a full disk is said."""
    assert shell("calibrate schema >&-") == (0, "")
    assert shell("score /nowhere 2>&-") == (2, "")
    assert shell("calibrate schema > /dev/full") == (1, "iqa: [Errno 28] No space left on device\n")


def test_letters_that_a_terminal_cannot_show() -> None:
    """A name that is not UTF-8, and an encoding of the terminal's that knows no Chinese."""
    code, err = shell("calibrate schema > /dev/null", PYTHONIOENCODING="ascii")
    assert (code, err) == (0, "")
    code, err = shell("score $'/nowhere/\\xff'")
    assert (code, err) == (2, "iqa: /nowhere/\\udcff does not exist\n")


def test_users_without_a_home(iqa: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container's number that no passwd knows: only where the folder was not given."""

    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("IQA_ENGINES__DIRECTORY", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    (tmp_path / "a.jpg").write_bytes(encode(photo()))
    for arguments in (("engines", "list"), ("engines", "fetch"), ("engines", "verify"), ("score", str(tmp_path))):
        code, _, err = iqa(*arguments)
        assert code == 2
        assert err.endswith("this user has no home directory; set IQA_ENGINES__DIRECTORY\n")
        assert err.count("\n") == 1
    assert iqa("engines", "list", IQA_ENGINES__DIRECTORY=str(tmp_path))[0] == 0


def test_a_mistake_of_ours_is_one_line(iqa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And 70; the traceback is there for who asks."""

    def broken(*_: object) -> None:
        raise LookupError("this\nand that")

    monkeypatch.setattr(cli, "connect", broken)
    code, _, err = iqa("verdict", "get", "a")
    assert code == cli.INTERNAL
    assert err == "iqa: internal error: LookupError: this and that; set IQA_LOG_LEVEL=debug for the traceback\n"
    code, _, err = iqa("verdict", "get", "a", IQA_LOG_LEVEL="debug")
    assert code == cli.INTERNAL
    assert err.startswith("Traceback")


def test_a_mistake_of_ours_in_a_service_is_a_line_of_json(iqa: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever collects its logs gets the traceback in one piece."""

    def broken(*_: object, **__: object) -> None:
        raise LookupError("this")

    monkeypatch.setattr("worker.app.Worker", broken)
    code, _, err = iqa("worker", "run")
    assert code == cli.INTERNAL
    (line,) = err.splitlines()
    assert json.loads(line)["event"] == "stopped_by_an_error"
    assert "LookupError: this" in json.loads(line)["exception"]


def test_names_of_engines_are_not_cut(iqa: Run) -> None:
    """They have to be typed elsewhere, whatever the terminal's width."""
    _, out, _ = iqa("engines", "list", COLUMNS="80")
    assert "hyperiqa-lite0@" in out


def test_services_that_no_profile_is_for(iqa: Run, tmp_path: Path) -> None:
    """Unlike an event's, which come as they come, a person's are misspelt."""
    (tmp_path / "a.jpg").write_bytes(encode(photo()))
    code, out, err = iqa("score", str(tmp_path), "--service", "housng")
    assert (code, out) == (2, "")
    assert err.startswith("iqa: --service: no profile is for 'housng'; there are: ")
    assert "housing" in err
    code, out, _ = iqa("score", str(tmp_path), "--service", "housing", "--json")
    assert json.loads(out)["profile"].startswith("housing@")
