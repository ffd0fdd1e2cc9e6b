"""Events that cannot be read any more are counted and told of; nothing is passed over in silence."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from structlog.testing import capture_logs

from worker.errors import BrokerError
from worker.stream.beginnings import Beginning, Stray, begin_again
from worker.telemetry.metrics import Metrics

KEY = ("uploads", 3)


class Log:
    """A partition from ``low`` to ``high``."""

    def __init__(self, low: int, high: int) -> None:
        self.marks: tuple[int, int] | None = (low, high)
        self.given: int | None = 0
        self.started: list[int] = []
        self.refuses = False

    def get_watermark_offsets(self, _: TopicPartition, *, timeout: float) -> tuple[int, int] | None:
        return self.marks

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        if self.given is None:
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG))
        self.given = None

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        if self.refuses:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.given = places[0].offset
        self.started.append(places[0].offset)


def begun(log: Log, stray: Stray, metrics: Metrics | None = None, *, latest: bool = False) -> Beginning:
    return begin_again(cast("Consumer", log), stray, metrics or Metrics(), latest=latest)


@pytest.mark.parametrize(("latest", "start"), [(False, 8), (True, 20)])
def test_a_group_that_reads_for_the_first_time(latest: bool, start: int) -> None:
    """From the beginning, or as it is set; that is no loss."""
    log = Log(8, 20)
    with capture_logs() as lines:
        assert begun(log, Stray(KEY), latest=latest) is Beginning.FIRST
    assert log.started == [start]
    assert [(line["event"], line["events"]) for line in lines] == [("read_from_the_beginning", 20 - start)]


@pytest.mark.parametrize("latest", [False, True])
def test_what_retention_took_is_counted(latest: bool) -> None:
    """With the partition and the offsets; reading goes on with what is left, also where only new events were wanted."""
    log, metrics = Log(50, 80), Metrics()
    with capture_logs() as lines:
        assert begun(log, Stray(KEY, 20), metrics, latest=latest) is Beginning.EXPIRED
    assert log.started == [50]
    assert metrics.registry.get_sample_value("iqa_expired_events_total", {"topic": "uploads"}) == 30
    (line,) = lines
    assert (line["log_level"], line["partition"], line["from_offset"], line["to_offset"]) == ("error", 3, 20, 49)


def test_a_topic_made_anew_is_read_from_its_beginning() -> None:
    """Its place lies beyond the end."""
    log = Log(0, 4)
    assert begun(log, Stray(KEY, 500)) is Beginning.REMADE
    assert log.started == [0]


def test_a_late_answer_for_the_old_topic_begins_nothing_anew() -> None:
    """Seen on a real broker: reading stops all the same, and goes on where it is in the new topic."""
    log = Log(0, 20)
    assert begun(log, Stray(KEY, 284, reads=19)) is Beginning.STALE
    assert log.started == [19]
    assert begun(log, Stray(KEY, 19, reads=19)) is Beginning.REMADE
    assert log.started == [19, 0]


def test_a_moment_that_does_not_suit_is_tried_again() -> None:
    """No answer, or a group that changes: the partition is not lost for that."""
    log = Log(0, 4)
    log.marks = None
    with pytest.raises(BrokerError, match="uploads/3"):
        begun(log, Stray(KEY))
    log.marks, log.refuses = (0, 4), True
    with pytest.raises(BrokerError, match="now"):
        begun(log, Stray(KEY))
    log.refuses = False
    assert begun(log, Stray(KEY)) is Beginning.FIRST
    assert log.started == [0]
