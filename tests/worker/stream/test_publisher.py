"""Entries count as published only when the broker has all of their records."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError

from tests.patience import PATIENCE_S
from tests.worker.stream.test_ledger import P0, P1, RECORD, run
from worker.errors import BrokerError
from worker.stream.ledger import Entry, Ledger, Outgoing, Partition, Refit
from worker.stream.publisher import AtLeastOncePublisher
from worker.stream.publisher_thread import PublisherThread
from worker.stream.refusals import ClosedTopicError, RefusedError
from worker.telemetry.metrics import Metrics


class FakeProducer:
    """Delivers on flush; offsets of ``refused`` fail, and with ``away`` nothing is delivered at all."""

    def __init__(self) -> None:
        self.queue: list[tuple[str, bytes, Callable[[Any, Any], None]]] = []
        self.delivered: list[bytes] = []
        self.refused: set[bytes] = set()
        self.code: int = KafkaError.REQUEST_TIMED_OUT
        self.away = False
        self.full = 0

    def produce(self, topic: str, value: bytes, key: bytes, *, headers: Any, on_delivery: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.queue.append((topic, value, on_delivery))

    def poll(self, _: float) -> int:
        return 0

    def flush(self, _: float) -> int:
        if self.away:
            return len(self.queue)
        for _topic, value, report in self.queue:
            failed = value in self.refused
            if not failed:
                self.delivered.append(value)
            report(KafkaError(self.code) if failed else None, None)
        self.queue = []
        return 0

    def purge(self) -> None:
        self.queue = []


def filled(count: int) -> tuple[Ledger, FakeProducer, AtLeastOncePublisher]:
    ledger, producer = Ledger(), FakeProducer()
    for offset in range(count):
        entry = ledger.add(P0, offset, 1)
        assert ledger.begin(entry)
        ledger.finish(entry, [RECORD.__class__("v", b"k", str(offset).encode(), [])])
    return ledger, producer, AtLeastOncePublisher(lambda: producer, ledger)  # type: ignore[arg-type, return-value]


def test_published_in_order() -> None:
    """A full local queue is waited for, not given up."""
    ledger, producer, publisher = filled(3)
    producer.full = 2
    publisher.publish(ledger.finished())
    assert producer.delivered == [b"0", b"1", b"2"]
    assert ledger.published().offsets == {P0: 3}


def test_a_refused_record_holds_back_its_offset_and_is_published_again() -> None:
    """Nothing after it is committed meanwhile, and nothing before it is published twice."""
    ledger, producer, publisher = filled(3)
    producer.refused = {b"1"}
    with pytest.raises(BrokerError, match="1 records were not published"):
        publisher.publish(ledger.finished())
    assert ledger.published().offsets == {P0: 1}
    producer.refused = set()
    publisher.publish(ledger.finished())
    assert producer.delivered == [b"0", b"2", b"1"]
    assert ledger.published().offsets == {P0: 3}


def test_a_broker_that_is_away_loses_nothing() -> None:
    """What was given up is taken out of the producer's queue, and comes again with the next turn."""
    ledger, producer, publisher = filled(2)
    producer.away = True
    with pytest.raises(BrokerError, match="did not take 2 records"):
        publisher.publish(ledger.finished())
    assert producer.queue == []
    producer.away = False
    publisher.publish(ledger.finished())
    assert producer.delivered == [b"0", b"1"]


class Strict:
    """A publisher to all or nothing, whose broker refuses records for good, by their value, and topics that are closed."""

    commits_offsets = True

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.taken: list[bytes | None] = []
        self.poison: set[bytes] = set()
        self.closed: set[str] = set()
        self.calls = 0

    def prepare(self) -> None:
        pass

    def publish(self, entries: Sequence[Entry]) -> None:
        self.calls += 1
        records = [record for entry in entries for record in entry.records]
        for record in records:
            if record.topic in self.closed:
                raise ClosedTopicError("closed", record.topic)
        if any(record.value in self.poison for record in records):
            raise RefusedError("refused", "MSG_SIZE_TOO_LARGE")
        self.taken += [record.value for record in records]
        for entry in entries:
            self.ledger.mark_published(entry)


def strict(values: Sequence[tuple[Partition, bytes, str]], refit: Refit | None = None) -> tuple[PublisherThread, Strict]:
    ledger, offsets = Ledger(), Counter[Partition]()
    for partition, value, topic in values:
        entry = ledger.add(partition, offsets[partition], 1)
        offsets[partition] += 1
        assert ledger.begin(entry)
        ledger.finish(entry, [Outgoing(topic, b"k", value, [])], refit)
    publisher = Strict(ledger)
    return PublisherThread(ledger, publisher, 0.01, Metrics().lanes["uploads"]), publisher


def test_a_record_that_is_refused_for_good_stops_nobody() -> None:
    """It is found among a hundred, replaced and published in its place; order within the partition stays."""
    values = [str(number).encode() for number in range(100)]
    thread, publisher = strict([(P0, value, "v") for value in values], lambda *_: [Outgoing("dlq", b"k", b"instead", [])])
    publisher.poison = {b"37"}
    assert thread.publish_now()
    assert publisher.taken == [*values[:37], b"instead", *values[38:]]
    assert publisher.calls < 2 * 7 + 3
    assert thread.failing_s == 0


