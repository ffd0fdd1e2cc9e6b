"""Where nothing is in flight, the consumer's position is what is done; but not where something was put back."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from worker.stream.ledger import Ledger, Partition
from worker.stream.offsets import Offsets

KEYS: list[Partition] = [("t", number) for number in range(4)]


class Positions:
    """A consumer that has read so far."""

    def __init__(self, *offsets: int) -> None:
        self.offsets = offsets
        self.fails = False

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        if self.fails:
            raise KafkaException(KafkaError(KafkaError._STATE))
        return [TopicPartition(place.topic, place.partition, self.offsets[place.partition]) for place in places]


def marked(ledger: Ledger) -> dict[Partition, int]:
    """What would be committed now; it is."""
    for entry in ledger.finished():
        ledger.mark_published(entry)
    prefix = ledger.published()
    ledger.confirm(prefix)
    return prefix.offsets


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.stream.offsets.IDLE_S", 0.0)


def test_positions_of_idle_partitions_are_marked_once() -> None:
    """Not of busy ones, of ones where a record waits for its time, nor where nothing was read yet."""
    ledger, consumer = Ledger(), Positions(7, 8, 9, -1001)
    offsets = Offsets(cast("Consumer", consumer), ledger, in_transactions=True)
    busy = ledger.add(KEYS[1], 7, 1)
    offsets.mark_idle(KEYS, lambda key: key == KEYS[2])
    assert marked(ledger) == {KEYS[0]: 7}
    offsets.mark_idle(KEYS, lambda _: False)
    assert marked(ledger) == {KEYS[2]: 9}
    assert ledger.begin(busy)
    ledger.finish(busy, [])
    assert marked(ledger) == {KEYS[1]: 8}
    offsets.mark_idle(KEYS, lambda _: False)
    assert marked(ledger) == {KEYS[1]: 8}
    offsets.mark_idle(KEYS, lambda _: False)
    assert marked(ledger) == {}


def test_a_partition_given_away_is_begun_anew() -> None:
    """What its next owner committed is not known here."""
    ledger, consumer = Ledger(), Positions(7)
    offsets = Offsets(cast("Consumer", consumer), ledger, in_transactions=True)
    offsets.mark_idle(KEYS[:1], lambda _: False)
    assert marked(ledger) == {KEYS[0]: 7}
    offsets.forget(KEYS[0])
    offsets.mark_idle(KEYS[:1], lambda _: False)
    assert marked(ledger) == {KEYS[0]: 7}


def test_a_position_that_is_not_told_is_asked_for_again() -> None:
    """A closing consumer may refuse."""
    ledger, consumer = Ledger(), Positions(7)
    offsets = Offsets(cast("Consumer", consumer), ledger, in_transactions=False)
    consumer.fails = True
    offsets.mark_idle(KEYS[:1], lambda _: False)
    assert marked(ledger) == {}
    consumer.fails = False
    offsets.mark_idle(KEYS[:1], lambda _: False)
    assert marked(ledger) == {KEYS[0]: 7}


def test_an_old_place_does_not_outlive_its_topic() -> None:
    """Its topic was made anew, and no record has come yet: the beginning is committed, once; then where it was read to."""
    ledger, consumer = Ledger(), Positions(-1001)
    offsets = Offsets(cast("Consumer", consumer), ledger, in_transactions=True)
    offsets.begin(KEYS[0], anew=True)
    offsets.mark_idle(KEYS[:1], lambda _: False)
    assert marked(ledger) == {KEYS[0]: 0}
    offsets.mark_idle(KEYS[:1], lambda _: False)
    assert marked(ledger) == {}
    consumer.offsets = (3,)
    offsets.mark_idle(KEYS[:1], lambda _: False)
    assert marked(ledger) == {KEYS[0]: 3}
