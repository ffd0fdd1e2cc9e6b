"""Nothing is raised within a rebalance callback, and every partition is held or not, as the group says."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from worker.stream.assignments import give_back, take


class Client:
    """Refuses a whole list if one of it is held already, or is not, as librdkafka does."""

    def __init__(self, *held: int) -> None:
        self.held = set(held)

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        numbers = {place.partition for place in places}
        if numbers & self.held:
            raise KafkaException(KafkaError(KafkaError._CONFLICT))
        self.held |= numbers

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        numbers = {place.partition for place in places}
        if not numbers <= self.held:
            raise KafkaException(KafkaError(KafkaError._INVALID_ARG))
        self.held -= numbers


PLACES = [TopicPartition("uploads", number) for number in (1, 2)]


def test_partitions_that_are_held_already_are_taken() -> None:
    """And all others with them: one of them refused the whole assignment, and the thread ended."""
    for held in ((), (1,), (1, 2)):
        client = Client(*held)
        take(cast("Consumer", client), PLACES)
        assert client.held == {1, 2}


def test_partitions_that_are_not_held_are_given_back() -> None:
    """And all others with them."""
    for held in ((1, 2), (2,), ()):
        client = Client(*held, 7)
        give_back(cast("Consumer", client), PLACES)
        assert client.held == {7}


def test_an_exception_of_a_callback_could_not_be_caught() -> None:
    """What ``consume`` raises then is no exception class."""
    assert not issubclass(KafkaError, BaseException)
