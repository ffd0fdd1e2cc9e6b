"""Looks at the broker from outside the consumer: whether it answers, and whether topics, rights and a share are there.

librdkafka tells a missing right or a lost broker once, and then keeps trying in silence. This thread asks again every few
seconds, says what is wrong once a minute, and keeps what the probes want to know.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from worker.errors import BrokerError
from worker.stream.topic_facts import TopicFacts, describe
from worker.telemetry.complaints import Complaints

__all__ = ["Group", "Membership", "Watch", "find_faults"]

log = structlog.get_logger()

LOOK_S = 5.0
ASK_S = 4.0
NEVER_S = 3_600.0

SILENT_S = 15.0
"""Without an answer from the broker for so long, nothing should be expected of a worker."""

IDLE_S = 30.0
"""Without a partition for so long, although there are some that nobody has: the group does not work."""


@dataclass(frozen=True)
class Group:
    """A consumer of this worker, as its group knows it.

    Attributes:
        group_id: of the group.
        topics: what the group shares out.
        has_partitions: whether this consumer has any of them now.
        member_id: its name within the group; empty if it has none yet.

    """

    group_id: str
    topics: tuple[str, ...]
    has_partitions: Callable[[], bool]
    member_id: Callable[[], str]


@dataclass
class _Standing:
    """What is known of a group."""

    idle_since: float | None = None
    is_member: bool = False


@dataclass(frozen=True)
class Membership:
    """How a consumer group shares out its topics: members, partitions that they have, and those that there are.

    ``allowed``: whether this client may consume in it, as far as the broker tells.
    """

    members: frozenset[str]
    owned: int
    partitions: int
    allowed: bool = True

    @property
    def leaves_some(self) -> bool:
        """Whether a member that has none could have one."""
        return self.owned < self.partitions


class Watch:
    """A thread that asks the broker.

    Args:
        make_admin: a client that asks, with connections of its own; after a failure another one, since a connection whose other
            end has died keeps silent for longer than a worker should seem to be alone.
        needs: topics with the operations that this worker needs on each (``READ``, ``WRITE``).
        groups: this worker's consumers, whose share is looked at.
        on_remade: called with the name of a topic that has another id than before, and when the old one was asked for last
            (by ``clock``).
        clock: monotonic seconds.

    """

    def __init__(
        self,
        make_admin: Callable[[], AdminClient],
        needs: Mapping[str, Collection[str]],
        groups: Sequence[Group],
        on_remade: Callable[[str, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_admin = make_admin
        self._admin = make_admin()
        self._group_admin = make_admin()
        self._asked: dict[str, Future[Any]] = {}
        self._needs = {name: frozenset(operations) for name, operations in needs.items()}
        self._groups = {group: _Standing() for group in groups}
        self._on_remade = on_remade
        self._clock = clock
        self._complaints = Complaints(clock)
        self._ids: dict[str, tuple[str, float]] = {}
        self._answered = clock()
        self._faults: list[str] = []
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @property
    def silent_s(self) -> float:
        """Seconds since the broker's last answer."""
        return self._clock() - self._answered

    @property
    def answers(self) -> bool:
        """Whether the broker has answered lately."""
        return self.silent_s < SILENT_S

    @property
    def faults(self) -> list[str]:
        """What is wrong with topics and rights, as of the last look."""
        return self._faults

    @property
    def has_its_share(self) -> bool:
        """False while one of its consumers has had no partition for long, although there are some that nobody has."""
        return all(self._is_patient(standing) for standing in self._groups.values())

    def is_member(self, group_id: str) -> bool:
        """Whether the group counts this worker among its members, with or without a partition; as of the last look.

        Where the broker assigns partitions (KIP-848), a consumer that gets none is not told so by its client.
        """
        return any(standing.is_member for group, standing in self._groups.items() if group.group_id == group_id)

    def start(self) -> None:
        """Begin to look. The broker has just answered: else nobody would start."""
        self._answered = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look under way is not waited for."""
        self._stop.set()
        self._hurry.set()

    def hurry(self) -> None:
        """Look at once: a place was just taken, and whether it is one in this topic depends on which topic there was then."""
        self._hurry.set()

    def look(self) -> None:
        """Ask once. Never raises: what cannot be asked is told."""
        asked = self._clock()
        try:
            facts = describe(self._admin, sorted(self._needs), ASK_S)
            if not self.answers:
                log.info("broker_answers_again", silent_s=round(self.silent_s))
            self._answered = self._clock()
            faults = find_faults(facts, self._needs)
            self._compare_ids(facts, asked)
            for group, standing in self._groups.items():
                if not self._look_for_partitions(group, standing, facts):
                    faults.append(f"no right to READ group {group.group_id}")
            for fault in faults:
                self._complaints.say("topic_fault", fault)
            self._faults = faults
        except BrokerError as error:
            self._complaints.say("broker_silent", str(error), seconds=round(self.silent_s))
            self._admin = self._make_admin()

    def _compare_ids(self, facts: Mapping[str, TopicFacts], asked: float) -> None:
        for name, found in facts.items():
            if found.topic_id is None:
                continue
            known, known_at = self._ids.get(name, (found.topic_id, asked))
            self._ids[name] = (found.topic_id, asked)
            if known != found.topic_id:
                log.error("topic_remade", topic=name, was=known, now=found.topic_id)
                self._on_remade(name, known_at)

    def _is_patient(self, standing: _Standing) -> bool:
        return standing.idle_since is None or self._clock() - standing.idle_since < IDLE_S

    def _look_for_partitions(self, group: Group, standing: _Standing, facts: Mapping[str, TopicFacts]) -> bool:
        """Look whether there are partitions for a consumer that has none; false if the group may not be looked at."""
        idle, allowed, standing.is_member = False, True, False
        try:
            found = self._membership(group, sum(facts[name].partitions for name in group.topics if name in facts))
            idle, allowed = found.leaves_some and not group.has_partitions(), found.allowed
            standing.is_member = group.member_id() in found.members
            if idle and not self._is_patient(standing):
                told = f"no partition, though {found.partitions - found.owned} of {found.partitions} are nobody's"
                self._complaints.say("partitions_missing", told, group=group.group_id, members=len(found.members))
        except KafkaException as error:
            allowed = error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED
        except TimeoutError:
            pass
        standing.idle_since = (standing.idle_since or self._clock()) if idle else None
        return allowed

    def _membership(self, group: Group, partitions: int) -> Membership:
        found = self._describe(group.group_id)
        members, operations = found.members, found.authorized_operations
        owned = sum(
            place.topic in group.topics
            for member in members
            for place in (member.assignment.topic_partitions if member.assignment else ())
        )
        allowed = operations is None or any(operation.name == "READ" for operation in operations)
        return Membership(frozenset(member.member_id for member in members), owned, partitions, allowed)

    def _describe(self, group_id: str) -> Any:
        """What the group's coordinator says.

        A question is never given up, nor asked a second time while it is open, and its client is kept: librdkafka aborts the
        process if a coordinator comes back to requests whose time was over (an assertion in ``rdkafka_queue.h``).
        """
        asked = self._asked.get(group_id)
        if asked is None:
            asked = self._group_admin.describe_consumer_groups(
                [group_id], include_authorized_operations=True, request_timeout=NEVER_S
            )[group_id]
            self._asked[group_id] = asked
        try:
            return asked.result(ASK_S)
        finally:
            if asked.done():
                del self._asked[group_id]

    def _run(self) -> None:
        # The first look is at once: a topic's id must be known before the topic is made anew.
        while not self._stop.is_set():
            self._hurry.clear()
            try:
                self.look()
            except Exception:  # the probes go by the age of the last answer: a look that fails is seen there
                log.exception("watch_failed")
            self._hurry.wait(LOOK_S)


def find_faults(facts: Mapping[str, TopicFacts], needs: Mapping[str, Collection[str]]) -> list[str]:
    """What keeps a worker from its topics: missing ones, and rights that it does not have."""
    faults = []
    for name, operations in sorted(needs.items()):
        found = facts.get(name)
        if found is None:
            faults.append(f"topic {name} does not exist")
        elif found.operations is not None and (missing := sorted(set(operations) - found.operations)):
            faults.append(f"no right to {' or '.join(missing)} topic {name}")
    return faults
