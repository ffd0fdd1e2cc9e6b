"""Reads the dead-letter topic: what lies there, why, and since when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_consumer
from worker.stream.incoming import Record, read_record

__all__ = ["DeadLetter", "Filter", "as_dead_letter", "open_reader", "parked_topic", "read_dead_letters", "read_to_end"]

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class DeadLetter:
    """One record of the dead-letter topic, with what was noted on it."""

    record: Record = field(repr=False)
    reason: str
    detail: str
    origin: str
    failed_at: datetime
    attempts: int
    replays: int

    @property
    def key(self) -> str:
        """The event's key, as well as it can be shown."""
        return self.record.some_key.decode("utf-8", "replace")

    @property
    def size(self) -> int:
        """Bytes of its body."""
        return len(self.record.value or b"")


@dataclass(frozen=True)
class Filter:
    """Which dead letters are meant: by reason codes (none: all), and by when they failed (from ``since``, before ``until``)."""

    reasons: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether ``letter`` is one of them."""
        if self.reasons and letter.reason not in self.reasons:
            return False
        if self.since is not None and letter.failed_at < self.since:
            return False
        return self.until is None or letter.failed_at < self.until


def parked_topic(settings: Settings) -> str:
    """Where events go that were replayed too often."""
    return f"{settings.topics.dead_letters}.parked"


def as_dead_letter(record: Record) -> DeadLetter:
    """What was noted on a record; what is missing there is left open, since anybody may write to the topic."""
    told = record.own
    milliseconds = record.number("failed_at", max(0, record.timestamp_ms))
    return DeadLetter(
        record=record,
        reason=told.get("reason", "unknown"),
        detail=told.get("detail", ""),
        origin="/".join(told.get(name, "?") for name in ("topic", "partition", "offset")),
        failed_at=datetime.fromtimestamp(milliseconds / 1000, UTC),
        attempts=record.number("attempts", 1),
        replays=record.number("replays"),
    )


def open_reader(settings: Settings, group_id: str) -> tuple[Consumer, list[TopicPartition]]:
    """A consumer that is no member of a group, and the topic's partitions.

    Raises:
        BrokerError: the broker is away, or there is no such topic.

    """
    topic = settings.topics.dead_letters
    # The end of a partition is told, since after a transaction it is not the offset after the last record.
    consumer = make_consumer(settings.kafka, group_id, **{"enable.partition.eof": True})
    try:
        found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    except KafkaException as error:
        consumer.close()
        raise BrokerError(f"{settings.kafka.bootstrap_servers}: {error.args[0].str()}") from error
    if found.error is not None:
        consumer.close()
        raise BrokerError(f"topic {topic}: {found.error.str()}")
    return consumer, [TopicPartition(topic, number) for number in sorted(found.partitions)]


def read_dead_letters(settings: Settings, wanted: Filter) -> Iterator[DeadLetter]:
    """Every dead letter that ``wanted`` takes, up to what lies there now; changes nothing.

    Raises:
        BrokerError: the broker is away, or there is no such topic.

    """
    consumer, places = open_reader(settings, f"{settings.kafka.group_id}.dlq.reader")
    try:
        starts = [TopicPartition(place.topic, place.partition, OFFSET_BEGINNING) for place in places]
        for batch in read_to_end(consumer, starts):
            yield from (letter for letter in map(as_dead_letter, batch) if wanted.takes(letter))
    finally:
        consumer.close()


def read_to_end(consumer: Consumer, starts: list[TopicPartition], batch: int = 200) -> Iterator[list[Record]]:
    """Every record from ``starts`` on, in batches, until each partition has come to its end.

    Raises:
        BrokerError: nothing comes for a while, and the ends have not been reached.

    """
    consumer.assign(starts)
    open_ends = {place.partition for place in starts}
    last = time.monotonic()
    while open_ends:
        records = []
        for message in consumer.consume(batch, 0.2):
            error = message.error()
            if error is None:
                records.append(read_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
                open_ends.discard(message.partition() or 0)
            else:
                raise BrokerError(f"dead letters: {error.str()}")
            last = time.monotonic()
        if records:
            yield records
        elif time.monotonic() - last > TIMEOUT_S:
            raise BrokerError("the dead-letter topic cannot be read to its end: no answer from the broker")
