"""The consumer loop's own promises: bounds, commits, rebalances."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.patience import PATIENCE_S
from tests.worker.helpers import make_settings
from tests.worker.stack import PROPERTIES, produce
from worker.embedded.broker import EmbeddedBroker
from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import check, make_consumer, make_producer
from worker.stream.consumer import ConsumerLoop
from worker.stream.incoming import Record
from worker.stream.ledger import Entry, Ledger
from worker.stream.pool import HostPool
from worker.stream.publisher_thread import PublisherThread
from worker.telemetry.metrics import Metrics
from worker.telemetry.traces import NO_TRACING

Wait = Callable[..., Any]
TOPIC = "image.uploads"


class Marker:
    """A publisher to which everything is durable at once."""

    commits_offsets = False

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def prepare(self) -> None:
        pass

    def publish(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.ledger.mark_published(entry)


class Loop:
    """A consumer loop in a thread, whose handler does nothing until it is let: with anything, or with what ``hangs``."""

    def __init__(self, settings: Settings, *, held: bool = False, hangs: bytes = b"") -> None:
        self.go = threading.Event()
        self.hangs = hangs
        if not held and not hangs:
            self.go.set()
        self.handled: list[bytes] = []
        self.ledger = Ledger()
        self.metrics = Metrics()
        publisher = PublisherThread(self.ledger, Marker(self.ledger), 0.02, self.metrics.lanes["uploads"])
        publisher.start()
        self.consumer = make_consumer(settings.kafka, settings.kafka.group_id)
        self.pool = HostPool(4, 4)
        self.loop = ConsumerLoop(
            self.consumer,
            [TOPIC],
            self.ledger,
            publisher,
            self.pool,
            self.handle,
            settings.worker,
            self.metrics.lanes["uploads"],
        )
        self.lost: list[TopicPartition] = []
        self.lose = self.loop._on_lost
        self.loop._on_lost = self.on_lost  # type: ignore[method-assign]
        self.refused: list[tuple[KafkaError | None, list[TopicPartition]]] = []
        self.committed = self.loop._offsets.on_commit
        self.loop._offsets.on_commit = self.on_commit  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def handle(self, record: Record, entry: Entry) -> None:
        if self.ledger.begin(entry):
            if record.value == self.hangs or not self.hangs:
                self.go.wait()  # ``stop`` lets go, too
            self.handled.append(record.value or b"")
            self.ledger.finish(entry, [])

    def on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.lost += partitions
        self.lose(consumer, partitions)

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is not None or any(partition.error for partition in partitions):
            self.refused.append((error, partitions))
        self.committed(error, partitions)

    def stop(self) -> None:
        self.loop.stop()
        self.go.set()
        self.thread.join(PATIENCE_S)
        self.pool.shutdown()
        assert not self.thread.is_alive()

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"lane": "uploads"})


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker([TOPIC], 2) as broker:
        yield broker


@pytest.fixture
def settings(broker: EmbeddedBroker) -> Settings:
    return make_settings(
        kafka={"bootstrap_servers": broker.bootstrap_servers, "properties": PROPERTIES},
        worker={"max_in_flight": 5, "threads": 2, "drain_timeout_s": PATIENCE_S},
    )


def fill(settings: Settings, count: int) -> None:
    for number in range(count):
        produce(settings, str(number).encode(), str(number).encode())


def committed(settings: Settings) -> int:
    consumer = make_consumer(settings.kafka, settings.kafka.group_id)
    try:
        places = consumer.committed([TopicPartition(TOPIC, number) for number in range(2)], timeout=PATIENCE_S)
        return sum(max(0, place.offset) for place in places)
    finally:
        consumer.close()


def test_never_more_unfinished_than_the_bound(settings: Settings, wait_until: Wait) -> None:
    """Each of two partitions has half of five, rounded down; the rest waits in Kafka, and comes when there is room again."""
    fill(settings, 12)
    loop = Loop(settings, held=True)
    try:
        wait_until(lambda: loop.value("iqa_crowded_partitions") == 2)
        assert [loop.ledger.load((TOPIC, number)).unfinished for number in range(2)] == [2, 2]
        loop.go.set()
        wait_until(lambda: len(loop.handled) == 12)
        wait_until(lambda: loop.value("iqa_crowded_partitions") == 0)
    finally:
        loop.stop()
    assert sorted(loop.handled) == sorted(str(n).encode() for n in range(12))
    assert committed(settings) == 12


def test_slow_work_holds_up_its_own_partition_alone(settings: Settings, wait_until: Wait) -> None:
    """What hangs fills its partition's share; what comes after it there may finish and waits; all others go on for ever."""
    producer = make_producer(settings.kafka)
    for number in range(40):
        producer.produce(TOPIC, b"hang" if number == 0 else b"quick", partition=0)
        producer.produce(TOPIC, b"other", partition=1)
    assert producer.flush(PATIENCE_S) == 0
    loop = Loop(settings, hangs=b"hang")
    try:
        wait_until(lambda: loop.handled.count(b"other") == 40)
        wait_until(lambda: loop.handled.count(b"quick") == 39)
        assert loop.ledger.load((TOPIC, 0)).unfinished == 1
        wait_until(lambda: loop.ledger.count == 40)
        assert loop.ledger.published().offsets == {}
    finally:
        loop.stop()
    assert committed(settings) == 80


