"""The verdicts topic into Redis: in order, from where Redis really is, and nothing lost while it is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.patience import PATIENCE_S
from tests.worker.helpers import verdict
from tests.worker.stack import PROPERTIES
from worker.embedded.broker import EmbeddedBroker
from worker.errors import BrokerError, CacheError, TopicRemadeError
from worker.projection import Projection, projection_group
from worker.projection_topic import BATCH_BYTES
from worker.redis_writer import DisplacedError, Partition, Place
from worker.settings import KafkaSettings
from worker.store import Change
from worker.stream.clients import make_consumer, make_producer
from worker.telemetry.metrics import Metrics

TOPIC = "verdicts"
PART = (TOPIC, 0)
Wait = Callable[..., Any]


class FakeWriter:
    """Takes changes and places together, unless it is away."""

    def __init__(self, place: Place | None = None) -> None:
        self.away = False
        self.attempts = 0
        self.written: list[str] = []
        self.place = place
        self.sizes: list[int] = []
        self.lose_answer = False

    def places(self, partitions: Collection[Partition]) -> dict[Partition, Place | None]:
        if self.away:
            self.attempts += 1
            raise CacheError("away")
        return dict.fromkeys(partitions, self.place)

    def apply(
        self, changes: Iterable[Change], before: Mapping[Partition, Place | None], after: Mapping[Partition, Place]
    ) -> None:
        self.attempts += 1
        if self.away:
            raise CacheError("away")
        if before[PART] != self.place:
            raise DisplacedError
        found = list(changes)
        self.sizes.append(len(found))
        self.written += [change.image_id.decode() if change.verdict else f"-{change.image_id.decode()}" for change in found]
        self.place = after[PART]
        if self.lose_answer:
            self.lose_answer = False
            raise CacheError("the connection broke")


@pytest.fixture
def kafka() -> Iterator[KafkaSettings]:
    with EmbeddedBroker([TOPIC], 1) as broker:
        yield KafkaSettings(bootstrap_servers=broker.bootstrap_servers, properties=PROPERTIES)


def follower(kafka: KafkaSettings) -> Consumer:
    options = {"partition.assignment.strategy": "roundrobin", "enable.partition.eof": True}
    return make_consumer(kafka, projection_group("g"), **options)


def start(kafka: KafkaSettings, writer: FakeWriter, metrics: Metrics | None = None, **more: Any) -> Projection:
    projection = Projection(follower(kafka), TOPIC, writer, 10, metrics or Metrics(), **more)  # type: ignore[arg-type]
    projection.start()
    return projection


def produce(kafka: KafkaSettings, *bodies: bytes | None) -> None:
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


def test_projected_in_order_with_the_place(kafka: KafkaSettings, wait_until: Wait) -> None:
    """What cannot be read is passed over, and does not stop the rest; a tombstone is passed on."""
    writer, metrics = FakeWriter(), Metrics()
    projection = start(kafka, writer, metrics)
    produce(kafka, *bodies("a", "b"), b"{nonsense", None, *bodies("c"))
    wait_until(lambda: writer.written == ["a", "b", "-k", "c"])
    assert projection.stop()
    assert writer.place == Place(5)
    assert metrics.registry.get_sample_value("iqa_projection_unreadable_total") == 1
    assert metrics.registry.get_sample_value("iqa_projected_verdicts_total") == 4
    assert committed(kafka) == 5


def test_offsets_decide_nothing(kafka: KafkaSettings, wait_until: Wait) -> None:
    """An empty Redis is filled from the beginning, whatever the group has committed; a Redis that is ahead is believed."""
    writer = FakeWriter()
    projection = start(kafka, writer)
    produce(kafka, *bodies("a", "b"))
    wait_until(lambda: writer.written == ["a", "b"])
    projection.stop()
    assert committed(kafka) == 2
    empty, ahead = FakeWriter(), FakeWriter(Place(1))
    projection = start(kafka, empty)
    wait_until(lambda: empty.written == ["a", "b"])
    projection.stop()
    projection = start(kafka, ahead)
    wait_until(lambda: ahead.written == ["b"])
    projection.stop()


def test_redis_away_and_back(kafka: KafkaSettings, wait_until: Wait) -> None:
    """No restart, no gap, no change of order; nothing is committed meanwhile, and it is not ready for long."""
    writer, metrics = FakeWriter(), Metrics()
    writer.away = True
    projection = start(kafka, writer, metrics)
    produce(kafka, *bodies("a", "b"))
    wait_until(lambda: writer.attempts >= 2)
    produce(kafka, *bodies("c"))
    assert (metrics.registry.get_sample_value("iqa_projection_failures_total") or 0) >= 1
    assert projection.alive()
    assert projection.redis_away_s > 0
    assert projection.ready()["redis"] is False
    # What was read and waits for Redis is missing there.
    wait_until(lambda: metrics.registry.get_sample_value("iqa_projection_lag") == 3)
    writer.away = False
    wait_until(lambda: writer.written == ["a", "b", "c"])
    wait_until(lambda: projection.redis_away_s == 0)
    projection.stop()
    assert committed(kafka) == 3


def test_stopped_while_redis_is_away(kafka: KafkaSettings, wait_until: Wait) -> None:
    """What Redis has not taken is written by the next one."""
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


@pytest.mark.parametrize(("back", "again"), [(None, ["a", "b"]), (Place(1), ["b"])])
def test_a_loss_is_noticed_while_nothing_is_uploaded(
    kafka: KafkaSettings, wait_until: Wait, back: Place | None, again: list[str]
) -> None:
    """From where Redis is, in order, once."""
    writer, metrics = FakeWriter(), Metrics()
    projection = start(kafka, writer, metrics)
    produce(kafka, *bodies("a", "b"))
    wait_until(lambda: writer.written == ["a", "b"])
    writer.place = back
    wait_until(lambda: writer.written == ["a", "b", *again])
    produce(kafka, *bodies("c"))
    wait_until(lambda: writer.written[-1] == "c")
    projection.stop()
    assert writer.written == ["a", "b", *again, "c"]
    assert metrics.registry.get_sample_value("iqa_projection_rewinds_total") == 1


def test_an_answer_that_was_lost(kafka: KafkaSettings, wait_until: Wait) -> None:
    """Redis has taken the batch: it is not written again, and the older verdict never comes back."""
    writer = FakeWriter()
    projection = start(kafka, writer)
    writer.lose_answer = True
    produce(kafka, *bodies("a", "b"))
    wait_until(lambda: writer.place == Place(2))
    produce(kafka, *bodies("c"))
    wait_until(lambda: writer.place == Place(3))
    projection.stop()
    assert writer.written == ["a", "b", "c"]


def test_a_place_beyond_the_topic_is_none(kafka: KafkaSettings, wait_until: Wait) -> None:
    """The broker refuses the offset, and reading begins where the topic does."""
    produce(kafka, *bodies("a", "b"))
    writer = FakeWriter(Place(1000))
    projection = start(kafka, writer)
    wait_until(lambda: writer.written == ["a", "b"])
    projection.stop()
    assert writer.place == Place(2)


@pytest.mark.parametrize(("stored", "written"), [("old", ["a", "b"]), ("new", ["b"]), ("", ["b"])])
def test_a_place_in_another_topic_of_the_name_is_none(
    kafka: KafkaSettings, wait_until: Wait, stored: str, written: list[str]
) -> None:
    """By the topic's id; one that was not known then is believed."""
    produce(kafka, *bodies("a", "b"))
    writer = FakeWriter(Place(1, stored))
    projection = start(kafka, writer, topic_id=lambda: "new")
    wait_until(lambda: writer.written == written)
    projection.stop()
    assert writer.place == Place(2, "new")


