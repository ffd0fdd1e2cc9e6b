"""Questions to the broker whose answers nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from worker.stream.ledger import Partition

__all__ = ["Answer", "Asking", "BrokerAsking", "answered"]

Answer = Future[Any]
CALL_S = 10.0


class Asking(Protocol):
    """Where partitions end, and where the group is."""

    def ends(self, partitions: Sequence[Partition]) -> dict[Partition, Answer]:
        """For each an answer with ``offset``: behind the last record that is committed."""

    def group(self, partitions: Sequence[Partition]) -> Answer:
        """An answer with ``topic_partitions``; an offset below 0 is no place."""


class BrokerAsking:
    """By an admin client."""

    def __init__(self, admin: AdminClient, group_id: str) -> None:
        self._admin, self._group_id = admin, group_id

    def ends(self, partitions: Sequence[Partition]) -> dict[Partition, Answer]:
        """See ``Asking``."""
        wanted = {TopicPartition(*key): OffsetSpec.latest() for key in partitions}  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=CALL_S)
        return {(place.topic, place.partition): future for place, future in asked.items()}

    def group(self, partitions: Sequence[Partition]) -> Answer:
        """See ``Asking``."""
        wanted = ConsumerGroupTopicPartitions(self._group_id, [TopicPartition(*key) for key in partitions])
        (future,) = self._admin.list_consumer_group_offsets([wanted], request_timeout=CALL_S).values()
        return future


def answered(answer: Answer) -> Any:
    """What was answered; ``None`` if it is not there yet, or the broker has refused."""
    return answer.result() if answer.done() and answer.exception() is None else None
