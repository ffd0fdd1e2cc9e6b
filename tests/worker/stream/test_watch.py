"""What the broker says of topics, rights and the group, asked from outside the consumer."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from worker.errors import BrokerError
from worker.stream.topic_facts import TopicFacts
from worker.stream.watch import IDLE_S, NEVER_S, SILENT_S, Group, Watch, find_faults

NEEDS = {"uploads": {"READ"}, "verdicts": {"READ", "WRITE"}}


def facts(name: str, *operations: str, topic_id: str | None = None, told: bool = True) -> TopicFacts:
    return TopicFacts(name, topic_id, 6, operations=frozenset(operations) if told else None)


def test_faults_are_named() -> None:
    """Missing topics and rights; what is not told is no fault."""
    assert find_faults({"uploads": facts("uploads", "READ"), "verdicts": facts("verdicts", told=False)}, NEEDS) == []
    assert find_faults({"uploads": facts("uploads", "DESCRIBE"), "verdicts": facts("verdicts", "READ")}, NEEDS) == [
        "no right to READ topic uploads",
        "no right to WRITE topic verdicts",
    ]
    assert find_faults({"uploads": facts("uploads", "READ")}, NEEDS) == ["topic verdicts does not exist"]


class World:
    """A broker, a group and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts = {"uploads": facts("uploads", "READ", topic_id="1"), "verdicts": facts("verdicts", "READ", "WRITE")}
        self.away = False
        self.made = 0
        self.owned: list[int] = [6]
        self.refuses: int | None = None
        self.has_some = True
        self.member_id = "me"
        self.operations: list[str] | None = ["DESCRIBE", "READ"]
        self.now = 0.0
        self.remade: list[tuple[str, float]] = []
        monkeypatch.setattr("worker.stream.watch.describe", self.describe)
        group = Group("g", ("uploads",), lambda: self.has_some, lambda: self.member_id)
        self.watch = Watch(self.make_admin, NEEDS, [group], self.remake, lambda: self.now)

    def make_admin(self) -> AdminClient:
        self.made += 1
        return cast("AdminClient", self)

    def remake(self, topic: str, known_at: float) -> None:
        self.remade.append((topic, known_at))

    def describe(self, *_: object) -> dict[str, TopicFacts]:
        if self.away:
            raise BrokerError("no answer")
        return self.facts

    def describe_consumer_groups(self, names: list[str], **_: object) -> dict[str, Future[Any]]:
        future: Future[Any] = Future()
        if self.refuses is not None:
            future.set_exception(KafkaException(KafkaError(self.refuses)))
        members = [
            SimpleNamespace(
                member_id="other", assignment=SimpleNamespace(topic_partitions=[SimpleNamespace(topic="uploads")] * count)
            )
            for count in self.owned
        ]
        if self.refuses is None:
            mine = SimpleNamespace(member_id="me", assignment=None)
            operations = None if self.operations is None else [SimpleNamespace(name=name) for name in self.operations]
            future.set_result(SimpleNamespace(members=[*members, mine], authorized_operations=operations))
        return {names[0]: future}

    def look(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.watch.look()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_broker_that_is_silent_is_noticed(world: World) -> None:
    """Not for a moment's silence; and no longer once it answers."""
    world.look()
    world.away = True
    world.look(SILENT_S - 1)
    assert world.watch.answers
    world.look(2)
    assert not world.watch.answers
    world.away = False
    world.look()
    assert world.watch.answers


def test_no_connection_is_waited_for_twice(world: World) -> None:
    """Seen: a worker that published all the while called itself unready, since its watch kept to a connection that was dead."""
    world.look()
    assert world.made == 2
    world.away = True
    world.look()
    assert world.made == 3
    world.away = False
    world.look()
    assert world.made == 3


def test_rights_that_go_and_come_back(world: World) -> None:
    """Said, kept for the probes, forgotten."""
    world.look()
    assert world.watch.faults == []
    world.facts["uploads"] = facts("uploads", topic_id="1")
    with capture_logs() as lines:
        world.look(5)
        world.look(5)
    assert world.watch.faults == ["no right to READ topic uploads"]
    assert [line["event"] for line in lines] == ["topic_fault"]
    world.facts["uploads"] = facts("uploads", "READ", topic_id="1")
    world.look(5)
    assert world.watch.faults == []


def test_a_topic_made_anew_is_told_once(world: World) -> None:
    """Its name is the same, its id is not. And since when that may be: the old one was there at the look before, at 5 s."""
    world.look()
    world.look(5)
    assert world.remade == []
    world.facts["uploads"] = facts("uploads", "READ", topic_id="2")
    world.look(5)
    assert world.remade == [("uploads", 5)]
    world.look(5)
    assert world.remade == [("uploads", 5)]


def test_no_partition_although_there_are_some(world: World) -> None:
    """A worker too many is in order; partitions that nobody has are not."""
    world.has_some = False
    assert not world.watch.is_member("g")
    world.look()
    world.look(10 * IDLE_S)
    assert world.watch.has_its_share
    assert world.watch.is_member("g")
    assert not world.watch.is_member("another")
    world.member_id = "gone"
    world.look()
    assert not world.watch.is_member("g")
    world.owned = [2, 2]
    world.look()
    world.look(IDLE_S - 1)
    assert world.watch.has_its_share
    world.look(2)
    assert not world.watch.has_its_share
    world.has_some = True
    world.look()
    assert world.watch.has_its_share


def test_a_group_that_may_not_be_looked_at(world: World) -> None:
    """Is a right that is missing; any other refusal says nothing."""
    world.has_some, world.refuses = False, KafkaError.GROUP_AUTHORIZATION_FAILED
    world.look()
    assert world.watch.faults == ["no right to READ group g"]
    world.refuses = KafkaError.COORDINATOR_NOT_AVAILABLE
    world.look()
    assert world.watch.faults == []


@pytest.mark.parametrize(("operations", "faults"), [(["DESCRIBE"], 1), (["READ"], 0), (None, 0)])
def test_a_group_that_may_be_looked_at_and_not_be_consumed_in(world: World, operations: list[str] | None, faults: int) -> None:
    """The right to describe it is another one; the partitions are still there until the session ends."""
    world.operations = operations
    world.look()
    assert len(world.watch.faults) == faults


def test_a_question_about_the_group_is_asked_once_and_never_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: a process that was aborted by its library as a coordinator came back to questions whose time was over."""
    monkeypatch.setattr("worker.stream.watch.ASK_S", 0.01)
    asked: list[Future[Any]] = []

    def describe(names: list[str], **options: object) -> dict[str, Future[Any]]:
        assert options["request_timeout"] == NEVER_S
        asked.append(Future())
        return {names[0]: asked[-1]}

    monkeypatch.setattr(world, "describe_consumer_groups", describe)
    world.has_some = False
    for _ in range(3):
        world.look()
    assert len(asked) == 1
    assert not world.watch.is_member("g")
    mine = SimpleNamespace(member_id="me", assignment=None)
    asked[0].set_result(SimpleNamespace(members=[mine], authorized_operations=None))
    world.look()
    assert world.watch.is_member("g")
    world.look()
    assert len(asked) == 2
