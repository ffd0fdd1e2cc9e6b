"""What cannot go on ends, with an exit code that says so, and others take over; what can go on says what is wrong."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import answer, counted, lines
from tests.integration.own_node import own_node
from tests.integration.test_delivery import pictures, send
from tests.integration.test_exactly_once import ONCE
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]


def ended(worker: WorkerProcess) -> int:
    """Its exit code once it has ended by itself. No traceback, and one last line for people."""
    code = worker.wait()
    written = worker.log.read_text()
    assert "Traceback (most recent call last)" not in written
    assert [line for line in written.splitlines() if line and not line.startswith("{")][-1].startswith("iqa: ")
    return code


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_two_under_one_instance_id(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """The broker fences the first: it ends with 1 and does not stay as one that is live and ready. The other answers all."""
    fleet.create_topics()
    named = {"IQA_KAFKA__DELIVERY": delivery, "IQA_KAFKA__INSTANCE_ID": "pod-0"}
    with PictureServer(pictures(5)) as server:
        first = fleet.start(**named)
        wait_until(lambda: first.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        send(fleet, server, 10, 5)
        wait_until(lambda: fleet.read() >= 10, what="verdicts by the first")
        second = fleet.start(**named)
        wait_until(lambda: second.metric("iqa_assigned_partitions") > 0 or not first.running(), what="a fence")
        began = time.monotonic()
        code = ended(first)
        took = time.monotonic() - began
        print(f"{delivery}: fenced, exit 1 after {took:.1f} s")
        assert code == 1
        assert took < 45  # a promise
        send_events(fleet.settings, [make_event(server.url("0.jpg"), f"after-{n}") for n in range(20)])
        wait_until(lambda: fleet.read() >= 30, what="verdicts by the second")
        assert answer(second)[0] == 200
        assert second.terminate() == 0


def test_a_broker_that_does_not_know_the_protocol(tmp_path: Path) -> None:
    """``IQA_KAFKA__PROTOCOL=consumer`` where groups are classic: exit 1 and one line, instead of waiting for ever."""
    with (
        own_node(tmp_path, group_coordinator_rebalance_protocols="classic") as node,
        Fleet(node.servers, "old", tmp_path) as old,
    ):
        old.create_topics()
        worker = old.start(**ONCE, IQA_KAFKA__PROTOCOL="consumer")
        assert ended(worker) == 1


def test_two_under_one_transactional_id(fleet: Fleet, wait_until: Wait) -> None:
    """They fence each other again and again: each event is answered once, and logs and metrics say whose fault it is."""
    fleet.create_topics()
    named = ONCE | {"IQA_KAFKA__TRANSACTIONAL_ID": f"both-{uuid.uuid4().hex[:8]}"}
    with PictureServer(pictures(20)) as server:
        pair = [fleet.start(**named), fleet.start(**named)]
        even = [PARTITIONS / 2] * 2
        wait_until(lambda: [w.metric("iqa_assigned_partitions") for w in pair] == even, what="an even assignment")
        wanted = send(fleet, server, 300, 20)
        wait_until(lambda: fleet.read() >= 300, what="a verdict on every image")
        for worker in pair:
            told = lines(worker, "producer_fenced")
            assert counted(worker, "iqa_producers_fenced_total") == len(told)
        assert sum(len(lines(worker, "producer_fenced")) for worker in pair) > 0
        wait_until(lambda: all(counted(w, "iqa_in_flight_events") == 0 for w in pair), what="nothing in flight")
        assert [worker.terminate() for worker in pair] == [0, 0]
        fleet.read()
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0


@pytest.mark.parametrize("part", ["publisher", "retries"])
def test_a_thread_that_dies(fleet: Fleet, part: str, wait_until: Wait) -> None:
    """The process ends, not with 0, and what it had not published is another's."""
    fleet.create_topics()
    with PictureServer(pictures(5)) as server:
        worker = fleet.start(program="tests.hostile.dying_worker", **ONCE, DIES=part)
        wanted = send(fleet, server, 10, 5)
        assert worker.wait() == 1
        assert lines(worker, {"publisher": "publisher_died", "retries": "retries_stopped"}[part])
        other = fleet.start(**ONCE)
        wait_until(lambda: fleet.read() >= 10, what="verdicts by another")
        wait_until(lambda: answer(other)[0] == 200, what="readiness")
        assert other.terminate() == 0
        fleet.read()
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0
