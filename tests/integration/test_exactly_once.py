"""Once each, whatever dies when: real Kafka, worker processes in exactly-once mode, readers of committed records."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.fleet import PARTITIONS, Fleet
from tests.integration.test_delivery import pictures, send
from worker.embedded.picture_server import PictureServer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
ONCE = {"IQA_KAFKA__DELIVERY": "exactly_once", "IQA_WORKER__MAX_IN_FLIGHT": "32", "IQA_WORKER__PUBLISH_INTERVAL_MS": "50"}


def test_kill_9_again_and_again(fleet: Fleet, wait_until: Wait) -> None:
    """600 events, two workers at any time, one of them killed after every 120 verdicts: a verdict on each, none twice."""
    fleet.create_topics()
    rng = random.Random(7)
    with PictureServer(pictures(30)) as server:
        pair = [fleet.start(**ONCE), fleet.start(**ONCE)]
        even = [PARTITIONS / 2] * 2
        wait_until(lambda: [w.metric("iqa_assigned_partitions") for w in pair] == even, what="an even assignment")
        wanted = send(fleet, server, 600, 30)
        for kill in itertools.count(1):
            goal = min(600, 120 * kill)
            wait_until(lambda goal=goal: fleet.read() >= goal, what=f"{goal} verdicts")
            if goal == 600:
                break
            victim = pair.pop(rng.randrange(2))
            victim.kill()
            pair.append(fleet.start(**ONCE))
        # One that has not begun yet would end by the signal itself.
        wait_until(lambda: all(w.metric("iqa_assigned_partitions") > 0 for w in pair), what="a share for both")
        assert [worker.terminate() for worker in pair] == [0, 0]
        fleet.read()
    print(f"600 events, {kill - 1} kills, {len(fleet.seen)} verdicts, lost 0, duplicates {fleet.duplicates}")
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0


def test_deploys_and_newcomers(fleet: Fleet, wait_until: Wait) -> None:
    """Workers come and go in the middle of the work, politely: nothing lost, nothing twice."""
    fleet.create_topics()
    with PictureServer(pictures(20)) as server:
        first = fleet.start(**ONCE)
        wait_until(lambda: first.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        wanted = send(fleet, server, 300, 20)
        wait_until(lambda: fleet.read() >= 30, what="30 verdicts")
        second = fleet.start(**ONCE)
        wait_until(lambda: second.metric("iqa_assigned_partitions") > 0, what="a share for the second")
        assert first.terminate() == 0
        wait_until(lambda: fleet.read() >= 300, what="a verdict on every image")
        assert second.terminate() == 0
        fleet.read()
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0


def test_a_transactional_id_of_ones_own_ends_what_its_predecessor_left_open(fleet: Fleet, wait_until: Wait) -> None:
    """A pod with a stable name comes back after a kill and goes on; its old transaction cannot hold anybody back."""
    fleet.create_topics()
    named = ONCE | {"IQA_KAFKA__TRANSACTIONAL_ID": f"{fleet.settings.kafka.group_id}-0"}
    with PictureServer(pictures(10)) as server:
        first = fleet.start(**named)
        wait_until(lambda: first.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        wanted = send(fleet, server, 120, 10)
        wait_until(lambda: fleet.read() >= 20, what="20 verdicts")
        first.kill()
        second = fleet.start(**named)
        wait_until(lambda: fleet.read() >= 120, what="a verdict on every image")
        wait_until(lambda: second.metric("iqa_assigned_partitions") == PARTITIONS, what="all partitions for the second")
        assert second.terminate() == 0
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0
