"""The verdicts topic into Redis: in order, and nothing lost while Redis is away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from tests.patience import PATIENCE_S
from tests.worker.helpers import verdict
from tests.worker.stack import PROPERTIES
from worker.contracts.verdicts import QualityVerdict
from worker.embedded.broker import EmbeddedBroker
from worker.errors import CacheError
from worker.projection import Projection, projection_group
from worker.settings import KafkaSettings
from worker.stream.clients import make_consumer, make_producer
from worker.telemetry.metrics import Metrics

TOPIC = "verdicts"
Wait = Callable[..., Any]


class FakeWriter:
    """Takes verdicts unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.attempts = 0
        self.written: list[str] = []
        self.name = "first"

    def generation(self) -> str:
        if self.away:
            self.attempts += 1
            raise CacheError("away")
        return self.name

    def write(self, verdicts: Iterable[QualityVerdict]) -> None:
        found = [v.image_id for v in verdicts]
        self.attempts += 1
        if self.away:
            raise CacheError("away")
        self.written += found


@pytest.fixture
def kafka() -> Iterator[KafkaSettings]:
    with EmbeddedBroker([TOPIC], 1) as broker:
        yield KafkaSettings(bootstrap_servers=broker.bootstrap_servers, properties=PROPERTIES)


def start(kafka: KafkaSettings, writer: FakeWriter, metrics: Metrics | None = None) -> Projection:
    consumer = make_consumer(kafka, projection_group("g"), **{"partition.assignment.strategy": "roundrobin"})
    projection = Projection(consumer, TOPIC, writer, 10, metrics or Metrics())  # type: ignore[arg-type]
    projection.start()
    return projection


def produce(kafka: KafkaSettings, *bodies: bytes) -> None:
    producer = make_producer(kafka)
    for body in bodies:
        producer.produce(TOPIC, body, b"k")
    assert producer.flush(PATIENCE_S) == 0


def bodies(*names: str) -> list[bytes]:
    return [verdict(name).model_dump_json().encode() for name in names]


def committed(kafka: KafkaSettings) -> int:
    consumer = make_consumer(kafka, projection_group("g"))
    try:
        return int(consumer.committed([TopicPartition(TOPIC, 0)], timeout=PATIENCE_S)[0].offset)
    finally:
        consumer.close()


def test_projected_in_order_and_committed(kafka: KafkaSettings, wait_until: Wait) -> None:
    """What cannot be read is passed over, and does not stop the rest."""
    writer = FakeWriter()
    projection = start(kafka, writer)
    produce(kafka, *bodies("a", "b"), b"{nonsense", *bodies("c"))
    wait_until(lambda: writer.written == ["a", "b", "c"])
    projection.stop()
    assert committed(kafka) == 4


def test_redis_away_and_back(kafka: KafkaSettings, wait_until: Wait) -> None:
    """No restart, no gap, no change of order; nothing is committed meanwhile."""
    writer, metrics = FakeWriter(), Metrics()
    writer.away = True
    projection = start(kafka, writer, metrics)
    produce(kafka, *bodies("a", "b"))
    wait_until(lambda: writer.attempts >= 2)
    produce(kafka, *bodies("c"))
    assert (metrics.registry.get_sample_value("iqa_projection_failures_total") or 0) >= 2
    assert projection.alive()
    writer.away = False
    wait_until(lambda: writer.written == ["a", "b", "c"])
    projection.stop()
    assert committed(kafka) == 3


def test_stopped_while_redis_is_away(kafka: KafkaSettings, wait_until: Wait) -> None:
    """What Redis has not taken is not committed: the next one writes it."""
    writer = FakeWriter()
    writer.away = True
    projection = start(kafka, writer)
    produce(kafka, *bodies("a"))
    wait_until(lambda: writer.attempts)
    projection.stop()
    assert committed(kafka) < 1
    later = FakeWriter()
    projection = start(kafka, later)
    wait_until(lambda: later.written == ["a"])
    projection.stop()


def test_a_redis_that_lost_everything_is_filled_again(kafka: KafkaSettings, wait_until: Wait) -> None:
    """Noticed while nothing is uploaded, by the generation's name; from the beginning, in order, once."""
    writer = FakeWriter()
    projection = start(kafka, writer)
    produce(kafka, *bodies("a", "b"))
    wait_until(lambda: writer.written == ["a", "b"])
    writer.name = "second"
    wait_until(lambda: writer.written == ["a", "b", "a", "b"])
    produce(kafka, *bodies("c"))
    wait_until(lambda: writer.written[-1] == "c")
    projection.stop()
    assert writer.written == ["a", "b", "a", "b", "c"]


@pytest.mark.parametrize(("name", "written"), [("first", []), ("second", ["a", "b"])])
def test_a_loss_while_nobody_looked(kafka: KafkaSettings, wait_until: Wait, name: str, written: list[str]) -> None:
    """The next one sees by the committed generation whether what was written before is still there."""
    writer = FakeWriter()
    projection = start(kafka, writer)
    produce(kafka, *bodies("a", "b"))
    wait_until(lambda: writer.written == ["a", "b"])
    projection.stop()
    later = FakeWriter()
    later.name = name
    projection = start(kafka, later)
    produce(kafka, *bodies("c"))
    wait_until(lambda: "c" in later.written)
    projection.stop()
    assert later.written == [*written, "c"]
