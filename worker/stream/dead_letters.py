"""Reads the dead-letter topic: what lies there, why, and since when."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_consumer, require_broker
from worker.stream.incoming import Record, read_record

__all__ = ["DeadLetter", "Filter", "Span", "as_dead_letter", "open_reader", "parked_topic", "read_dead_letters", "read_spans"]

TIMEOUT_S = 10.0
LATEST_MS = 253_402_300_799_000
"""The end of the year 9999: a sender may have put any time on a record."""
_PASSING = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}  # noqa: SLF001 - the library's own names


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
    def source(self) -> str:
        """Who sent it, by its headers (binary CloudEvents); nothing where they do not say, as when the body does."""
        return (dict(self.record.sender_headers).get("ce_source") or b"").decode("utf-8", "replace")

    @property
    def size(self) -> int:
        """Bytes of its body, as they are here; see ``is_cut``."""
        return len(self.record.value or b"")

    @property
    def is_cut(self) -> bool:
        """Whether only a part was kept of what would have been too large: of its body, its key or its headers."""
        told = self.record.own
        return "headers_bytes" in told or "key_bytes" in told or self.record.number("body_bytes", self.size) != self.size


@dataclass(frozen=True)
class Span:
    """A part of a partition: offsets from ``start`` on, before ``end``."""

    partition: int
    start: int
    end: int


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
    milliseconds = min(LATEST_MS, record.number("failed_at", max(0, record.timestamp_ms)))
    return DeadLetter(
        record=record,
        reason="unreadable_headers" if record.unreadable else told.get("reason", "unknown"),
        detail=record.unreadable or told.get("detail", ""),
        origin="/".join(told.get(name, "?") for name in ("topic", "partition", "offset")),
        failed_at=datetime.fromtimestamp(milliseconds / 1000, UTC),
        attempts=record.number("attempts", 1),
        replays=record.number("replays"),
    )


def open_reader(settings: Settings, group_id: str) -> tuple[Consumer, list[Span]]:
    """A consumer that is no member of a group, and what lies in each of the topic's partitions by now.

    Raises:
        BrokerError: the broker is away, or there is no such topic.

    """
    require_broker(settings.kafka)
    topic = settings.topics.dead_letters
    # The end of a partition is told, since after a transaction it is not the offset after the last record.
    consumer = make_consumer(settings.kafka, group_id, **{"enable.partition.eof": True})
    try:
        return consumer, _spans(consumer, topic)
    except KafkaException as error:
        consumer.close()
        raise BrokerError(f"topic {topic}: {error.args[0].str()}") from error


def _spans(consumer: Consumer, topic: str) -> list[Span]:
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise BrokerError(f"topic {topic} does not exist; run `iqa topics create`")
    if found.error is not None:
        raise KafkaException(found.error)
    places = [TopicPartition(topic, number) for number in sorted(found.partitions)]
    return [Span(place.partition, *consumer.get_watermark_offsets(place, TIMEOUT_S)) for place in places]


def read_dead_letters(settings: Settings, wanted: Filter) -> Iterator[DeadLetter]:
    """Every dead letter that ``wanted`` takes, up to what lies there now; changes nothing.

    Raises:
        BrokerError: the broker is away, or there is no such topic.

    """
    consumer, spans = open_reader(settings, f"{settings.kafka.group_id}.dlq.reader")
    try:
        for batch in read_spans(consumer, settings.topics.dead_letters, spans):
            yield from (letter for letter in map(as_dead_letter, batch) if wanted.takes(letter))
    finally:
        consumer.close()


def read_spans(consumer: Consumer, topic: str, spans: Sequence[Span], batch: int = 200) -> Iterator[list[Record]]:
    """The records of ``spans``, in batches; what comes to the topic meanwhile is left alone.

    A span is over with a record at its end or beyond, or where its partition ends: its last offsets may be no records but the
    marks of transactions.

    Raises:
        BrokerError: nothing comes for a while, and the ends have not been reached.

    """
    ends = {span.partition: span.end for span in spans if span.start < span.end}
    consumer.assign([TopicPartition(topic, span.partition, span.start) for span in spans if span.partition in ends])
    last = time.monotonic()
    while ends:
        records = []
        for message in consumer.consume(batch, 0.2):
            error, number = message.error(), message.partition() or 0
            if error is not None and error.code() in _PASSING:
                continue
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
                raise BrokerError(f"topic {topic}: {error.str()}")
            last, end = time.monotonic(), ends.get(number, 0)
            if error is None and (message.offset() or 0) < end:
                records.append(read_record(message))
            if number in ends and (message.offset() or 0) + (error is None) >= end:
                del ends[number]
                consumer.incremental_unassign([TopicPartition(topic, number)])
        if records:
            yield records
        elif time.monotonic() - last > TIMEOUT_S:
            raise BrokerError(f"topic {topic} cannot be read to its end: no answer from the broker")
