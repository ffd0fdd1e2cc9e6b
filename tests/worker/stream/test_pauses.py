"""A partition gives nothing as long as there is one reason left."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Consumer, TopicPartition

from worker.stream.ledger import Partition
from worker.stream.pauses import Pauses

A: Partition = ("t", 0)
B: Partition = ("t", 1)


class Consuming:
    """What is paused, as librdkafka keeps it: beyond the loss of a partition."""

    def __init__(self) -> None:
        self.paused: set[Partition] = set()
        self.calls = 0

    def pause(self, places: list[TopicPartition]) -> None:
        self.calls += 1
        self.paused |= {(place.topic, place.partition) for place in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self.calls += 1
        self.paused -= {(place.topic, place.partition) for place in places}


def made() -> tuple[Pauses, Consuming]:
    consumer = Consuming()
    return Pauses(cast("Consumer", consumer)), consumer


def test_reasons_add_up() -> None:
    """The last to go lets it go on; what is held already is not paused again, since pausing throws away what was fetched."""
    pauses, consumer = made()
    pauses.hold("crowded", [A])
    pauses.hold("waiting", [A])
    pauses.hold("crowded", [A])
    assert (consumer.paused, consumer.calls) == ({A}, 1)
    pauses.release("crowded", [A, B])
    assert consumer.paused == {A}
    assert (pauses.held("crowded"), pauses.held("waiting")) == (set(), {A})
    pauses.release("waiting", [A])
    assert (consumer.paused, consumer.calls) == (set(), 2)


def test_all_are_held_also_those_to_come() -> None:
    """And afterwards those stay held that have a reason of their own."""
    pauses, consumer = made()
    pauses.hold("waiting", [A])
    pauses.hold_all("breaker", [A])
    pauses.begin([B])
    assert consumer.paused == {A, B}
    pauses.hold_all("bytes", [A, B])
    pauses.release_all("breaker", [A, B])
    assert pauses.holds_all("bytes")
    assert consumer.paused == {A, B}
    pauses.release_all("bytes", [A, B])
    assert consumer.paused == {A}


def test_what_comes_back_has_no_old_reasons() -> None:
    """It was somebody else's meanwhile; the library's own memory of the pause is undone."""
    pauses, consumer = made()
    pauses.hold("crowded", [A])
    pauses.forget([A])
    assert consumer.paused == {A}
    pauses.begin([A])
    assert consumer.paused == set()
    pauses.release("crowded", [A])
    assert pauses.held("crowded") == set()
