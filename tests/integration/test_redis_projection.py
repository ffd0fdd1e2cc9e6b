"""The projection's process on real servers: it ends when it cannot go on, and its probes and the group's lag tell the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.integration.broker import properties
from tests.integration.conftest import absent
from tests.integration.fleet import Fleet, WorkerProcess
from tests.integration.kafka_node import KafkaNode, libraries_there, wait_for
from tests.integration.test_whole_path import iqa
from tests.integration.verdict_feed import VerdictFeed, probe
from tests.patience import PATIENCE_S
from worker.embedded.redis_server import LocalRedis, free_port
from worker.stream.clients import make_admin

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

Wait = Callable[..., Any]
NAMES = [f"image-{number}" for number in range(30)]


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[tuple[KafkaNode, Fleet]]:
    """A broker of the test's own, with rights, which it may freeze."""
    if not libraries_there():
        absent("needs `make kafka` and Java")
    port, folder = free_port(), tmp_path / "kafka"
    folder.mkdir()
    rights = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
    }
    node = KafkaNode(folder, properties(port, free_port()) | rights)
    node.format()
    node.start()
    try:
        wait_for(f"127.0.0.1:{port}", node)
        with Fleet(f"127.0.0.1:{port}", "own", tmp_path) as fleet:
            yield node, fleet
    finally:
        node.kill()


def ready(projection: WorkerProcess) -> bool:
    found = probe(projection)
    return found is not None and all(found.values())


def wants(projection: WorkerProcess) -> set[str]:
    """The conditions that do not hold."""
    return {name for name, holds in (probe(projection) or {}).items() if not holds}


