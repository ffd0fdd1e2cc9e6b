"""What a lane shows: ages of events, lag of its partitions in records and seconds, when it last moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, TopicPartition

from worker.stream.asking import Answer
from worker.stream.gauges import LOOK_S, LaneGauges
from worker.stream.incoming import Record
from worker.stream.ledger import Ledger, Outgoing, Partition
from worker.telemetry.metrics import Metrics

TOPIC = "image.uploads"
P0: Partition = (TOPIC, 0)
BEGAN = 1_800_000_000.0


class Broker:
    """Where a partition begins and ends, where it is read next, and where the group was; -1001 is librdkafka's "unknown"."""

    def __init__(self) -> None:
        self.low, self.high, self.place, self.group_at = 0, 0, -1001, -1001
        self.fetched: int | None = None
        """What the consumer knows of the end, if that is less."""
        self.asked = 0
        self.away = False

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, self.place) for each in partitions]

    def get_watermark_offsets(self, partition: TopicPartition, **_: Any) -> tuple[int, int]:
        return self.low, self.high if self.fetched is None else self.fetched

    def ends(self, partitions: Sequence[Partition]) -> Answer:
        return self._answer(dict.fromkeys(partitions, self.high))

    def close(self) -> None:
        pass

    def group(self, partitions: Sequence[Partition]) -> Answer:
        self.asked += 1
        return self._answer(dict.fromkeys(partitions, max(-1, self.group_at)))

    def _answer(self, found: dict[Partition, int]) -> Answer:
        answer: Answer = Future()
        if self.away:
            answer.set_exception(TimeoutError())
        else:
            answer.set_result(found)
        return answer


class Stage:
    """Gauges over a broker, a ledger and a clock of their own; partition 0 is assigned."""

    def __init__(self, *, latest: bool = False, delays_s: Mapping[str, float] | None = None) -> None:
        self.now = BEGAN
        self.broker, self.ledger, self.metrics = Broker(), Ledger(), Metrics()
        self.lane = self.metrics.lanes["uploads"]
        self.gauges = LaneGauges(
            cast("Consumer", self.broker),
            self.ledger,
            self.lane,
            asking=self.broker,
            latest=latest,
            delays_s=delays_s,
            clock=lambda: self.now,
        )
        self.gauges.moved("assigned", [P0], 1)

    def shown(self) -> tuple[float | None, float | None]:
        """Lag in records and in seconds, after the loop's next look, whose questions were answered before."""
        self.gauges.turn([P0])
        self.now += LOOK_S
        self.gauges.turn([P0])
        labels = {"lane": "uploads", "topic": TOPIC, "partition": "0"}
        value = self.metrics.registry.get_sample_value
        return value("iqa_partition_lag_records", labels), value("iqa_partition_lag_seconds", labels)

    def take(self, offset: int, written_s: float) -> None:
        record = Record(TOPIC, 0, offset, timestamp_ms=int(1000 * written_s))
        self.gauges.taken(record)
        self.ledger.add(P0, offset, record.size, record.born_s, record.written_s)
        self.broker.place = offset + 1

    def publish(self, records: Sequence[Outgoing] = ()) -> None:
        lane = self.ledger._lanes[P0]
        entry = next(entry for entry in lane.entries if not entry.is_published)
        assert self.ledger.begin(entry)
        self.ledger.finish(entry, records)
        self.ledger.mark_published(entry)


def settled(stage: Stage) -> tuple[float | None, float | None]:
    """What is shown once the group's place was asked for and answered."""
    for _ in range(3):
        found = stage.shown()
    return found


@pytest.mark.parametrize("place", [-1001, 0])
def test_an_empty_partition_has_no_lag(place: int) -> None:
    """Nor does one of which nothing was ever read."""
    stage = Stage()
    stage.broker.place = place
    assert settled(stage) == (0, 0)


def test_what_was_read_before_is_no_lag() -> None:
    """At the start nothing has been read yet: the group's place counts, and is asked for once."""
    stage = Stage()
    stage.broker.high = stage.broker.group_at = 900
    assert settled(stage) == (0, 0)
    assert settled(stage) == (0, 0)
    assert stage.broker.asked == 1


def test_nothing_is_said_of_what_is_not_known() -> None:
    """A broker that does not answer is asked again."""
    stage = Stage()
    stage.broker.high, stage.broker.away = 900, True
    assert settled(stage) == (None, None)
    stage.broker.away = False
    assert settled(stage)[0] == 900


def test_what_nobody_has_read_is_as_old_as_it_was_seen() -> None:
    """At least; and of what retention has taken nothing is counted."""
    stage = Stage()
    stage.broker.low, stage.broker.high, stage.broker.group_at = 700, 900, 500
    records, first = settled(stage)
    assert records == 200
    stage.now += 3600
    records, later = stage.shown()
    assert records == 200
    assert later == pytest.approx((first or 0) + 3600 + LOOK_S)


def test_an_idle_partition_does_not_look_late() -> None:
    """What comes after three quiet hours is no older than the last look."""
    stage = Stage()
    stage.broker.high = 1
    stage.take(0, BEGAN)
    stage.publish()
    assert stage.shown() == (0, 0)
    stage.now += 3 * 3600
    assert stage.shown() == (0, 0)
    stage.broker.high = 2
    records, seconds = stage.shown()
    assert records == 1
    assert seconds == LOOK_S


def test_what_must_wait_is_lag_of_its_own_age() -> None:
    """A retry that was put back: the consumer knows no position then, or one that is ahead."""
    stage = Stage()
    for place in (-1001, 7):
        stage.broker.high = 7
        stage.gauges.put_back(Record(TOPIC, 0, 5, timestamp_ms=int(1000 * (BEGAN - 20))))
        stage.gauges.put_back(Record(TOPIC, 0, 6, timestamp_ms=int(1000 * BEGAN)))
        stage.broker.place = place
        records, seconds = stage.shown()
        assert records == 2
        assert seconds == stage.now - (BEGAN - 20)
    stage.take(5, BEGAN - 20)
    stage.publish()
    assert stage.shown()[0] == 1


