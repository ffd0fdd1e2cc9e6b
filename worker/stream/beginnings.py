"""Where reading begins when the place to go on from is not there: and what was lost on the way is said aloud.

librdkafka's own answer (``auto.offset.reset``) passes over what retention has taken, or what a topic made anew no longer holds,
without a word. So it is told to raise an error instead, and the answer is given here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.stream.ledger import Partition
from worker.telemetry.metrics import Metrics

__all__ = ["Beginning", "Stray", "begin_again"]

log = structlog.get_logger()

ASK_S = 1.0
"""The thread that consumes waits for that: a partition without a leader must not hold up the others."""
NO_OFFSET = -1


class Beginning(Enum):
    """Why reading began anew."""

    FIRST = auto()
    EXPIRED = auto()
    REMADE = auto()
    STALE = auto()


@dataclass(frozen=True)
class Stray:
    """A partition whose place is not there.

    Attributes:
        asked: the offset that was asked for, if any.
        reads: where it is read now, if it was begun anew; a complaint of another place is one of before.

    """

    partition: Partition
    asked: int | None = None
    reads: int | None = None


def begin_again(consumer: Consumer, stray: Stray, metrics: Metrics, *, latest: bool) -> Beginning:
    """Go on at the first record that there is, or with ``latest`` after the last, and say what was lost.

    Args:
        consumer: whose partition it is.
        stray: the partition.
        metrics: count what was lost.
        latest: for a group that reads a partition for the first time, only what is new.

    Raises:
        BrokerError: the broker does not say where the partition begins, or this is no moment to read it anew.

    """
    key, asked = stray.partition, stray.asked
    if stray.reads is not None and asked != stray.reads:
        # The answer to a request of before came late; librdkafka has stopped reading all the same.
        _reassign(consumer, key, stray.reads)
        return Beginning.STALE
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(*key), timeout=ASK_S) or (None, None)
    except KafkaException as error:
        raise BrokerError(f"the beginning of {key[0]}/{key[1]} is not known: {error.args[0].str()}") from error
    if low is None or high is None:
        raise BrokerError(f"the beginning of {key[0]}/{key[1]} is not known")
    beginning = _why(asked, low)
    start = high if latest and beginning is Beginning.FIRST else low
    # A seek is refused in this state: the partition is given back and taken again, from its beginning.
    _reassign(consumer, key, start)
    if beginning is Beginning.EXPIRED and asked is not None:
        metrics.expired.labels(key[0]).inc(low - asked)
        log.error("events_expired", topic=key[0], partition=key[1], from_offset=asked, to_offset=low - 1, events=low - asked)
    elif beginning is Beginning.FIRST and high > low:
        told = "the group has no place here: new, deleted, or expired"
        log.warning("read_from_the_beginning", topic=key[0], partition=key[1], offset=start, events=high - start, told=told)
    elif beginning is Beginning.REMADE:
        log.error("topic_remade", topic=key[0], partition=key[1], asked_for=asked, begins=low, ends=high)
    return beginning


def _reassign(consumer: Consumer, key: Partition, start: int) -> None:
    with suppress(KafkaException):
        # Given back already, if the last try came only so far.
        consumer.incremental_unassign([TopicPartition(*key)])
    try:
        consumer.incremental_assign([TopicPartition(*key, start)])
    except KafkaException as error:
        raise BrokerError(f"{key[0]}/{key[1]} cannot be read anew now: {error.args[0].str()}") from error


def _why(asked: int | None, low: int) -> Beginning:
    if asked is None or asked <= NO_OFFSET:
        return Beginning.FIRST
    return Beginning.EXPIRED if asked < low else Beginning.REMADE
