"""A partition that has records and gives none is told, whatever the reason."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from structlog.testing import capture_logs

from worker.stream.ledger import Partition
from worker.stream.stalls import LOOK_S, PATIENCE_S, Stalls

A: Partition = ("t", 0)
B: Partition = ("t", 1)


class Places:
    """Positions and ends, as a client knows them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.positions: dict[Partition, int] = {A: 5, B: 9}
        self.ends: dict[Partition, int] = {A: 9, B: 9}
        self.places: dict[Partition, int] = {A: 5, B: 9}
        self.asked = 0
        self.fails = False
        self.stalls = Stalls(cast("Consumer", self), lambda: self.now)
        self.fresh: dict[Partition, int] = {}

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        if self.fails:
            raise KafkaException(KafkaError(KafkaError._STATE))
        return [TopicPartition(p.topic, p.partition, self.positions[p.topic, p.partition]) for p in places]

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool = False, timeout: float = 0) -> tuple[int, int]:
        assert cached or timeout
        return 0, self.ends[place.topic, place.partition]

    def committed(self, places: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        assert timeout
        self.asked += 1
        return [TopicPartition(p.topic, p.partition, self.places[p.topic, p.partition]) for p in places]

    def look(self, seconds: float) -> tuple[Partition, ...]:
        self.now += seconds
        self.fresh = self.stalls.look([A, B])
        return tuple(sorted(self.stalls.found))


@pytest.fixture
def places() -> Places:
    return Places()


def test_a_position_that_stays_before_the_end(places: Places) -> None:
    """Told after half a minute, once a minute; one that moves is alive again, however far behind."""
    assert places.look(LOOK_S) == ()
    assert places.look(PATIENCE_S - 1) == ()
    with capture_logs() as lines:
        assert places.look(LOOK_S) == (A,)
        assert places.fresh == {A: 5}
        assert places.look(LOOK_S) == (A,)
        assert places.fresh == {}
    assert [line["error"] for line in lines] == ["t/0"]
    places.positions[A] = 6
    assert places.look(LOOK_S) == ()
    places.positions[A] = 9
    assert places.look(2 * PATIENCE_S) == ()


def test_one_that_is_held_is_not_asked_for(places: Places) -> None:
    """It gives nothing because nothing is wanted; its time begins anew afterwards."""
    places.look(LOOK_S)
    places.now += PATIENCE_S
    places.stalls.look([B])
    assert places.look(LOOK_S) == ()


@pytest.mark.parametrize(("place", "stands"), [(5, 5), (-1001, 0), (9, None), (12, None)])
def test_before_the_first_record_the_broker_is_asked(places: Places, place: int, stands: int | None) -> None:
    """A partition whose place is its end has no position either. Every half minute, and one at a time."""
    places.positions[A], places.places[A] = -1001, place
    places.look(LOOK_S)
    assert places.asked == 0
    assert places.look(PATIENCE_S) == (() if stands is None else (A,))
    assert places.fresh == ({} if stands is None else {A: stands})
    places.look(LOOK_S)
    assert (places.asked, places.fresh) == (1, {})
    places.positions[A] = 9
    assert places.look(LOOK_S) == ()


def test_a_client_that_does_not_answer_is_no_stall(places: Places) -> None:
    """While it closes, say."""
    places.look(LOOK_S)
    places.fails = True
    assert places.look(PATIENCE_S) == ()
