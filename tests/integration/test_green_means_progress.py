"""The probes say whether anything can be expected: of a worker whose broker is frozen, or who has lost a right."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.integration.conftest import absent
from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.kafka_node import libraries_there
from tests.integration.looking import answer, counted, letters, lines, published
from tests.integration.open_node import USER, OpenNode, open_node
from tests.integration.own_node import own_node
from tests.integration.test_delivery import pictures, send
from tests.patience import PATIENCE_S
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events
from worker.stream.clients import make_producer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
WAYS = ("exactly_once", "at_least_once")


@pytest.mark.parametrize("delivery", WAYS)
def test_a_broker_that_is_frozen_for_a_while(tmp_path: Path, delivery: str, wait_until: Wait) -> None:
    """Not ready, by name and as a metric, and live; then ready again, and each event answered once."""
    with own_node(tmp_path) as own, Fleet(own.servers, "frozen", tmp_path) as fleet, PictureServer(pictures(5)) as server:
        fleet.create_topics()
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery)
        wait_until(lambda: answer(worker)[0] == 200, what="readiness")
        wanted = send(fleet, server, 300, 5)
        wait_until(lambda: fleet.read() >= 20, what="some verdicts")
        own.node.freeze()
        began = time.monotonic()
        wait_until(lambda: answer(worker)[0] == 503, what="no readiness")
        wait_until(lambda: answer(worker)[1]["broker"] is False, what="the broker's condition")
        print(f"{delivery}: broker false {time.monotonic() - began:.1f} s after it froze")
        assert counted(worker, "iqa_condition", probe="ready", condition="broker") == 0
        assert answer(worker, "/livez")[0] == 200
        wait_until(lambda: lines(worker, "broker_silent"), what="a line that says so")
        own.node.thaw()
        began = time.monotonic()
        wait_until(lambda: answer(worker)[0] == 200, what="readiness again")
        print(f"{delivery}: ready {time.monotonic() - began:.1f} s after it went on")
        assert counted(worker, "iqa_condition", probe="ready", condition="broker") == 1
        wait_until(lambda: set(published(fleet)) == wanted, what="a verdict on every image")
        wait_until(lambda: counted(worker, "iqa_in_flight_events") == 0, what="nothing in flight")
        assert worker.terminate() == 0
        found = published(fleet)
        print(f"{delivery}: {found.total() - 300} of 300 verdicts twice")
        assert set(found) == wanted
        if delivery == "exactly_once":
            assert found.total() == 300


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenNode]:
    if not libraries_there():
        absent("needs `make kafka` and Java")
    with open_node(tmp_path_factory.mktemp("rights-kafka")) as found:
        yield found


def rule(kind: ResourceType, name: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    """For ``USER``, from any host."""
    return AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, permission)


class Rights:
    """What ``USER`` may do: everything, but for what is denied."""

    def __init__(self, node: OpenNode) -> None:
        self._admin = AdminClient({"bootstrap.servers": node.servers})
        kinds = (ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID)
        self._add(*(rule(kind, "*", AclOperation.ALL, AclPermissionType.ALLOW) for kind in kinds))
        cluster = (AclOperation.DESCRIBE, AclOperation.IDEMPOTENT_WRITE)
        self._add(*(rule(ResourceType.BROKER, "kafka-cluster", o, AclPermissionType.ALLOW) for o in cluster))

    def deny(self, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """From now on."""
        self._add(rule(kind, name, operation, AclPermissionType.DENY))

    def give_back(self, kind: ResourceType, name: str) -> None:
        """Nothing is denied there any more."""
        wanted = AclBindingFilter(
            kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", AclOperation.ANY, AclPermissionType.DENY
        )
        for future in self._admin.delete_acls([wanted]).values():
            assert future.result(PATIENCE_S)

    def _add(self, *rules: AclBinding) -> None:
        for future in self._admin.create_acls(list(rules)).values():
            future.result(PATIENCE_S)


@pytest.fixture
def limited(node: OpenNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet whose workers are ``USER``; tests read and send as anybody, who may do all."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    with Fleet(node.servers, name, tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.create_topics()
        fleet.environment["IQA_KAFKA__BOOTSTRAP_SERVERS"] = node.users_servers
        for key, value in node.users_properties.items():
            fleet.environment[f"IQA_KAFKA__PROPERTIES__{key.upper()}"] = value
        fleet.environment |= {"IQA_KAFKA__DELIVERY": "exactly_once", "IQA_KAFKA__TRANSACTIONAL_ID": "0"}
        yield fleet


def denied(fleet: Fleet, what: str) -> tuple[ResourceType, str, AclOperation]:
    """Of which resource, and what with it."""
    group, names = fleet.settings.kafka.group_id, fleet.settings.topics
    return {
        "read": (ResourceType.TOPIC, names.uploads, AclOperation.READ),
        "write": (ResourceType.TOPIC, names.verdicts, AclOperation.WRITE),
        # The right to look at the group stays: it must not be taken for the right to consume in it.
        "group": (ResourceType.GROUP, group, AclOperation.READ),
        "transactions": (ResourceType.TRANSACTIONAL_ID, f"{group}-0", AclOperation.ALL),
    }[what]


@pytest.mark.parametrize("what", ["read", "write", "group", "transactions"])
def test_a_right_that_is_taken_away(node: OpenNode, limited: Fleet, what: str, wait_until: Wait) -> None:
    """Not ready while it is gone, and said again each minute; given back, every event is answered once."""
    rights = Rights(node)
    kind, name, operation = denied(limited, what)
    with PictureServer(pictures(5)) as server:
        worker = limited.start()
        wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        send(limited, server, 30, 5)
        wait_until(lambda: limited.read() >= 30, what="verdicts before")
        wait_until(lambda: answer(worker)[0] == 200, what="readiness")
        rights.deny(kind, name, operation)
        said_before = len(complaints(worker))
        events = [make_event(server.url(f"{n % 5}.jpg"), f"during-{n}") for n in range(60)]
        send_events(limited.settings, events)
        began = time.monotonic()
        wait_until(lambda: answer(worker)[0] == 503, what="no readiness")
        print(f"{what}: not ready after {time.monotonic() - began:.1f} s: {failing(worker)}")
        wait_until(lambda: len(complaints(worker)) > said_before, what="a line that says so")
        said = len(complaints(worker))
        if what == "read":
            # A minute later: once is enough, since all lines of that kind go the same way.
            wait_until(lambda: len(complaints(worker)) > said, what="another line")
        print(f"{what}: said again after {time.monotonic() - began:.1f} s: {complaints(worker)[-1]}")
        assert answer(worker)[0] == 503
        rights.give_back(kind, name)
        began = time.monotonic()
        wait_until(lambda: limited.read() >= 90, what="a verdict on every image")
        print(f"{what}: all answered {time.monotonic() - began:.1f} s after it was given back, {len(complaints(worker))} lines")
        wait_until(lambda: answer(worker)[0] == 200, what="readiness again")
        wait_until(lambda: counted(worker, "iqa_in_flight_events") == 0, what="nothing in flight")
        assert worker.terminate() == 0
        assert published(limited).total() == 90


def test_no_right_to_write_dead_letters(node: OpenNode, limited: Fleet, wait_until: Wait) -> None:
    """One bad event holds its own partition back, and no other, until the right is there."""
    rights, names = Rights(node), limited.settings.topics
    with PictureServer(pictures(5)) as server:
        worker = limited.start()
        wait_until(lambda: answer(worker)[0] == 200, what="readiness")
        rights.deny(ResourceType.TOPIC, names.dead_letters, AclOperation.WRITE)
        producer = make_producer(limited.settings.kafka)
        producer.produce(names.uploads, b"no json", b"bad", 0)
        assert producer.flush(PATIENCE_S) == 0
        for number in range(60):
            event = make_event(server.url(f"{number % 5}.jpg"), f"during-{number}")
            producer.produce(names.uploads, event.model_dump_json(), event.image_id, number % PARTITIONS)
        assert producer.flush(PATIENCE_S) == 0
        free = {f"during-{n}" for n in range(60) if n % PARTITIONS != 0}
        wait_until(lambda: limited.read() and free <= set(limited.seen), what="verdicts from all other partitions")
        wait_until(lambda: {"rights", "topics"} <= set(failing(worker)), what="both conditions")
        assert any(names.dead_letters in line["error"] for line in lines(worker, "publish_failed"))
        rights.give_back(ResourceType.TOPIC, names.dead_letters)
        wait_until(lambda: len(letters(limited)) == 1, what="the dead letter")
        wait_until(lambda: limited.read() >= 60, what="a verdict on every image")
        wait_until(lambda: answer(worker)[0] == 200, what="readiness again")
        assert worker.terminate() == 0
    assert published(limited).total() == 60
    assert len(letters(limited)) == 1


def complaints(worker: WorkerProcess) -> list[dict[str, Any]]:
    """Lines that an operator would look for."""
    return [line for line in lines(worker) if line.get("level") in {"warning", "error"}]


def failing(worker: WorkerProcess) -> list[str]:
    """Conditions that do not hold now."""
    return [name for name, holds in answer(worker)[1].items() if not holds]