def test_several_are_refused_more_than_once() -> None:
    """Each gets other records until they are taken: what ``refit`` is told is how often that was."""
    asked: list[int] = []

    def refit(_: str, refusals: int) -> list[Outgoing]:
        asked.append(refusals)
        return [Outgoing("dlq", b"k", b"bare" if refusals > 2 else b"bad", [])]

    thread, publisher = strict([(P0, b"bad", "v"), (P1, b"good", "v"), (P0, b"bad", "v"), (P1, b"good", "v")], refit)
    publisher.poison = {b"bad"}
    assert thread.publish_now()
    assert sorted(value or b"" for value in publisher.taken) == [b"bare", b"bare", b"good", b"good"]
    assert asked == [1, 2, 3, 1, 2, 3]


def test_what_is_never_taken_holds_back_its_partition_alone() -> None:
    """Whatever is made of it. Nothing is lost: it is tried again, and what waits behind it goes as soon as it is taken."""
    thread, publisher = strict(
        [(P0, b"first", "dlq"), (P0, b"bad", "dlq"), (P0, b"after", "v"), (P1, b"good", "dlq"), (P1, b"best", "v")],
        lambda *_: [Outgoing("dlq", b"k", b"bad", [])],
    )
    publisher.poison = {b"bad"}
    assert not thread.publish_now()
    assert sorted(value or b"" for value in publisher.taken) == [b"best", b"first", b"good"]
    assert (thread.stuck_partitions, thread.closed_topics, thread.failing_s) == ([P0], [], 0)
    calls = publisher.calls
    assert not thread.publish_now()
    assert publisher.calls == calls
    publisher.poison = set()
    thread._stuck = dict.fromkeys(thread._stuck, 0.0)
    assert thread.publish_now()
    assert publisher.taken[-2:] == [b"bad", b"after"]
    assert thread.stuck_partitions == []


def test_a_topic_stays_closed_until_it_takes_something() -> None:
    """A probe that is asked while it is tried again hears no other answer."""
    thread, publisher = strict([(P0, b"dead", "dlq")])
    publisher.closed = {"dlq"}
    assert not thread.publish_now()
    seen: list[list[str]] = []
    publish = publisher.publish

    def look(entries: Sequence[Entry]) -> None:
        seen.append(thread.closed_topics)
        publish(entries)

    publisher.publish = look  # type: ignore[method-assign]
    thread._closed = dict.fromkeys(thread._closed, 0.0)
    assert not thread.publish_now()
    assert (seen, thread.closed_topics) == ([["dlq"]], ["dlq"])


def test_a_closed_topic_holds_back_who_needs_it_and_opens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No dead-letter topic: verdicts of other partitions go on, and dead letters come once there is one."""
    thread, publisher = strict(
        [(P0, b"0", "v"), (P0, b"dead", "dlq"), (P0, b"2", "v"), (P1, b"3", "v"), (P1, b"4", "v")],
    )
    publisher.closed = {"dlq"}
    assert not thread.publish_now()
    assert publisher.taken == [b"0", b"3", b"4"]
    assert thread.closed_topics == ["dlq"]
    assert not thread.publish_now()
    publisher.closed = set()
    monkeypatch.setattr("worker.stream.publisher_thread.REOPEN_S", -1.0)
    thread._closed = dict.fromkeys(thread._closed, 0.0)
    assert thread.publish_now()
    assert publisher.taken == [b"0", b"3", b"4", b"dead", b"2"]
    assert thread.closed_topics == []


def test_without_transactions_what_is_durable_is_not_sent_again() -> None:
    """The broker refuses one record of three and has the others."""
    ledger, producer, publisher = filled(3)
    producer.refused, producer.code = {b"1"}, KafkaError.MSG_SIZE_TOO_LARGE
    for entry in ledger.finished():
        entry.refit = lambda *_: [Outgoing("dlq", b"k", b"small", [])]
    assert PublisherThread(ledger, publisher, 0.01, Metrics().lanes["uploads"]).publish_now()
    assert producer.delivered == [b"0", b"2", b"small"]
    assert ledger.published().offsets == {P0: 3}


def test_the_death_of_the_thread_is_told(wait_until: Callable[..., Any]) -> None:
    """Whatever it dies of: nothing would be published any more, and all else would go on as if."""
    thread, publisher = strict([(P0, b"0", "v")])
    told: list[BaseException] = []
    thread._on_failure = told.append
    publisher.ledger = None  # type: ignore[assignment]
    thread.start()
    wait_until(lambda: told)
    assert isinstance(told[0], AttributeError)
    assert not thread.alive()


def test_a_publication_that_hangs_is_not_waited_for() -> None:
    """Longer than ``stop`` is given."""
    thread, publisher = strict([(P0, b"0", "v")])
    begun, never = threading.Event(), threading.Event()

    def hang(_: Sequence[Entry]) -> None:
        begun.set()
        never.wait()

    publisher.publish = hang  # type: ignore[method-assign, assignment]
    thread.start()
    assert begun.wait(PATIENCE_S)
    assert not thread.stop(0.05)
    assert not thread.publish_now(timeout_s=0.05)
    never.set()


def test_thread_publishes_at_intervals_and_at_the_end(wait_until: Callable[..., Any]) -> None:
    """Failures are counted and tried again; ``stop`` publishes what is left."""
    ledger, producer, publisher = filled(1)
    metrics = Metrics()
    thread = PublisherThread(ledger, publisher, 0.01, metrics.lanes["uploads"])
    producer.away = True
    thread.start()
    wait_until(lambda: metrics.registry.get_sample_value("iqa_publish_failures_total", {"lane": "uploads"}))
    producer.away = False
    wait_until(lambda: ledger.published().offsets == {P0: 1})
    run(ledger, ledger.add(P0, 1, 1))
    assert thread.stop()
    assert ledger.published().offsets == {P0: 2}
    assert not thread.alive()
