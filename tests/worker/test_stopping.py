"""One deadline for a stop, and the right exit code at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.worker.helpers import make_settings
from worker.app import EXIT_LEFT, FAILED_S, Worker

Wait = Callable[..., Any]


class Lanes:
    """Two lanes that were told to stop, with what they still owe, and what their loops had noted before they closed."""

    def __init__(self, *begun: int, noted: int = 0) -> None:
        self.budgets: list[float] = []
        self.lanes = [
            SimpleNamespace(
                loop=SimpleNamespace(stop=self.budgets.append, unpublished=noted), ledger=SimpleNamespace(begun=count)
            )
            for count in begun
        ]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.app.CLOSE_S", 0.01)
    monkeypatch.setattr("worker.app.FAILED_S", 0.02)


def stopping(lanes: Lanes, drain_s: float = 0.03) -> tuple[Worker, list[int]]:
    """As much of a worker as a stop needs."""
    ended: list[int] = []
    worker = object.__new__(Worker)
    worker.settings = make_settings(worker={"drain_timeout_s": drain_s})
    worker._on_overdue = ended.append
    worker._failure = None
    worker._ended, worker._stopping = threading.Event(), threading.Event()
    worker._uploads, worker._retries = cast("Any", lanes.lanes)
    return worker, ended


@pytest.mark.parametrize(("begun", "failed", "code"), [((0, 0), False, 0), ((0, 2), False, EXIT_LEFT), ((1, 0), True, 1)])
def test_what_hangs_is_not_waited_for(begun: tuple[int, int], failed: bool, code: int, wait_until: Wait) -> None:
    """The process ends; its exit code says whether something was left, and first of all whether it failed."""
    lanes = Lanes(*begun)
    worker, ended = stopping(lanes)
    if failed:
        worker._fail(RuntimeError("a thread died"))
    else:
        worker.stop()
    wait_until(lambda: ended)
    assert ended == [code]
    assert lanes.budgets == ([0.02] * 2 if failed else [0.03] * 2)


def test_what_was_left_is_told_though_partitions_are_gone(wait_until: Wait) -> None:
    """A consumer that is being closed gives them up, and the ledger forgets what it held: with a broker gone the code was 0."""
    worker, ended = stopping(Lanes(0, 0, noted=4))
    worker.stop()
    wait_until(lambda: ended)
    assert ended == [EXIT_LEFT]


def test_a_stop_that_comes_to_its_end_is_left_alone() -> None:
    """Nobody ends the process for it; asked again, it is no other stop."""
    worker, ended = stopping(Lanes(1, 1), drain_s=60)
    worker.stop()
    worker.stop()
    worker._ended.set()
    assert ended == []


def test_a_failure_leaves_less_than_ten_seconds() -> None:
    """Steps of a fatal end, the moment for what still works, and the goodbye."""
    from worker.stream.consumer import ABANDON_S, CLOSE_S

    assert 2 * ABANDON_S + FAILED_S + CLOSE_S <= 10
