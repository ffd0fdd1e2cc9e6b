"""Where reading begins when the place to go on from is not there: and what was lost on the way is said aloud.

librdkafka's own answer (``auto.offset.reset``) passes over what retention has taken, or what a topic made anew no longer holds,
without a word. So it is told to raise an error instead, and the answer is given here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from worker.errors import BrokerError
from worker.stream.ledger import Partition
from worker.telemetry.metrics import Metrics

__all__ = ["Beginning", "begin_again"]

log = structlog.get_logger()

ASK_S = 5.0
NO_OFFSET = -1


class Beginning(Enum):
    """Why reading began anew."""

    FIRST = auto()
    EXPIRED = auto()
    REMADE = auto()


def begin_again(
    consumer: Consumer, message: Message, metrics: Metrics, *, latest: bool, resume: Callable[[Partition], None]
) -> Beginning:
    """Go on after the error ``_AUTO_OFFSET_RESET``: at the first record that there is, or with ``latest`` after the last.

    Args:
        consumer: whose partition it is.
        message: the error, with the partition and the offset that was asked for.
        metrics: count what was lost.
        latest: for a group that reads a partition for the first time, only what is new.
        resume: called with the partition before it is read again.

    Raises:
        BrokerError: the broker does not say where the partition begins.

    """
    key = (message.topic() or "", message.partition() or 0)
    asked = message.offset()
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(*key), timeout=ASK_S) or (None, None)
    except KafkaException as error:
        raise BrokerError(f"the beginning of {key[0]}/{key[1]} is not known: {error.args[0].str()}") from error
    if low is None or high is None:
        raise BrokerError(f"the beginning of {key[0]}/{key[1]} is not known")
    beginning = _why(asked, low)
    start = high if latest and beginning is Beginning.FIRST else low
    if beginning is Beginning.EXPIRED and asked is not None:
        metrics.expired.labels(key[0]).inc(low - asked)
        log.error("events_expired", topic=key[0], partition=key[1], from_offset=asked, to_offset=low - 1, events=low - asked)
    elif beginning is Beginning.REMADE:
        log.error("topic_remade", topic=key[0], partition=key[1], asked_for=asked, begins=low, ends=high)
    # A seek is refused in this state: the partition is given back and taken again, from its beginning.
    consumer.incremental_unassign([TopicPartition(*key)])
    consumer.incremental_assign([TopicPartition(*key, start)])
    resume(key)
    return beginning


def _why(asked: int | None, low: int) -> Beginning:
    if asked is None or asked <= NO_OFFSET:
        return Beginning.FIRST
    return Beginning.EXPIRED if asked < low else Beginning.REMADE