def test_a_second_worker_takes_over_what_the_first_has_not_finished(settings: Settings, wait_until: Wait) -> None:
    """Partitions move while work is held up: the first drains, the second goes on; together they handle everything."""
    fill(settings, 5)
    first = Loop(settings, held=True)
    wait_until(lambda: first.ledger.count)
    second = Loop(settings)
    try:
        first.go.set()
        wait_until(lambda: (first.value("iqa_assigned_partitions"), second.value("iqa_assigned_partitions")) == (1, 1))
        fill(settings, 10)
        wait_until(lambda: len(first.handled) + len(second.handled) >= 15)
        # Before they stop: a group that changes may refuse the last commit, and its events wait for whoever comes next.
        wait_until(lambda: committed(settings) == 15, what="all committed")
    finally:
        first.stop()
        second.stop()
    # Nothing twice either: what the first one had in flight it finished and committed before it let go. On a machine that is
    # too slow for its heartbeats partitions are lost, or the group changes again and refuses the last commit: then others
    # handle these events once more.
    handled = len(first.handled) + len(second.handled)
    excuses = [*first.lost, *second.lost, *first.refused, *second.refused]
    assert handled == 15 or (handled > 15 and excuses), (first.handled, second.handled)
    assert committed(settings) == 15


def test_the_last_commit_outlasts_a_changing_group(
    broker: EmbeddedBroker, settings: Settings, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stops while others do is refused at first: what was done would be done again."""
    monkeypatch.setattr("worker.stream.consumer.SETTLE_S", PATIENCE_S)
    fill(settings, 4)
    loop = Loop(settings, held=True)
    wait_until(lambda: loop.ledger.count == 4)
    commits = ctypes.c_int16(8)  # the key of OffsetCommit in Kafka's protocol
    refusals = [ctypes.c_int(KafkaError.REBALANCE_IN_PROGRESS)] * 6
    broker._lib.rd_kafka_mock_push_request_errors(broker._cluster, commits, ctypes.c_size_t(len(refusals)), *refusals)
    loop.stop()
    assert committed(settings) == 4


class FromBroker:
    """A record of partition 0, or an error that concerns it."""

    def __init__(self, offset: int, error: KafkaError | None) -> None:
        self._offset = offset
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


class Committer:
    """Stands in for a consumer that never answers commits by itself."""

    def __init__(self) -> None:
        self.commits: list[dict[int, int]] = []
        self.paused: dict[int, bool] = {}
        self.given_back: list[int] = []
        self.begun: list[int] = []

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """librdkafka keeps what it knows of a partition, a pause included."""
        self.begun += [place.offset for place in partitions if place.offset >= 0]

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {place.partition: True for place in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused |= {place.partition: False for place in partitions}

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition] | None:
        self.commits.append({place.partition: place.offset for place in offsets})
        return None if asynchronous else offsets

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        self.given_back += [place.partition for place in partitions]

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        return 0, 9

    def position(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        return []

    def memberid(self) -> str:
        return "me"

    def consumer_group_metadata(self) -> object:
        raise RuntimeError("Consumer group metadata not available")


def prepared() -> tuple[ConsumerLoop, Committer]:
    """A loop that has published offset 6 of partition 0 and offset 8 of partition 1, and sent a commit of both."""
    ledger, committer = Ledger(), Committer()
    for partition, offset in ((0, 6), (1, 8)):
        entry = ledger.add((TOPIC, partition), offset, 1)
        ledger.begin(entry)
        ledger.finish(entry, [])
        ledger.mark_published(entry)
    parts: tuple[Any, ...] = (Marker(ledger), None, lambda *_: None, make_settings().worker, Metrics().lanes["uploads"])
    loop = ConsumerLoop(cast("Consumer", committer), [TOPIC], ledger, *parts)
    loop._offsets.commit()
    assert committer.commits == [{0: 7, 1: 9}]
    return loop, committer


PLACES = [TopicPartition(TOPIC, 0, 7), TopicPartition(TOPIC, 1, 9)]


@pytest.mark.parametrize("code", [KafkaError.REQUEST_TIMED_OUT, KafkaError.REBALANCE_IN_PROGRESS])
def test_a_refused_commit_is_tried_again(code: int) -> None:
    """Once, until it is refused again; and no more when it was taken."""
    loop, committer = prepared()
    loop.on_commit(KafkaError(code), PLACES)
    loop._offsets.commit()
    loop._offsets.commit()
    assert committer.commits[1:] == [{0: 7, 1: 9}]
    loop.on_commit(None, PLACES)
    loop._offsets.commit(wait=True)
    assert len(committer.commits) == 2


def test_an_unanswered_commit_is_sent_again_before_leaving() -> None:
    """Its answer would come too late to be heard."""
    loop, committer = prepared()
    loop._offsets.commit(wait=True)
    loop._offsets.commit(wait=True)
    assert committer.commits[1:] == [{0: 7, 1: 9}]


def test_commits_are_not_repeated_for_partitions_given_away() -> None:
    """The broker would take one from any member, and set the new owner back."""
    loop, committer = prepared()
    loop._note("lost", PLACES[:1])
    loop.on_commit(KafkaError(KafkaError.REQUEST_TIMED_OUT), PLACES)
    loop._offsets.commit()
    assert committer.commits[1:] == [{1: 9}]


def test_a_closing_consumer_tells_nothing_of_its_group() -> None:
    """It refuses to, now and then; raised from a rebalance callback, that would end ``close`` half way."""
    loop, _ = prepared()
    loop.group_metadata = "as it was"
    loop._note_group()
    assert loop.group_metadata == "as it was"


def test_errors_in_the_stream() -> None:
    """What passes is waited out; what does not ends the worker, so that another one starts."""
    check(KafkaError(KafkaError._PARTITION_EOF))
    check(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    for fatal in (KafkaError(KafkaError._FATAL, "fenced"), KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", fatal=True)):
        with pytest.raises(BrokerError, match="cannot go on") as caught:
            check(fatal)
        assert isinstance(caught.value.__cause__, KafkaException)


@pytest.mark.parametrize("pressure", [False, True])
def test_what_comes_back_is_paused_only_under_pressure(pressure: bool) -> None:
    """A pause outlives the loss of a partition: one that came back was never read again."""
    loop, consumer = prepared()
    consumer.pause(PLACES)
    if pressure:
        loop._pauses.hold_all("bytes", [])
    loop._on_assign(cast("Consumer", consumer), PLACES)
    assert consumer.paused == {0: pressure, 1: pressure}


def test_an_old_topic_is_left_with_the_beginning_of_the_new_one_committed() -> None:
    """But a partition that came after the old topic was seen last goes on from what its last owner has committed of the new."""
    loop, committer = prepared()
    loop._on_assign(cast("Consumer", committer), [TopicPartition(TOPIC, 0)])
    in_flight = loop._ledger.add((TOPIC, 0), 7, 1)
    assert loop._ledger.begin(in_flight)
    known_at = time.monotonic()
    loop._on_assign(cast("Consumer", committer), [TopicPartition(TOPIC, 1)])
    loop.topic_remade(TOPIC, known_at)
    loop._leave_old_topics()
    loop._ledger.finish(in_flight, [])
    for entry in loop._ledger.finished():
        loop._ledger.mark_published(entry)
    found = loop._ledger.published()
    assert in_flight in found.entries
    assert found.offsets == {(TOPIC, 0): 0}


def test_a_late_answer_for_the_old_topic_leaves_what_is_in_flight_alone() -> None:
    """Taken for a second new topic, it had offsets of the first one not committed, and events judged twice."""
    loop, committer = prepared()
    loop._pool = cast("HostPool", SimpleNamespace(submit=lambda _: None))
    loop._on_assign(cast("Consumer", committer), [TopicPartition(TOPIC, 0)])
    late = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    for offset, error in ((284, late), (0, None), (1, None), (284, late)):
        loop._take(cast("Message", FromBroker(offset, error)), NO_TRACING.poll())
        loop._find_beginnings()
    assert committer.begun == [0, 2]
    assert loop._ledger.orphan([(TOPIC, 0)]) == 2


def test_an_error_of_a_partition_that_was_given_away_begins_nothing() -> None:
    """It came in the batch within which the partition went: read from then on, another worker's events were judged twice."""
    loop, committer = prepared()
    loop._on_assign(cast("Consumer", committer), [TopicPartition(TOPIC, 0)])
    loop._on_lost(cast("Consumer", committer), [TopicPartition(TOPIC, 0)])
    loop._take(cast("Message", FromBroker(284, KafkaError(KafkaError._AUTO_OFFSET_RESET))), NO_TRACING.poll())
    loop._find_beginnings()
    assert committer.begun == []


def test_a_new_topic_that_the_client_found_by_itself_is_not_begun_again() -> None:
    """Seen on a real broker: a client that learnt that the topic was gone read the new one from its first record."""
    loop, committer = prepared()
    loop._pool = cast("HostPool", SimpleNamespace(submit=lambda _: None))
    loop._on_assign(cast("Consumer", committer), [TopicPartition(TOPIC, 0)])
    known_at = time.monotonic()
    loop._take(cast("Message", FromBroker(7, None)), NO_TRACING.poll())
    # All of the old one is published: nothing in flight tells that offsets go back.
    loop._ledger.forget([(TOPIC, 0)])
    for offset in (0, 1):
        loop._take(cast("Message", FromBroker(offset, None)), NO_TRACING.poll())
    loop.topic_remade(TOPIC, known_at)
    loop._leave_old_topics()
    assert loop._ledger.orphan([(TOPIC, 0)]) == 2