def test_a_fenced_projection_ends(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """Two under one name: the first is told so by an error whose own word is that it is not fatal."""
    feed = VerdictFeed(fleet, own_redis.url)
    feed.send(NAMES)
    first = feed.project(IQA_KAFKA__INSTANCE_ID="pod-0")
    wait_until(lambda: ready(first), 60, "the first")
    second = feed.project(IQA_KAFKA__INSTANCE_ID="pod-0")
    assert first.wait() == 1
    lines = [line for line in first.log.read_text().splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("iqa: the projection ended by itself: the projection's consumer cannot go on")
    feed.send(["later"])
    wait_until(feed.complete, 60, "all verdicts by the second")
    assert second.terminate() == 0


def test_fenced_while_redis_is_away(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """Its partitions are paused then, and the error is for none of them."""
    feed = VerdictFeed(fleet, own_redis.url)
    own_redis.stop()
    first = feed.project(IQA_KAFKA__INSTANCE_ID="pod-0")
    wait_until(lambda: first.metric("iqa_projection_failures_total") >= 2, 60, "attempts at Redis")
    second = feed.project(IQA_KAFKA__INSTANCE_ID="pod-0")
    assert first.wait() == 1
    own_redis.start()
    feed.send(NAMES)
    wait_until(feed.complete, 60, "all verdicts by the second")
    assert second.terminate() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_in_order(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait, number: signal.Signals) -> None:
    feed = VerdictFeed(fleet, own_redis.url)
    projection = feed.project()
    wait_until(lambda: ready(projection), 60, "the start")
    os.kill(projection.pid, number)
    assert projection.wait() == 0


def test_a_signal_during_the_start(tmp_path: Path, own_redis: LocalRedis, wait_until: Wait) -> None:
    """While it waits for a broker that is not there."""
    with Fleet(f"127.0.0.1:{free_port()}", "nobody", tmp_path) as fleet:
        projection = fleet.start("projection", IQA_REDIS__URL=own_redis.url)
        wait_until(lambda: probe(projection) == {"started": False}, 60, "the start")
        assert projection.terminate() == 0


def test_the_lag_reaches_0_behind_markers(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """The last offsets of a topic that is written in transactions are no records."""
    feed = VerdictFeed(fleet, own_redis.url)
    projection = feed.project()
    feed.send(NAMES, transaction=True)
    wait_until(feed.complete, 60, "all verdicts")
    wait_until(lambda: feed.lag() == 0, 60, "a lag of 0 for those who watch the group")
    wait_until(lambda: projection.metric("iqa_projection_lag") == 0 and ready(projection), 60, "the same by its own word")
    assert projection.terminate() == 0


def test_what_cannot_be_read_stops_nobody(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """Neither nesting without end nor bytes; the log names the place, the command says it in a line."""
    feed = VerdictFeed(fleet, own_redis.url)
    feed.send(["before"])
    deep = feed.latest["before"]
    assert deep is not None
    body = deep.model_dump_json().replace('"metadata":{}', '"metadata":{"a":' + "[" * 400 + "]" * 400 + "}")
    for broken in (body.encode(), b"\xff\xfe", b"[1]", b""):
        feed.send_raw("before", broken)
    feed.send(NAMES)
    projection = feed.project()
    wait_until(feed.complete, 60, "the others")
    assert projection.metric("iqa_projection_unreadable_total") == 4
    assert projection.log.read_text().count('"verdict_unreadable"') == 4
    assert projection.terminate() == 0


def test_redis_away_is_not_ready(fleet: Fleet, own_redis: LocalRedis, wait_until: Wait) -> None:
    """Also without anything to write; but a restart of the projection would not help, so it is live."""
    feed = VerdictFeed(fleet, own_redis.url)
    projection = feed.project()
    wait_until(lambda: ready(projection), 60, "the start")
    own_redis.freeze()
    wait_until(lambda: "redis" in wants(projection), 60, "the probe's answer")
    assert probe(projection, "/livez") == {"projection": True}
    own_redis.thaw()
    wait_until(lambda: ready(projection), 60, "the way back")
    assert projection.terminate() == 0


def test_a_broker_that_does_not_answer_is_not_ready(
    own_kafka: tuple[KafkaNode, Fleet], own_redis: LocalRedis, wait_until: Wait
) -> None:
    """Frozen, not gone: no connection breaks. SIGTERM ends it all the same."""
    node, fleet = own_kafka
    feed = VerdictFeed(fleet, own_redis.url)
    projection = feed.project()
    wait_until(lambda: ready(projection), 60, "the start")
    assert node._process is not None
    node._process.send_signal(signal.SIGSTOP)
    wait_until(lambda: "broker" in wants(projection), 60, "the probe's answer")
    node._process.send_signal(signal.SIGCONT)
    feed.send(NAMES)
    wait_until(lambda: ready(projection) and feed.complete(), 90, "the way back")
    node._process.send_signal(signal.SIGSTOP)
    wait_until(lambda: "broker" in wants(projection), 60, "the probe's answer")
    begun = time.monotonic()
    assert projection.terminate() == 0
    assert time.monotonic() - begun < 40  # a promise
    node._process.send_signal(signal.SIGCONT)


def test_a_right_that_is_taken_away(own_kafka: tuple[KafkaNode, Fleet], own_redis: LocalRedis, wait_until: Wait) -> None:
    """Not ready, a line and not thousands; given back, it goes on by itself."""
    _, fleet = own_kafka
    feed = VerdictFeed(fleet, own_redis.url)
    projection = feed.project()
    feed.send(NAMES)
    wait_until(lambda: ready(projection) and feed.complete(), 60, "the start")
    admin, topic = make_admin(fleet.settings.kafka), fleet.settings.topics.verdicts

    def rule(operation: AclOperation, permission: AclPermissionType) -> AclBinding:
        kind, pattern = ResourceType.TOPIC, ResourcePatternType.LITERAL
        return AclBinding(kind, topic, pattern, "User:*", "*", operation, permission)

    rules = [rule(AclOperation.ALL, AclPermissionType.ALLOW), rule(AclOperation.READ, AclPermissionType.DENY)]
    for future in admin.create_acls(rules).values():
        future.result(PATIENCE_S)
    wait_until(lambda: "reading" in wants(projection), 60, "the probe's answer")
    feed.send(["meanwhile"])
    denial = AclBindingFilter(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:*", "*", AclOperation.READ, AclPermissionType.DENY
    )
    for future in admin.delete_acls([denial]).values():
        future.result(PATIENCE_S)
    wait_until(lambda: ready(projection) and feed.complete(), 60, "the way back")
    assert projection.terminate() == 0
    told = [line for line in projection.log.read_text().splitlines() if "projection_error" in line]
    assert 1 <= len(told) <= 5
    assert any("TOPIC_AUTHORIZATION_FAILED" in line for line in told)


def test_verdict_get_on_what_is_none(own_redis: LocalRedis, tmp_path: Path) -> None:
    """One line, exit code 1; other commands name a wrong URL and end with 2."""
    import redis

    redis.Redis.from_url(own_redis.url).set("iqa:verdict:a1", b'{"image_id": 1}')
    done = iqa("verdict", "get", "a1", IQA_REDIS__URL=own_redis.url)
    assert done.returncode == 1
    assert done.stderr.startswith("iqa: what Redis holds on a1 is no verdict: ")
    assert done.stderr.count("\n") == 1
    for url in ("redi://x", "redis+sentinel://h", "redis://h/0?nonsense=1"):
        done = iqa("verdict", "get", "a1", IQA_REDIS__URL=url)
        assert done.returncode == 2
        assert done.stderr.startswith("iqa: IQA_REDIS__URL: ")
    command = [sys.executable, "-m", "worker.cli", "projection", "run"]
    environment = {**os.environ, "IQA_REDIS__URL": "redis+cluster://h/7", "IQA_HTTP__PORT": "0"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (2, "iqa: IQA_REDIS__URL: a Cluster has database 0 alone\n")