def test_a_topic_made_anew_ends_it(kafka: KafkaSettings, wait_until: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may never read the new one: another process goes on, from the new one's beginning."""
    monkeypatch.setattr("worker.projection_topic.TOPIC_S", 0.0)
    topic_id, ended = ["old"], list[BaseException]()
    produce(kafka, *bodies("a"))
    writer = FakeWriter()
    projection = start(kafka, writer, topic_id=lambda: topic_id[0], on_failure=ended.append)
    wait_until(lambda: writer.place == Place(1, "old"))
    topic_id[0] = "new"
    wait_until(lambda: not projection.alive())
    assert isinstance(projection.failed, TopicRemadeError)
    assert ended == [projection.failed]


def test_large_batches_are_written_in_parts(kafka: KafkaSettings, wait_until: Wait) -> None:
    """A batch of megabytes would be over time again and again."""
    writer = FakeWriter()
    writer.away = True
    large = [verdict(name, metadata={"a": "x" * (BATCH_BYTES // 5)}).model_dump_json().encode() for name in "abcde"]
    projection = start(kafka, writer)
    produce(kafka, *large)
    wait_until(lambda: writer.attempts >= 2)
    writer.away = False
    wait_until(lambda: writer.written == list("abcde"))
    projection.stop()
    assert max(writer.sizes) <= 4


class _Fatal:
    """The message by which librdkafka tells that a consumer is done for; its error says that it is not fatal."""

    def error(self) -> KafkaError:
        return KafkaError(KafkaError._FATAL)

    def topic(self) -> None:
        return None

    partition = offset = topic


def test_a_fatal_error_is_told(kafka: KafkaSettings) -> None:
    """By its code; to whoever must end the process, from the thread itself."""
    told: list[BaseException] = []
    over = threading.Event()

    def on_failure(error: BaseException) -> None:
        told.append(error)
        over.set()

    assert not _Fatal().error().fatal()
    projection = Projection(follower(kafka), TOPIC, FakeWriter(), 10, Metrics(), on_failure=on_failure)  # type: ignore[arg-type]
    taken = projection._take
    projection._take = lambda messages: taken([*messages, _Fatal()])  # type: ignore[method-assign, list-item]
    projection.start()
    assert over.wait(30)
    assert projection.stop(30)
    assert isinstance(told[0], BrokerError)
    assert projection.failed is told[0]
    assert not projection.live()["projection"]


def test_whatever_ends_the_thread_is_told(kafka: KafkaSettings) -> None:
    """Also a mistake of our own."""

    class Broken(FakeWriter):
        def places(self, partitions: Collection[Partition]) -> dict[Partition, Place | None]:
            raise RuntimeError("a mistake")

    over = threading.Event()
    projection = start(kafka, Broken(), on_failure=lambda _: over.set())
    assert over.wait(30)
    assert projection.stop(30)
    assert projection.failed is not None
