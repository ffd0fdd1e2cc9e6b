"""Partitions that have records and give none: whatever the reason, they stand still, and nobody else would say so.

A batch that cannot be unpacked, a sender's transaction that is never ended, a client that has stopped asking: the consumer
hears of the first once, of the others never. What tells them all is a position that stays where it is, before the log's end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

from worker.stream.ledger import Partition
from worker.telemetry.complaints import Complaints

__all__ = ["Stalls"]

LOOK_S = 3.0
PATIENCE_S = 60.0
"""A position that has not moved for so long, although there is more: longer than a broker's change of leaders takes."""


class Stalls:
    """Used by the thread that consumes; ``found`` by any. ``clock`` gives monotonic seconds."""

    def __init__(self, consumer: Consumer, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._clock = clock
        self._looked = clock()
        self._complaints = Complaints(clock)
        self._erred: set[Partition] = set()
        self._since: dict[Partition, tuple[int, float]] = {}
        self.found: tuple[Partition, ...] = ()
        """Partitions that stand still, as of the last look."""

    def note_error(self, partition: Partition) -> None:
        """Something is wrong with ``partition``: it may stand still before its first record was read."""
        self._erred.add(partition)

    def look(self, partitions: Collection[Partition]) -> None:
        """See which of ``partitions``, those that should give records, have moved."""
        now = self._clock()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        behind = self._behind(partitions)
        self._since = {
            key: (position, now if key not in self._since or self._since[key][0] != position else self._since[key][1])
            for key, position in behind.items()
        }
        self._erred &= behind.keys()
        self.found = tuple(sorted(key for key, (_, since) in self._since.items() if now - since >= PATIENCE_S))
        for key in self.found:
            told = "it has records and gives none: a batch that cannot be unpacked, or a transaction that nobody ends"
            self._complaints.say("partition_stands_still", f"{key[0]}/{key[1]}", offset=behind[key], told=told)

    def _behind(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Positions that lie before the end of their partition."""
        behind = {}
        with suppress(KafkaException, RuntimeError):
            for place in self._consumer.position([TopicPartition(*key) for key in partitions]):
                key = (place.topic, place.partition)
                marks = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
                # Before its first record a partition has no position: then only an error tells that there should be one.
                if marks and max(place.offset, 0) < marks[1] and (place.offset >= 0 or key in self._erred):
                    behind[key] = max(place.offset, 0)
        return behind