def test_a_retry_is_overdue_once_it_has_waited_longer_than_its_topic_delays() -> None:
    """And no longer, once nothing waits."""
    stage = Stage(delays_s={TOPIC: 60})

    def overdue() -> float | None:
        return stage.metrics.registry.get_sample_value("iqa_retry_overdue_seconds", {"topic": TOPIC})

    stage.broker.high = 1
    stage.gauges.put_back(Record(TOPIC, 0, 0, timestamp_ms=int(1000 * BEGAN)))
    stage.shown()
    assert overdue() == 0
    stage.now = BEGAN + 90 - LOOK_S
    stage.shown()
    assert overdue() == 30
    stage.take(0, BEGAN)
    stage.publish()
    stage.shown()
    assert overdue() == 0


def test_ends_of_held_partitions_are_known() -> None:
    """The consumer fetches nothing of them, and its own knowledge of the end stands still."""
    stage = Stage()
    stage.broker.high = stage.broker.fetched = 1
    stage.take(0, BEGAN)
    stage.broker.high = 501
    assert settled(stage)[0] == 501


def test_a_topic_made_anew_is_another_one() -> None:
    """Places of the old one mean nothing."""
    stage = Stage()
    stage.broker.high = 900
    stage.take(899, BEGAN)
    stage.publish()
    assert settled(stage) == (0, 0)
    stage.gauges.begin(P0)
    stage.broker.high, stage.broker.place, stage.broker.group_at = 12, -1001, -1001
    assert settled(stage)[0] == 12


@pytest.mark.parametrize(("latest", "lag"), [(False, 50), (True, 0)])
def test_a_group_without_a_place_begins_at_one_end(latest: bool, lag: int) -> None:
    """As it is told to."""
    stage = Stage(latest=latest)
    stage.broker.high = 50
    assert settled(stage)[0] == lag
    stage.broker.high = 53
    assert settled(stage)[0] == lag + 3


def test_lag_is_that_of_the_oldest_without_a_result() -> None:
    """Records in flight count until their results are published; then those that were not read yet."""
    stage = Stage()
    stage.broker.high = 5
    stage.take(0, BEGAN - 50)
    stage.take(1, BEGAN - 40)
    assert stage.shown() == (5, 50 + LOOK_S)
    stage.publish()
    assert stage.shown() == (4, 40 + 2 * LOOK_S)
    stage.publish()
    # The next record is no older than the last one that was taken.
    assert stage.shown() == (3, 40 + 3 * LOOK_S)
    stage.broker.place = 5
    assert stage.shown() == (0, 0)


def test_partitions_that_go_are_shown_no_more() -> None:
    """Another worker shows them."""
    stage = Stage()
    stage.broker.high = stage.broker.place = 5
    assert stage.shown() == (0, 0)
    stage.gauges.moved("revoked", [P0], 0)
    labels = {"lane": "uploads", "topic": TOPIC, "partition": "0"}
    assert stage.metrics.registry.get_sample_value("iqa_partition_lag_records", labels) is None
    assert stage.metrics.registry.get_sample_value("iqa_assigned_partitions", {"lane": "uploads"}) == 0
    assert stage.metrics.registry.get_sample_value("iqa_partitions_moved_total", {"lane": "uploads", "kind": "revoked"}) == 1


@pytest.mark.parametrize(("attempt", "age"), [(b"1", 90), (b"0", 0)], ids=["retry", "replay"])
def test_ages_count_from_the_first_record(attempt: bytes, age: int) -> None:
    """A retry's own record is younger than the event, a replay's is its beginning; the objective's bound is a bucket."""
    stage = Stage()
    headers = (("iqa_timestamp", b"%d" % int(1000 * (BEGAN - 90))), ("iqa_attempt", attempt))
    stage.gauges.taken(Record(TOPIC, 0, 0, headers=headers, timestamp_ms=int(1000 * BEGAN)))
    value = stage.metrics.registry.get_sample_value
    labels = {"lane": "uploads", "at": "taken"}
    assert value("iqa_event_age_seconds_sum", labels) == age
    assert value("iqa_event_age_seconds_bucket", {**labels, "le": "60.0"}) == (age < 60)
    assert value("iqa_event_age_seconds_bucket", {**labels, "le": "120.0"}) == 1


def test_what_is_counted_was_published() -> None:
    """Once, however often it is marked; a place that is only committed is no event."""
    stage = Stage()
    counted: list[str] = []
    stage.take(0, BEGAN - 10)
    stage.publish([Outgoing("verdicts", b"k", b"v", (), note=lambda: counted.append("verdict"))])
    stage.ledger.mark_published(stage.ledger._lanes[P0].entries[0])
    assert counted == ["verdict"]
    value = stage.metrics.registry.get_sample_value
    labels = {"lane": "uploads", "at": "published"}
    assert value("iqa_event_age_seconds_count", labels) == 1
    stage.ledger.confirm(stage.ledger.published())
    stage.ledger.mark(P0, 9)
    stage.ledger.mark_published(stage.ledger._lanes[P0].entries[0])
    assert value("iqa_event_age_seconds_count", labels) == 1


def test_what_cannot_be_counted_is_published_all_the_same() -> None:
    """A metric is no reason to stop."""
    stage = Stage()
    stage.take(0, BEGAN)
    stage.publish([Outgoing("verdicts", b"k", b"v", (), note=lambda: 1 / 0)])
    assert stage.ledger.published().offsets == {P0: 1}
