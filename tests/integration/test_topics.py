"""Topics are what they must be, on a Kafka that would make any by itself: with one partition, and kept for a week."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.integration.conftest import absent
from tests.integration.fleet import Fleet
from tests.integration.kafka_node import LIBS, libraries_there
from tests.integration.open_node import OpenNode, open_node
from tests.worker.stream.test_clients import JAVA_MURMUR2, javas_partition
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis
from worker.errors import BrokerError
from worker.send import make_event, send_events
from worker.settings import KafkaSettings
from worker.stream.clients import make_admin, make_consumer, make_producer
from worker.stream.topic_facts import describe, old_retry_topics
from worker.stream.topics import create_topics, find_topics, require_topics

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenNode]:
    if not libraries_there():
        absent("needs `make kafka` and Java")
    with open_node(tmp_path_factory.mktemp("open-kafka")) as found:
        yield found


@pytest.fixture
def ours(node: OpenNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Names that no other test knows; no topic has been made."""
    with Fleet(node.servers, f"test-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("fleet")) as found:
        yield found


def iqa(fleet: Fleet, *words: str, **environment: str) -> tuple[int, list[str], list[str]]:
    """A command; gives its exit code and the lines of its output and of its complaints."""
    command = [sys.executable, "-m", "worker.cli", *words]
    variables = {**os.environ, **fleet.environment, **environment}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=200)
    return ended.returncode, ended.stdout.splitlines(), ended.stderr.splitlines()


def made(node: OpenNode, fleet: Fleet) -> set[str]:
    """Topics of this test that are there."""
    return {name for name in node.topics() if name.startswith(fleet.settings.kafka.group_id)}


def make(node: OpenNode, *topics: NewTopic) -> None:
    """By other means than ours."""
    admin = AdminClient({"bootstrap.servers": node.servers})
    for future in admin.create_topics(list(topics)).values():
        future.result(30)


def create(fleet: Fleet, partitions: int) -> None:
    """All of ours, and the broker has heard of them."""
    made_now = create_topics(fleet.settings, partitions, 1)
    assert all(made_now.values())
    find_topics(make_admin(fleet.settings.kafka), list(made_now))


def test_looking_creates_nothing(node: OpenNode, ours: Fleet, own_redis: LocalRedis) -> None:
    """A worker, a projection, an event sent, dead letters counted, all before there are topics: it made wrong ones for good."""
    names = ours.settings.topics
    missing = f"topic {names.uploads} does not exist; run `iqa topics create`"
    assert iqa(ours, "send", "http://h/1.jpg") == (1, [], [f"iqa: {missing}"])
    code, lines, complaints = iqa(ours, "topics", "check")
    assert (code, complaints) == (1, [])
    assert lines[:2] == [f"{name}: does not exist; run `iqa topics create`" for name in (names.uploads, names.verdicts)]
    assert iqa(ours, "dlq", "stats")[0] == 1
    assert iqa(ours, "dlq", "replay")[0] == 1
    for what in ("worker", "projection"):
        process = ours.start(what, IQA_REDIS__URL=own_redis.url)
        assert process.wait() == 1
        name = names.uploads if what == "worker" else names.verdicts
        assert f"topic {name} does not exist; run `iqa topics create`" in process.log.read_text()
    consumer = make_consumer(ours.settings.kafka, "any")
    consumer.subscribe([names.verdicts])
    consumer.poll(2.0)
    consumer.list_topics(names.uploads, timeout=30)
    consumer.close()
    assert made(node, ours) == set()


def test_a_topic_taken_away_is_not_made_by_those_that_publish_to_it(node: OpenNode, ours: Fleet) -> None:
    """Producers made it, with the broker's settings."""
    failures: list[str] = []
    producer = make_producer(ours.settings.kafka, **{"delivery.timeout.ms": 5000})
    topic = ours.settings.topics.verdicts
    producer.produce(topic, b"x", b"k", on_delivery=lambda error, _: failures.append(str(error)) if error else None)
    producer.flush(60)
    assert len(failures) == 1
    assert made(node, ours) == set()


def test_topics_are_made_as_they_must_be(node: OpenNode, ours: Fleet) -> None:
    """Then they are there, and right, and looking says so."""
    names, retries = ours.settings.topics, ours.settings.retry_topics
    everything = [names.uploads, names.verdicts, *retries, names.dead_letters, f"{names.dead_letters}.parked"]
    assert iqa(ours, "topics", "create", "--partitions", "3") == (0, [f"{name}: created" for name in everything], [])
    facts = describe(make_admin(ours.settings.kafka), [*everything, "nothing"])
    assert list(facts) == everything
    assert {found.partitions for found in facts.values()} == {3}
    assert {found.max_message_bytes for found in facts.values()} == {4_000_000}
    kept = {name: (found.cleanup_policy, found.retention_ms) for name, found in facts.items()}
    assert kept == {
        names.uploads: ("delete", 7 * DAY_MS),
        names.verdicts: ("compact,delete", 30 * DAY_MS),
        **dict.fromkeys(retries, ("delete", 7 * DAY_MS)),
        names.dead_letters: ("delete", 30 * DAY_MS),
        f"{names.dead_letters}.parked": ("delete", 30 * DAY_MS),
    }
    assert all(found.topic_id and found.operations and "DESCRIBE_CONFIGS" in found.operations for found in facts.values())
    again = [f"{name}: was there, 3 partitions, 1 copy" for name in everything]
    assert iqa(ours, "topics", "create", "--partitions", "2") == (0, again, [])
    code, lines, complaints = iqa(ours, "topics", "check")
    assert (code, lines[:-1], complaints) == (0, [f"{name}: is there, 3 partitions, 1 copy" for name in everything], [])
    assert "partitioner=murmur2_random" in lines[-1]


