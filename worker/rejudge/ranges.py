"""From which offset of each partition to which: asked when a rejudge begins, and looked at until its group is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from worker.errors import BrokerError
from worker.rejudge.wanted import Wanted

__all__ = ["Range", "committed", "find_ranges", "left", "place_group"]

log = structlog.get_logger()

CALL_S = 20.0
"""Longer than a transaction that a killed process left open: until it is over its offsets are not told."""


@dataclass(frozen=True)
class Range:
    """Offsets of a partition from ``start`` on, before ``end``."""

    start: int
    end: int


def find_ranges(consumer: Consumer, topic: str, wanted: Wanted) -> dict[int, Range]:
    """What lies in each partition from the first record of ``wanted.since`` or later on, up to now.

    Not up to the first one of ``wanted.until``: a sender's clock may be ahead, and what comes after its record is meant all the
    same. Each record's own time tells.

    Raises:
        BrokerError: the broker is away, or there is no such topic.

    """
    try:
        numbers = _partitions(consumer, topic)
        lows, highs = dict[int, int](), dict[int, int]()
        for number in numbers:
            lows[number], highs[number] = consumer.get_watermark_offsets(TopicPartition(topic, number), CALL_S)
        starts = _at(consumer, topic, highs, wanted.since_ms)
    except KafkaException as error:
        raise BrokerError(f"topic {topic}: {error.args[0].str()}") from error
    return {number: Range(max(lows[number], starts[number]), highs[number]) for number in numbers}


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=CALL_S).topics[topic]
    if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise BrokerError(f"topic {topic} does not exist; run `iqa topics create`")
    if found.error is not None:
        raise KafkaException(found.error)
    return sorted(found.partitions)


def _at(consumer: Consumer, topic: str, highs: Mapping[int, int], when_ms: int) -> dict[int, int]:
    """Of each partition the first offset that was written at ``when_ms`` or later; its end if there is none."""
    asked = [TopicPartition(topic, number, when_ms) for number in highs]
    found = consumer.offsets_for_times(asked, timeout=CALL_S)
    return {place.partition: place.offset if place.offset >= 0 else highs[place.partition] for place in found}


def committed(consumer: Consumer, topic: str, numbers: Iterable[int], timeout_s: float = CALL_S) -> dict[int, int]:
    """Where the consumer's group is, by partition; negative where it has no place.

    Raises:
        BrokerError: the broker is away or refuses.

    """
    try:
        found = consumer.committed([TopicPartition(topic, number) for number in numbers], timeout=timeout_s)
    except KafkaException as error:
        raise BrokerError(f"the group's offsets are not known: {error.args[0].str()}") from error
    return {place.partition: place.offset for place in found}


def place_group(consumer: Consumer, topic: str, ranges: Mapping[int, Range]) -> dict[int, int]:
    """Put the consumer's group at the start of each range where it has no place yet; gives its places.

    The broker takes that only while the group has no members: nobody who works already is set back.

    Raises:
        BrokerError: the broker is away or refuses.

    """
    known = committed(consumer, topic, ranges)
    missing = [TopicPartition(topic, number, ranges[number].start) for number, offset in known.items() if offset < 0]
    if not missing:
        return known
    try:
        consumer.commit(offsets=missing, asynchronous=False)
    except KafkaException as error:
        # Somebody with the same arguments was quicker. What has no place even so is read from its beginning, and passed over.
        log.info("rejudge_joins_others", error=error.args[0].str())
    return committed(consumer, topic, ranges)


def left(ranges: Mapping[int, Range], places: Mapping[int, int]) -> int:
    """Offsets that lie between the group's places and the ends."""
    return sum(max(0, each.end - max(each.start, places.get(number, -1))) for number, each in ranges.items())
