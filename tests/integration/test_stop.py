"""A stop takes no longer than its budget, whatever hangs, and its exit code tells whether something was left."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import answer, counted, lines, published
from tests.integration.own_node import OwnNode, own_node
from tests.integration.test_delivery import pictures, send
from tests.patience import PATIENCE_S
from tests.worker.intake.servers import head, raw_server, silence
from worker.app import EXIT_LEFT
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
DRAIN_S, CLOSE_S = 5.0, 5.0
MARGIN_S = 30.0
"""For the process itself to end, on a machine that does other things, too."""

WAYS = ("exactly_once", "at_least_once")
SETTINGS = {
    "IQA_WORKER__DRAIN_TIMEOUT_S": str(DRAIN_S),
    "IQA_FETCH__TOTAL_TIMEOUT_S": "300",
    "IQA_FETCH__CONNECT_TIMEOUT_S": "3",
}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnNode]:
    with own_node(tmp_path_factory.mktemp("stop-kafka")) as found:
        yield found


@pytest.fixture
def ours(node: OwnNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(node.servers, f"test-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("fleet")) as found:
        found.create_topics()
        yield found
    node.node.thaw()


def joined(worker: WorkerProcess, wait_until: Wait) -> WorkerProcess:
    """It has all partitions and is ready."""
    wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
    wait_until(lambda: answer(worker)[0] == 200, what="readiness")
    return worker


def stop(worker: WorkerProcess, what: str) -> int:
    """SIGTERM; the exit code. Not within the budget: a failure."""
    began = time.monotonic()
    code = worker.terminate()
    took = time.monotonic() - began
    print(f"{what}: exit {code} after {took:.1f} s, {lines(worker, 'stopped', 'stop_overdue')}")
    assert took < DRAIN_S + CLOSE_S + MARGIN_S  # a promise
    return code


class Gate:
    """A host that answers nobody until it is opened."""

    def __init__(self, picture: bytes) -> None:
        self.opened = threading.Event()
        self.asked = threading.Semaphore(0)
        self._picture = picture

    def __call__(self, connection: Any, over: threading.Event) -> None:
        self.asked.release()
        self.opened.wait(PATIENCE_S)
        length = str(len(self._picture))
        connection.sendall(head("200 OK", Content_Length=length, Connection="close") + self._picture)


@pytest.mark.parametrize("delivery", WAYS)
@pytest.mark.parametrize("way", ["frozen", "killed"])
def test_a_broker_that_is_gone_with_results_left(node: OwnNode, ours: Fleet, way: str, delivery: str, wait_until: Wait) -> None:
    """Pictures are judged after the broker went: nothing can be published. In time, and not 0. Another answers them, once."""
    gate = Gate(next(iter(pictures(1).values())))
    with raw_server(gate) as url:
        worker = joined(ours.start(IQA_KAFKA__DELIVERY=delivery, **SETTINGS), wait_until)
        send_events(ours.settings, [make_event(f"{url}/{n}.jpg", f"left-{n}") for n in range(4)])
        for _ in range(4):
            assert gate.asked.acquire(timeout=PATIENCE_S)
        node.node.freeze() if way == "frozen" else node.node.kill()
        gate.opened.set()
        wait_until(lambda: len(lines(worker, "judged")) == 4, what="judgements")
        assert stop(worker, f"{way}, 4 left, {delivery}") == EXIT_LEFT
        assert lines(worker, "stopped", "stop_overdue")[-1]["unpublished"] == 4
        node.node.thaw() if way == "frozen" else node.start_again()
        other = ours.start(IQA_KAFKA__DELIVERY=delivery, **SETTINGS)
        wait_until(lambda: published(ours).total() >= 4, what="verdicts by another")
        assert joined(other, wait_until).terminate() == 0
        assert published(ours) == {f"left-{n}": 1 for n in range(4)}


@pytest.mark.parametrize("delivery", WAYS)
@pytest.mark.parametrize("way", ["frozen", "killed"])
def test_a_broker_that_is_gone_with_nothing_left(node: OwnNode, ours: Fleet, way: str, delivery: str, wait_until: Wait) -> None:
    """All was published and committed: 0."""
    with PictureServer(pictures(5)) as server:
        worker = joined(ours.start(IQA_KAFKA__DELIVERY=delivery, **SETTINGS), wait_until)
        send(ours, server, 10, 5)
        wait_until(lambda: ours.read() >= 10 and counted(worker, "iqa_in_flight_events") == 0, what="all done")
        node.node.freeze() if way == "frozen" else node.node.kill()
        assert stop(worker, f"{way}, nothing left, {delivery}") == 0
        node.node.thaw() if way == "frozen" else node.start_again()


def test_an_event_that_hangs(ours: Fleet, wait_until: Wait) -> None:
    """Its host never answers: it is given up when the budget is used up, and that is told."""
    with raw_server(silence) as url:
        worker = joined(ours.start(**SETTINGS, IQA_KAFKA__DELIVERY="exactly_once"), wait_until)
        send_events(ours.settings, [make_event(f"{url}/a.jpg", "hangs")])
        wait_until(lambda: counted(worker, "iqa_in_flight_events") == 1, what="the event in flight")
        assert stop(worker, "an event that hangs") == EXIT_LEFT


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_other_signals_drain_too(ours: Fleet, number: signal.Signals, wait_until: Wait) -> None:
    """What runs is finished and published: exit code 0."""
    gate = Gate(next(iter(pictures(1).values())))
    with raw_server(gate) as url:
        # The picture comes only after the signal, however long that takes.
        patient = SETTINGS | {"IQA_WORKER__DRAIN_TIMEOUT_S": str(PATIENCE_S)}
        worker = joined(ours.start(**patient, IQA_KAFKA__DELIVERY="exactly_once"), wait_until)
        send_events(ours.settings, [make_event(f"{url}/a.jpg", "runs")])
        assert gate.asked.acquire(timeout=PATIENCE_S)
        worker.signal(number)
        wait_until(lambda: lines(worker, "draining"), what="the drain")
        gate.opened.set()
        assert worker.wait() == 0
        wait_until(lambda: ours.read() == 1, what="the verdict")
    assert lines(worker, "stopped")[0]["unpublished"] == 0


def test_sigterm_during_the_start(ours: Fleet, wait_until: Wait) -> None:
    """While it imports, while engines load, while it waits for a broker: it ends at once, and in order."""
    for moment in ("import", "starting", "engines_ready"):
        worker = ours.start(program="worker.entry", **SETTINGS)
        if moment == "import":
            wait_until(lambda w=worker: answers_signals(w), what="its handlers")
        else:
            wait_until(lambda w=worker, m=moment: lines(w, m), what=moment)
        began = time.monotonic()
        code = worker.terminate()
        print(f"SIGTERM at {moment}: exit {code} after {time.monotonic() - began:.1f} s")
        assert code == 0
        assert "Traceback" not in worker.log.read_text()


def answers_signals(worker: WorkerProcess) -> bool:
    """Whether it has asked for SIGTERM, by what the kernel tells."""
    status = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)
