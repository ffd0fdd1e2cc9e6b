"""What Kafka alone knows of a fleet: lag by partition, who owns what, how fast it goes, what the last verdicts say.

Nothing is scraped, so that it can be asked where no worker answers. A partition's age is that of the first record without a
result: its timestamp is read at the group's committed offset.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import ValidationError

from worker.contracts.verdicts import QualityVerdict
from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_admin, make_consumer, require_broker
from worker.stream.dead_letters import Filter
from worker.stream.lane import retry_group
from worker.stream.replay import replay_group
from worker.stream.topic_facts import describe
from worker.stream.transactions import committed_offsets

__all__ = ["LaneView", "Overview", "PartitionView", "Verdicts", "look"]

ASK_S = 10.0
READ_S = 5.0
"""For the records whose times are wanted; what does not come is shown without an age."""
LATEST = 200
"""Verdicts that are looked at."""


@dataclass(frozen=True)
class PartitionView:
    """One partition: its end, the group's place (``None`` if it has none), what lies between, its oldest record's age."""

    topic: str
    partition: int
    end: int
    committed: int | None
    lag: int
    age_s: float | None
    owner: str


@dataclass(frozen=True)
class LaneView:
    """One consumer group: its state as Kafka names it, its members, its partitions."""

    group: str
    state: str
    members: int
    partitions: tuple[PartitionView, ...]

    @property
    def lag(self) -> int:
        """Records without a result."""
        return sum(each.lag for each in self.partitions)

    @property
    def oldest_s(self) -> float:
        """Age of the oldest of them; 0 if there is none."""
        return max((each.age_s or 0.0 for each in self.partitions), default=0.0)


@dataclass(frozen=True)
class Verdicts:
    """The last verdicts: how many were looked at, from upload to verdict in seconds, categories, reasons, fingerprints."""

    count: int = 0
    p50_s: float | None = None
    p99_s: float | None = None
    categories: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    fingerprints: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Overview:
    """All of it, at one moment (seconds since 1970)."""

    at: float
    uploads: LaneView
    retries: LaneView
    verdicts_end: int
    dead_letters: int
    dead_letters_waiting: int
    """Of these, those that no replay of all dead letters has taken; replays of some only are not looked at."""
    retention_s: float | None
    """How long the uploads topic keeps events; ``None``: for ever, or the broker does not tell."""
    verdicts: Verdicts


def look(settings: Settings, *, verdicts: bool = True) -> Overview:
    """Ask Kafka; without ``verdicts``, of these only where they end.

    Raises:
        BrokerError: it does not answer, or the topics are not there.

    """
    require_broker(settings.kafka)
    admin = make_admin(settings.kafka)
    reader = make_consumer(settings.kafka, "iqa-top", **{"enable.partition.eof": True})
    try:
        names = settings.topics
        marks = _marks(admin, reader, [names.uploads, *settings.retry_topics, names.verdicts, names.dead_letters])
        ends = {key: high for key, (_, high) in marks.items()}
        dead = _of(marks, [names.dead_letters])
        return Overview(
            at=time.time(),
            uploads=_lane(admin, reader, settings.kafka.group_id, _of(marks, [names.uploads])),
            retries=_lane(admin, reader, retry_group(settings.kafka.group_id), _of(marks, settings.retry_topics)),
            verdicts_end=sum(_of(ends, [names.verdicts]).values()),
            dead_letters=sum(high - low for low, high in dead.values()),
            dead_letters_waiting=_waiting(admin, reader, replay_group(settings, Filter()), dead),
            retention_s=_retention_s(admin, names.uploads),
            verdicts=_latest(reader, _of(ends, [names.verdicts])) if verdicts else Verdicts(),
        )
    except KafkaException as error:
        raise BrokerError(f"Kafka does not tell: {error.args[0].str()}") from error
    except TimeoutError as error:
        raise BrokerError("Kafka does not tell in time") from error
    finally:
        reader.close()


Key = tuple[str, int]
Places = dict[Key, int]
V = TypeVar("V")


def _of(places: dict[Key, V], topics: Iterable[str]) -> dict[Key, V]:
    wanted = set(topics)
    return {key: place for key, place in places.items() if key[0] in wanted}


def _marks(admin: AdminClient, reader: Consumer, topics: Sequence[str]) -> dict[Key, tuple[int, int]]:
    """Beginnings and ends of all partitions of those topics that are there."""
    there = admin.list_topics(timeout=ASK_S).topics
    if topics[0] not in there:
        raise BrokerError(f"there is no topic {topics[0]}: iqa topics create makes it")
    keys = [(topic, number) for topic in topics if topic in there for number in there[topic].partitions]
    found = {key: reader.get_watermark_offsets(TopicPartition(*key), timeout=ASK_S) for key in keys}
    return {key: marks for key, marks in found.items() if marks is not None}


def _lane(admin: AdminClient, reader: Consumer, group: str, marks: dict[Key, tuple[int, int]]) -> LaneView:
    (described,) = admin.describe_consumer_groups([group], request_timeout=ASK_S).values()
    found = described.result()
    owners = {
        (place.topic, place.partition): f"{member.host.removeprefix('/')} {member.client_id}"
        for member in found.members
        for place in member.assignment.topic_partitions
    }
    committed = committed_offsets(admin, group)(list(marks)) if marks else {}
    # A group without a place has all that is there before it; what retention took is no lag.
    places = {key: max(low, committed.get(key, low)) for key, (low, _) in marks.items()}
    behind = {key: place for key, place in places.items() if place < marks[key][1]}
    ages, now = {key: at for key, at in _first(reader, behind).items() if at is not None}, time.time()
    partitions = tuple(
        PartitionView(
            topic=key[0],
            partition=key[1],
            end=high,
            committed=committed.get(key),
            lag=high - min(high, places[key]),
            age_s=0.0 if key not in behind else None if key not in ages else max(0.0, now - ages[key]),
            owner=owners.get(key, ""),
        )
        for key, (_, high) in sorted(marks.items())
    )
    return LaneView(group, found.state.name.lower(), len(found.members), partitions)


def _waiting(admin: AdminClient, reader: Consumer, group: str, marks: dict[Key, tuple[int, int]]) -> int:
    """Records that ``group`` has not passed, with the markers among them; markers alone are nothing that waits."""
    committed = committed_offsets(admin, group)(list(marks)) if marks else {}
    places = {key: max(low, committed.get(key, low)) for key, (low, _) in marks.items()}
    behind = {key: place for key, place in places.items() if place < marks[key][1]}
    empty = {key for key, time_s in _first(reader, behind).items() if time_s is None}
    return sum(marks[key][1] - place for key, place in behind.items() if key not in empty)


def _retention_s(admin: AdminClient, topic: str) -> float | None:
    facts = describe(admin, [topic], ASK_S).get(topic)
    kept_ms = facts.retention_ms if facts is not None else None
    return kept_ms / 1000 if kept_ms is not None and kept_ms >= 0 else None


def _first(reader: Consumer, places: Places) -> dict[Key, float | None]:
    """When the first record at or after each place was written (seconds since 1970), of those that are answered in time.

    ``None`` where there is no record to read any more.
    """
    if not places:
        return {}
    reader.assign([TopicPartition(*key, offset) for key, offset in places.items()])
    found: dict[Key, float | None] = {}
    left, end = set(places), time.monotonic() + READ_S
    while left and time.monotonic() < end:
        for message in reader.consume(100, 0.2):
            key = (message.topic() or "", message.partition() or 0)
            if key not in left:
                continue
            left.discard(key)
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
                found[key] = None
            elif error is None and message.timestamp()[1] >= 0:
                found[key] = message.timestamp()[1] / 1000
            reader.incremental_unassign([TopicPartition(*key)])
    reader.unassign()
    return found


def _latest(reader: Consumer, ends: Places) -> Verdicts:
    """The last verdicts of all partitions together."""
    share = -(-LATEST // max(1, len(ends)))
    places = {key: max(0, end - share) for key, end in ends.items() if end > 0}
    if not places:
        return Verdicts()
    reader.assign([TopicPartition(*key, offset) for key, offset in places.items()])
    seen: list[QualityVerdict] = []
    left, end = set(places), time.monotonic() + READ_S
    while left and time.monotonic() < end:
        for message in reader.consume(200, 0.2):
            key = (message.topic() or "", message.partition() or 0)
            if message.error() is not None:
                left.discard(key)
                continue
            try:
                seen.append(QualityVerdict.model_validate_json(message.value() or b""))
            except ValidationError:
                continue
    reader.unassign()
    seen.sort(key=lambda verdict: verdict.produced_at)
    return _told(seen[-LATEST:])


def _told(verdicts: Sequence[QualityVerdict]) -> Verdicts:
    ages = [(verdict.produced_at - verdict.uploaded_at).total_seconds() for verdict in verdicts if verdict.uploaded_at]
    cuts = quantiles(ages, n=100, method="inclusive") if len(ages) > 1 else ages * 99
    return Verdicts(
        count=len(verdicts),
        p50_s=round(cuts[49], 3) if cuts else None,
        p99_s=round(cuts[98], 3) if cuts else None,
        categories=dict(Counter(verdict.category or verdict.status for verdict in verdicts).most_common()),
        reasons=dict(Counter(verdict.reason.code for verdict in verdicts if verdict.reason).most_common(5)),
        fingerprints=dict(Counter(verdict.fingerprint for verdict in verdicts).most_common()),
    )
