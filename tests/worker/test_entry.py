"""Signals before a command has begun, at every stage of its imports, as process 1 of a container and otherwise."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Wait = Callable[..., Any]

MOMENTS = ("", "_socket", "_ssl", "_struct", "pydantic_core", "numpy", "cv2", "onnxruntime", "cimpl")
"""Parts of names of libraries, in about the order in which they are loaded; "" is as soon as signals are answered at all."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SERVICES = (("worker", "run"), ("projection", "run"))
COMMANDS = (("score", "/nowhere"), ("dlq", "stats"))
AWAY = {"IQA_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "IQA_HTTP__PORT": "0"}

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def answers(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    caught = re.search(r"^SigCgt:\s*(\S+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught.group(1), 16) >> (number - 1) & 1)


def loaded(pid: int, part: str) -> bool:
    return part in Path(f"/proc/{pid}/maps").read_text()


def runs(pid: str) -> bool:
    """Whether the process lives; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def started(*arguments: str, module: str = "worker.entry", before: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    command = [*before, sys.executable, "-m", module, *arguments]
    environment = {**os.environ, **AWAY}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def send_at(pid: int, number: int, moment: str, wait_until: Wait) -> None:
    """The signal, as soon as the library of that name is there; never before it is answered."""
    # SIGINT has a handler of Python's own before ours: all are set one after the other, SIGHUP last.
    wait_until(lambda: answers(pid, signal.SIGHUP) and loaded(pid, moment), 60, f"{moment or 'the first moment'} of the start")
    os.kill(pid, number)


@pytest.mark.parametrize("arguments", [*SERVICES, *COMMANDS], ids=" ".join)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_during_the_start_ends_it_cleanly(wait_until: Wait, arguments: tuple[str, ...], moment: str) -> None:
    """A service that has not begun has nothing to drain: 0, and a line. A command: 128 and the signal's number, and no word."""
    number = SIGNALS[MOMENTS.index(moment) % 3]
    with started(*arguments) as process:
        send_at(process.pid, number, moment, wait_until)
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert out == ""
    if arguments in SERVICES:
        assert process.returncode == 0, err
        line = json.loads(err)
        assert (line["event"], line["signal"]) == ("stopped before it began", signal.Signals(number).name)
    else:
        assert (process.returncode, err) == (128 + number, "")


@pytest.mark.parametrize("moment", ["", "numpy", "onnxruntime"])
def test_the_module_behaves_like_the_command(wait_until: Wait, moment: str) -> None:
    """``python -m worker.cli`` answers as early."""
    with started("score", "/nowhere", module="worker.cli") as process:
        send_at(process.pid, signal.SIGINT, moment, wait_until)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


def first_of_a_container() -> None:
    """Skip where the machine gives nobody a process namespace; in CI that is a failure."""
    able = shutil.which("unshare") and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    if not able:
        told = "needs the right to make a process namespace (unshare --pid)"
        if os.environ.get("CI"):
            pytest.fail(told, pytrace=False)
        pytest.skip(told)


def child_of(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("", signal.SIGTERM),
        ("_ssl", signal.SIGHUP),
        ("numpy", signal.SIGINT),
        ("cv2", signal.SIGTERM),
        ("cimpl", signal.SIGTERM),
    ],
)
def test_process_1_is_stopped_as_well(wait_until: Wait, moment: str, number: int) -> None:
    """There, signals without a handler are dropped by the kernel."""
    first_of_a_container()
    with started("worker", "run", before=tuple(UNSHARE)) as process:
        pid = wait_until(lambda: child_of(process.pid), 60, "process 1")
        wait_until(lambda: Path(f"/proc/{pid}/comm").read_text().startswith("python"), 60, "its program")
        send_at(pid, number, moment, wait_until)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(err)["event"] == "stopped before it began"


def test_what_was_ignored_stays_ignored(wait_until: Wait) -> None:
    """As under nohup: the terminal goes, the command stays."""
    with started("score", "/nowhere", before=("nohup",)) as process:
        wait_until(lambda: answers(process.pid, signal.SIGTERM) and loaded(process.pid, "numpy"), 60, "numpy")
        assert not answers(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGHUP)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "/nowhere does not exist" in err


def test_a_signal_at_work_lets_a_command_clean_up(wait_until: Wait, tmp_path: Path) -> None:
    """SIGTERM during ``iqa demo``: its broker, Redis and worker end with it, and no traceback is shown."""
    with started("demo", "--folder", str(tmp_path / "demo")) as process:
        wait_until((tmp_path / "demo" / "worker.log").exists, 120, "the demo's worker")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in err
    assert children
    wait_until(lambda: not any(map(runs, children)), 60, "the end of all that the demo had started")