def test_topics_that_others_made_are_told_apart_refused_and_mended(node: OpenNode, ours: Fleet) -> None:
    """The command that the worker names is Kafka's own: after it the worker's objection is gone."""
    names = ours.settings.topics
    make(node, *(NewTopic(name, 1, 1) for name in (names.uploads, names.verdicts, names.dead_letters)))
    code, lines, complaints = iqa(ours, "topics", "create")
    differs = "cleanup.policy=delete (must be compact or compact,delete)"
    assert (code, complaints) == (1, [])
    assert lines[0] == f"{names.uploads}: was there, but 1 partition (asked: 6)"
    assert lines[1].startswith(f"{names.verdicts}: was there, but 1 partition (asked: 6), {differs}")
    assert iqa(ours, "topics", "check")[0] == 1
    worker = ours.start()
    assert worker.wait() == 1
    (line,) = [line for line in worker.log.read_text().splitlines() if line.startswith("iqa: ")]
    assert line.startswith(f"iqa: topic {names.verdicts}: {differs}")
    remedy = re.search(r"kafka-configs\.sh (.*)$", line)
    assert remedy
    tool = ["java", "-cp", f"{LIBS}/*", "kafka.admin.ConfigCommand", *remedy.group(1).split()]
    subprocess.run(tool, check=True, capture_output=True, timeout=120)
    facts = describe(make_admin(ours.settings.kafka), [names.verdicts])[names.verdicts]
    assert (facts.cleanup_policy, facts.retention_ms) == ("compact,delete", 30 * DAY_MS)
    require_topics(ours.settings)
    code, lines, _ = iqa(ours, "topics", "check")
    assert (code, lines[0]) == (0, f"{names.uploads}: is there, 1 partition, 1 copy")
    assert lines[1] == f"{names.verdicts}: is there, but max.message.bytes=1048588 (should be 4000000)"


def test_retry_topics_that_are_missing_are_made_right(node: OpenNode, ours: Fleet, wait_until: Wait) -> None:
    """By the worker, like uploads; those of an earlier setting are named."""
    names, retries = ours.settings.topics, ours.settings.retry_topics
    create(ours, 4)
    admin = make_admin(ours.settings.kafka)
    for future in admin.delete_topics(retries[:1]).values():
        future.result(30)
    make(node, NewTopic(f"{names.retry}.4", 2, 1))
    # The broker hears of either a moment later.
    wait_until(lambda: retries[0] not in made(node, ours) and f"{names.retry}.4" in made(node, ours))
    assert old_retry_topics(admin, ours.settings) == [f"{names.retry}.4"]
    require_topics(ours.settings)
    facts = find_topics(admin, retries)[retries[0]]
    assert (facts.partitions, facts.cleanup_policy, facts.retention_ms) == (4, "delete", 7 * DAY_MS)
    code, lines, _ = iqa(ours, "topics", "check")
    assert code == 0
    assert [line for line in lines if line.startswith(f"{names.retry}.4: of an earlier IQA_RETRY__DELAYS_S (now 3 delays)")]


def test_counts_that_differ_are_told_and_no_more(ours: Fleet, wait_until: Wait) -> None:
    """More partitions than asked for are fine; but transactions then touch more than they must."""
    names = ours.settings.topics
    create(ours, 2)
    admin = make_admin(ours.settings.kafka)
    for future in admin.create_partitions([NewPartitions(names.uploads, 5)]).values():
        future.result(30)
    wait_until(lambda: describe(admin, [names.uploads])[names.uploads].partitions == 5)
    code, lines, _ = iqa(ours, "topics", "check")
    told = f"{names.verdicts} has 2 partitions, {names.uploads} has 5 (should be as many): transactions touch more partitions"
    assert code == 0
    assert [line for line in lines if line.startswith(told)]
    assert not any("murmur2" in line for line in lines)


