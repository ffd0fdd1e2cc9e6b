"""Takes partitions and gives them back from within a rebalance callback, where nothing may be raised.

What a callback raises comes out of ``consume`` as a ``KafkaError``, which is no exception class: no ``except`` catches it, and
the thread ends without a word of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

__all__ = ["give_back", "take"]

log = structlog.get_logger()


def take(consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
    """Read ``partitions`` from where the group is, whatever the client holds of them already."""
    try:
        consumer.incremental_assign(list(partitions))
    except KafkaException as error:
        log.error("assignment_refused", error=error.args[0].str())
        for partition in partitions:
            give_back(consumer, [partition])
            with suppress(KafkaException):
                consumer.incremental_assign([partition])


def give_back(consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
    """Read ``partitions`` no more; those that the client does not hold are given back already."""
    try:
        consumer.incremental_unassign(list(partitions))
    except KafkaException:
        for partition in partitions:
            with suppress(KafkaException):
                consumer.incremental_unassign([partition])
