"""Sends dead letters back to the uploads topic: once each, however often the command is interrupted.

A batch's events and the place it has come to are one transaction. An event that has been replayed too often is parked in a
topic of its own, where nothing reads: it would only come back.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_producer, make_transactional_producer
from worker.stream.dead_letters import DeadLetter, Filter, as_dead_letter, open_reader, parked_topic, read_to_end
from worker.stream.incoming import Header, Record
from worker.stream.topics import ensure_topics

__all__ = ["Replayed", "replay", "replay_group"]

BATCH = 100
CALL_S = 15.0


@dataclass(frozen=True)
class Replayed:
    """What a replay has done: sent to the uploads topic, parked, left alone by the filter, and whether it was interrupted."""

    sent: int = 0
    parked: int = 0
    passed_over: int = 0
    interrupted: bool = False


def replay_group(settings: Settings, wanted: Filter) -> str:
    """The consumer group that remembers how far a replay with this filter has come; each filter has its own."""
    parts = [sorted(wanted.reasons), *(when.isoformat() if when else None for when in (wanted.since, wanted.until))]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
    return f"{settings.kafka.group_id}.dlq.replay.{digest}"


def replay(
    settings: Settings,
    wanted: Filter,
    *,
    dry_run: bool = False,
    per_second: float = 0.0,
    most: int = 3,
    stop: threading.Event | None = None,
    progress: Callable[[Replayed], None] | None = None,
) -> Replayed:
    """Replay what ``wanted`` takes and no earlier replay with the same filter has taken, up to what lies there now.

    Args:
        settings: broker, topics, delivery.
        wanted: which dead letters.
        dry_run: only count.
        per_second: events sent in a second, at most; 0 for no limit.
        most: replays after which an event is parked.
        stop: set to end after the batch under way.
        progress: told after every batch.

    Raises:
        BrokerError: the broker is away or refuses; what was sent is counted, what was not is taken up by the next replay.

    """
    stop = stop or threading.Event()
    if not dry_run:
        ensure_topics(settings, [parked_topic(settings)], settings.topics.dead_letters)
    consumer, places = open_reader(settings, replay_group(settings, wanted))
    try:
        outlet = None if dry_run else _Outlet(settings, consumer)
        done, began = Replayed(), time.monotonic()
        starts = _starts(consumer, places)
        for records in read_to_end(consumer, starts, BATCH):
            letters = [letter for letter in map(as_dead_letter, records) if wanted.takes(letter)]
            parked = [letter for letter in letters if letter.replays >= most]
            sent = [letter for letter in letters if letter.replays < most]
            if outlet:
                outlet.send(sent, parked, records)
            done = Replayed(done.sent + len(sent), done.parked + len(parked), done.passed_over + len(records) - len(letters))
            if progress:
                progress(done)
            if per_second > 0 and not dry_run:
                stop.wait(max(0.0, began + done.sent / per_second - time.monotonic()))
            if stop.is_set():
                return replace(done, interrupted=True)
    except KafkaException as error:
        raise BrokerError(f"the replay ends here: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return done


def _starts(consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """Where the last replay with this filter has come to; the beginning if there was none."""
    found = consumer.committed(places, timeout=CALL_S)
    # A negative offset means none: the consumer's own rule, the earliest, holds then.
    return [TopicPartition(place.topic, place.partition, place.offset) for place in found]


class _Outlet:
    """Sends batches, each with the place it ends at."""

    def __init__(self, settings: Settings, consumer: Consumer) -> None:
        self._settings = settings
        self._consumer = consumer
        self._failures: list[str] = []
        self._once = settings.kafka.delivery == "exactly_once"
        self._producer = self._make()

    def _make(self) -> Producer:
        if not self._once:
            return make_producer(self._settings.kafka)
        producer = make_transactional_producer(self._settings.kafka, f"{self._settings.kafka.group_id}.dlq.{uuid.uuid4().hex}")
        producer.init_transactions(CALL_S)
        return producer

    def send(self, sent: list[DeadLetter], parked: list[DeadLetter], seen: list[Record]) -> None:
        """All of a batch, and where it ends; or nothing of it."""
        ends: dict[int, int] = {}
        for record in seen:
            ends[record.partition] = record.offset + 1
        topic = self._settings.topics.dead_letters
        places = [TopicPartition(topic, number, offset) for number, offset in ends.items()]
        if self._once:
            self._producer.begin_transaction()
        for letters, target in ((sent, self._settings.topics.uploads), (parked, parked_topic(self._settings))):
            for letter in letters:
                self._produce(letter, target)
        if self._once:
            self._producer.send_offsets_to_transaction(places, self._consumer.consumer_group_metadata(), CALL_S)
            self._producer.commit_transaction(CALL_S)
            return
        if self._producer.flush(CALL_S) or self._failures:
            raise BrokerError(f"not all events were sent: {self._failures[:1] or 'the broker does not answer'}")
        self._consumer.commit(offsets=places, asynchronous=False)

    def _produce(self, letter: DeadLetter, topic: str) -> None:
        record = letter.record
        headers: list[Header] = [*record.sender_headers, ("iqa_replays", str(letter.replays + 1).encode())]
        if topic == parked_topic(self._settings):
            headers = list(record.headers)
        self._producer.produce(
            topic,
            record.value,
            record.some_key,
            headers=list(headers),
            on_delivery=lambda error, _: self._failures.append(error.str()) if error else None,
        )
