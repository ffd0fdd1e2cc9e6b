"""Sends dead letters back to the uploads topic: once each, however often the command is interrupted or given.

A batch's events and the place it has come to are one transaction. Replays with the same filter share a transactional id: the
later one ends what the earlier has begun, fences it, and goes on from there. An event that was replayed too often is parked in
a topic of its own, where nothing reads: it would only come back.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_admin, make_producer, make_transactional_producer
from worker.stream.dead_letters import DeadLetter, Filter, Span, as_dead_letter, open_reader, parked_topic, read_spans
from worker.stream.incoming import Header, Record
from worker.stream.ledger import Outgoing
from worker.stream.sizes import RecordSizes
from worker.stream.topic_facts import describe
from worker.stream.topics import ensure_topics

__all__ = ["Replayed", "replay", "replay_group"]

BATCH = 100
CALL_S = 15.0
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}  # noqa: SLF001
TAKEN_OVER = "another replay with the same filter took over and goes on from here"


@dataclass(frozen=True)
class Replayed:
    """What a replay has done, in events.

    Attributes:
        sent: to the uploads topic.
        parked: after too many replays.
        passed_over: left alone by the filter.
        impossible: not whole any more, or larger than the topic takes; left where they are.
        interrupted: whether there is more to do.

    """

    sent: int = 0
    parked: int = 0
    passed_over: int = 0
    impossible: int = 0
    interrupted: bool = False

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(
            self.sent + other.sent,
            self.parked + other.parked,
            self.passed_over + other.passed_over,
            self.impossible + other.impossible,
        )


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
    """Replay what ``wanted`` takes and no earlier replay with the same filter has taken, up to what lies there at the start.

    Args:
        settings: broker, topics, delivery. With at-least-once delivery there is no fence: a second replay at the same time is
            noticed after a batch, which may have been sent twice by then.
        wanted: which dead letters.
        dry_run: only count.
        per_second: events sent in a second, at most; 0 for no limit.
        most: replays after which an event is parked.
        stop: set to end after the batch under way.
        progress: told after every batch.

    Raises:
        BrokerError: the broker is away or refuses, or another replay took over; what was sent is counted, what was not is taken
            up by the next replay.

    """
    stop = stop or threading.Event()
    group, topic = replay_group(settings, wanted), settings.topics.dead_letters
    consumer, spans = open_reader(settings, group)
    try:
        if not dry_run:
            ensure_topics(settings, [parked_topic(settings)], topic)
        outlet = None if dry_run else _Outlet(settings, consumer, group)
        # After the outlet, which ends what an earlier replay had begun: only then is it known how far that came.
        offsets = _offsets(consumer, topic, [span.partition for span in spans])
        if outlet:
            outlet.begin(offsets)
        done, began = Replayed(), time.monotonic()
        for records in read_spans(consumer, topic, _remaining(spans, offsets), _batch(per_second)):
            if per_second > 0 and not dry_run:
                stop.wait(max(0.0, began + done.sent / per_second - time.monotonic()))
            if stop.is_set():
                return replace(done, interrupted=True)
            done += _replay_batch(settings, records, wanted, most, outlet)
            if progress:
                progress(done)
    except KafkaException as error:
        told = TAKEN_OVER if error.args[0].code() in _FENCED else error.args[0].str()
        raise BrokerError(f"the replay ends here: {told}") from error
    finally:
        consumer.close()
    return done


def _batch(per_second: float) -> int:
    """Events at once: slow replays are to be stopped, and to be seen to move, within a second or two."""
    return BATCH if per_second <= 0 else max(1, min(BATCH, int(per_second)))


def _offsets(consumer: Consumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """How far replays with this filter have come, by partition; negative where there was none."""
    found = consumer.committed([TopicPartition(topic, number) for number in partitions], timeout=CALL_S)
    return {place.partition: place.offset for place in found}


def _remaining(spans: Sequence[Span], offsets: Mapping[int, int]) -> list[Span]:
    """What the last replay has left of ``spans``; all of them if there was none."""
    # A place outside what lies there is one of another topic of that name, or retention has taken what was there.
    return [
        replace(span, start=offsets[span.partition]) if span.start <= offsets[span.partition] <= span.end else span
        for span in spans
    ]


def _replay_batch(settings: Settings, records: list[Record], wanted: Filter, most: int, outlet: _Outlet | None) -> Replayed:
    letters = [letter for letter in map(as_dead_letter, records) if wanted.takes(letter)]
    whole = [letter for letter in letters if not letter.is_cut]
    events = [
        _parked(letter, parked_topic(settings)) if letter.replays >= most else _sent(letter, settings.topics.uploads)
        for letter in whole
    ]
    if outlet:
        events = [event for event in events if outlet.takes(event)]
        outlet.send(events, records)
    sent = sum(event.topic == settings.topics.uploads for event in events)
    return Replayed(sent, len(events) - sent, len(records) - len(letters), len(letters) - len(events))


def _sent(letter: DeadLetter, topic: str) -> Outgoing:
    record = letter.record
    headers: list[Header] = [*record.sender_headers, ("iqa_replays", str(letter.replays + 1).encode())]
    return Outgoing(topic, record.some_key, record.value, headers)


def _parked(letter: DeadLetter, topic: str) -> Outgoing:
    return Outgoing(topic, letter.record.some_key, letter.record.value, letter.record.headers)


class _Outlet:
    """Sends batches, each with the place it ends at.

    Raises:
        KafkaException: the broker does not give the transactional id.

    """

    def __init__(self, settings: Settings, consumer: Consumer, group: str) -> None:
        self._topic = settings.topics.dead_letters
        self._consumer = consumer
        self._failures: list[str] = []
        self._ends: dict[int, int] = {}
        self._once = settings.kafka.delivery == "exactly_once"
        self._producer = self._make(settings, group)
        admin, topics = make_admin(settings.kafka), (settings.topics.uploads, parked_topic(settings))
        self._sizes = RecordSizes(lambda: {name: facts.max_message_bytes for name, facts in describe(admin, topics).items()})
        self._sizes.refresh()

    def _make(self, settings: Settings, group: str) -> Producer:
        if not self._once:
            return make_producer(settings.kafka)
        producer = make_transactional_producer(settings.kafka, group)
        producer.init_transactions(CALL_S)
        return producer

    def begin(self, offsets: Mapping[int, int]) -> None:
        """From where on: ``offsets`` by partition, of all of them."""
        self._ends = dict(offsets)

    def takes(self, event: Outgoing) -> bool:
        """Whether it is small enough for its topic: one that is not would keep all others of its batch from being sent."""
        return event.size <= self._sizes.of(event.topic)

    def send(self, events: list[Outgoing], seen: list[Record]) -> None:
        """All of ``events``, and where their batch ends; or nothing of it."""
        ends = {record.partition: record.offset + 1 for record in seen}
        places = [TopicPartition(self._topic, number, offset) for number, offset in ends.items()]
        if self._once:
            self._producer.begin_transaction()
        else:
            self._look_for_others()
        for event in events:
            self._produce(event)
        if self._once:
            self._producer.send_offsets_to_transaction(places, self._consumer.consumer_group_metadata(), CALL_S)
            self._producer.commit_transaction(CALL_S)
            return
        if self._producer.flush(CALL_S) or self._failures:
            raise BrokerError(f"not all events were sent: {self._failures[:1] or 'the broker does not answer'}")
        self._consumer.commit(offsets=places, asynchronous=False)
        self._ends |= ends

    def _look_for_others(self) -> None:
        """Without transactions nobody is fenced, but somebody else's progress can be seen."""
        if _offsets(self._consumer, self._topic, list(self._ends)) != self._ends:
            raise BrokerError(f"the replay ends here: {TAKEN_OVER}")

    def _produce(self, event: Outgoing) -> None:
        self._producer.produce(
            event.topic,
            event.value,
            event.key,
            headers=list(event.headers),
            on_delivery=lambda error, _: self._failures.append(error.str()) if error else None,
        )
