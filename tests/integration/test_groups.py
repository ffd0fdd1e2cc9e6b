"""Other kinds of groups: static members, and groups whose partitions the broker assigns (KIP-848)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.integration.broker import Broker
from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.test_delivery import pictures, send
from tests.integration.test_exactly_once import ONCE
from worker.embedded.picture_server import PictureServer
from worker.store import VerdictReader

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]


@pytest.mark.redis
def test_the_broker_assigns(fleet: Fleet, broker: Broker, redis_url: str, wait_until: Wait) -> None:
    """KIP-848: two workers share, one is killed, the other one goes on; a verdict on each, none twice, all in Redis."""
    if not broker.own:
        pytest.skip("a broker of somebody else's may not know this protocol")
    fleet.create_topics()
    fleet.environment |= {**ONCE, "IQA_KAFKA__PROTOCOL": "consumer", "IQA_REDIS__URL": redis_url}
    with PictureServer(pictures(20)) as server:
        pair = [fleet.start(), fleet.start()]
        wait_until(lambda: sum(w.metric("iqa_assigned_partitions") for w in pair) == PARTITIONS, what="the assignment")
        wait_until(lambda: min(w.metric("iqa_assigned_partitions") for w in pair) > 0, what="a share for each")
        wanted = send(fleet, server, 300, 20)
        wait_until(lambda: fleet.read() >= 60, what="60 verdicts")
        pair[0].kill()
        wait_until(lambda: fleet.read() >= 300, what="a verdict on every image")
        reader = VerdictReader(redis.Redis.from_url(redis_url))
        wait_until(lambda: reader.get_many(sorted(wanted)) == fleet.latest, what="all verdicts in Redis")
        assert pair[1].terminate() == 0
        fleet.read()
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0


def retries_held(worker: WorkerProcess) -> int:
    """Partitions of retry topics that a worker holds, by its log: they have a group of their own, and no metric."""
    held: set[str] = set()
    for line in worker.log.read_text().splitlines():
        if '"event": "partitions"' in line and line.endswith("}"):
            noted = json.loads(line)
            named = {name for name in noted["partitions"] if ".retry." in name}
            held = held | named if noted["change"] == "assigned" else held - named
    return len(held)


def test_a_static_member_comes_back_without_a_rebalance(fleet: Fleet, wait_until: Wait) -> None:
    """KIP-345: the other worker's partitions do not move, and what the first had is done when it is back."""
    fleet.create_topics()
    # Longer than a restart takes: only then is a member missed.
    patient = {**ONCE, "IQA_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS": "300000"}
    with PictureServer(pictures(20)) as server:
        first = fleet.start(**patient, IQA_KAFKA__INSTANCE_ID="pod-0")
        second = fleet.start(**patient, IQA_KAFKA__INSTANCE_ID="pod-1")
        even = [PARTITIONS / 2] * 2
        wait_until(lambda: [w.metric("iqa_assigned_partitions") for w in (first, second)] == even, what="an even assignment")
        wait_until(lambda: retries_held(first) == retries_held(second) > 0, what="the same of retries")
        before = second.log.read_text().count('"event": "partitions"')
        assert first.terminate() == 0
        wanted = send(fleet, server, 120, 20)
        back = fleet.start(**patient, IQA_KAFKA__INSTANCE_ID="pod-0")
        wait_until(lambda: back.metric("iqa_assigned_partitions") == PARTITIONS / 2, what="its old share")
        wait_until(lambda: fleet.read() >= 120, what="a verdict on every image")
        assert second.log.read_text().count('"event": "partitions"') == before
        assert [back.terminate(), second.terminate()] == [0, 0]
        fleet.read()
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0


def test_equal_bytes_are_judged_once(fleet: Fleet, wait_until: Wait) -> None:
    """The same event twice, and the same picture under many ids, all at once and without Redis: one inference."""
    fleet.create_topics()
    with PictureServer(pictures(1)) as server:
        worker = fleet.start(**ONCE)
        wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        send(fleet, server, 40, 1)
        send(fleet, server, 1, 1)
        wait_until(lambda: fleet.read() == 40 and fleet.seen["image-0"] == 2, what="all verdicts")
        assert worker.metric("iqa_repeats_total") == 40
        assert worker.terminate() == 0
    assert len({verdict.assessment.model_dump_json() for verdict in fleet.latest.values()}) == 1