def test_compacted_uploads_and_retries_that_do_not_last(node: OpenNode, ours: Fleet, wait_until: Wait) -> None:
    """Events would be lost: looking ends with 1, and a worker warns."""
    names, retries = ours.settings.topics, ours.settings.retry_topics
    create(ours, 2)
    alter(node, names.uploads, "cleanup.policy", "compact")
    alter(node, retries[2], "retention.ms", "60000")
    alter(node, names.dead_letters, "retention.ms", "60000")
    admin = make_admin(ours.settings.kafka)
    wait_until(lambda: describe(admin, [names.dead_letters])[names.dead_letters].retention_ms == 60_000)
    code, lines, _ = iqa(ours, "topics", "check")
    assert code == 1
    assert f"{names.uploads}: is there, but cleanup.policy=compact (must be delete)" in lines
    assert f"{retries[2]}: is there, but retention.ms=60000 (must be more than the delay, 1800000)" in lines
    assert f"{names.dead_letters}: is there, but retention.ms=60000 (should be {30 * DAY_MS})" in lines
    with structlog.testing.capture_logs() as logs:
        require_topics(ours.settings)
    assert [entry["topic"] for entry in logs if entry["event"] == "topic_differs"] == [names.uploads]


def test_rights_that_are_missing(node: OpenNode, ours: Fleet, wait_until: Wait) -> None:
    """Without the right to describe settings a worker starts, and warns; without any right it says that it sees nothing."""
    names = ours.settings.topics
    create(ours, 2)
    kafka = KafkaSettings(bootstrap_servers=node.users_servers, group_id="limited", properties=node.users_properties)
    limited = ours.settings.model_copy(update={"kafka": kafka})
    with pytest.raises(BrokerError, match=f"topic {names.uploads} cannot be seen: .*no right"):
        require_topics(limited)
    for topic in (names.uploads, names.dead_letters, *ours.settings.retry_topics):
        node.allow(topic, AclOperation.READ, AclOperation.WRITE)
    node.allow(names.verdicts, AclOperation.WRITE)
    admin, writing = make_admin(kafka), frozenset({"WRITE", "DESCRIBE"})
    wait_until(lambda: describe(admin, [names.verdicts])[names.verdicts].operations == writing)
    facts = describe(admin, [names.verdicts, f"{names.dead_letters}.parked"])
    assert (facts[names.verdicts].partitions, facts[names.verdicts].cleanup_policy) == (2, None)
    assert facts[f"{names.dead_letters}.parked"].hidden
    with structlog.testing.capture_logs() as logs:
        require_topics(limited)
    assert [entry["topic"] for entry in logs if entry["event"] == "topic_settings_unknown"] == [names.verdicts]
    properties = {f"IQA_KAFKA__PROPERTIES__{key.upper()}": value for key, value in node.users_properties.items()}
    code, lines, _ = iqa(ours, "topics", "check", IQA_KAFKA__BOOTSTRAP_SERVERS=node.users_servers, **properties)
    assert code == 0
    assert f"{names.verdicts}: this client has no right to READ, which workers need" in lines
    assert f"{names.uploads}: is there, 2 partitions, 1 copy; its settings cannot be seen (no right to describe them)" in lines


def test_a_wrong_password_is_told(node: OpenNode, ours: Fleet) -> None:
    """It is not the address that must be checked."""
    properties = {**node.users_properties, "sasl_password": "wrong"}
    variables = {f"IQA_KAFKA__PROPERTIES__{key.upper()}": value for key, value in properties.items()}
    code, lines, complaints = iqa(ours, "topics", "check", IQA_KAFKA__BOOTSTRAP_SERVERS=node.users_servers, **variables)
    assert (code, lines, len(complaints)) == (1, [], 1)
    assert "Invalid username or password; check IQA_KAFKA__PROPERTIES" in complaints[0]


def test_uploads_and_verdicts_lie_where_javas_producers_would_put_them(ours: Fleet) -> None:
    """Read back from the broker, from transactions: by Kafka's own hashes of those keys."""
    create(ours, 7)
    with PictureServer({}) as server:
        send_events(ours.settings, [make_event(server.url("none.jpg"), key) for key in JAVA_MURMUR2])
        ours.start(IQA_KAFKA__DELIVERY="exactly_once")
        expected = {key: javas_partition(key, 7) for key in JAVA_MURMUR2}
        for topic in (ours.settings.topics.uploads, ours.settings.topics.verdicts):
            assert partitions_of(ours, topic, enough=len(expected)) == expected


def partitions_of(fleet: Fleet, topic: str, enough: int) -> dict[str, int]:
    """Where each key lies, once there are ``enough`` keys."""
    consumer, found = make_consumer(fleet.settings.kafka, f"{topic}.reader"), dict[str, int]()
    consumer.subscribe([topic])
    try:
        for _ in range(500):
            for message in consumer.consume(100, 0.2):
                found[(message.key() or b"").decode()] = message.partition() or 0
            if len(found) >= enough:
                break
    finally:
        consumer.close()
    return found


def alter(node: OpenNode, topic: str, key: str, value: str) -> None:
    """One setting of a topic."""
    entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": node.servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
