"""Entries count as published only when the broker has all of their records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from tests.worker.stream.test_ledger import P0, RECORD, run
from worker.errors import BrokerError
from worker.stream.ledger import Ledger
from worker.stream.publisher import AtLeastOncePublisher
from worker.stream.publisher_thread import PublisherThread
from worker.telemetry.metrics import Metrics


class FakeProducer:
    """Delivers on flush; offsets of ``refused`` fail, and with ``away`` nothing is delivered at all."""

    def __init__(self) -> None:
        self.queue: list[tuple[str, bytes, Callable[[Any, Any], None]]] = []
        self.delivered: list[bytes] = []
        self.refused: set[bytes] = set()
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
            report(KafkaError(KafkaError.REQUEST_TIMED_OUT) if failed else None, None)
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


def test_thread_publishes_at_intervals_and_at_the_end(wait_until: Callable[..., Any]) -> None:
    """Failures are counted and tried again; ``stop`` publishes what is left."""
    ledger, producer, publisher = filled(1)
    metrics = Metrics()
    thread = PublisherThread(ledger, publisher, 0.01, metrics)
    producer.away = True
    thread.start()
    wait_until(lambda: metrics.registry.get_sample_value("iqa_publish_failures_total"))
    producer.away = False
    wait_until(lambda: ledger.published().offsets == {P0: 1})
    run(ledger, ledger.add(P0, 1, 1))
    assert thread.stop()
    assert ledger.published().offsets == {P0: 2}
    assert not thread.alive()
