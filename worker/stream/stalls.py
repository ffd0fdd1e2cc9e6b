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
ASK_S = 1.0
PATIENCE_S = 30.0
"""A position that has not moved for so long, although there is more: longer than a broker's change of leaders takes."""


class Stalls:
    """Used by the thread that consumes; ``found`` by any. ``clock`` gives monotonic seconds."""

    def __init__(self, consumer: Consumer, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._clock = clock
        self._looked = clock()
        self._complaints = Complaints(clock)
        self._since: dict[Partition, tuple[int, float]] = {}
        self._asked: dict[Partition, float] = {}
        """Partitions without a position, each with when the broker was asked about it, or when it was first seen so."""
        self._starts: dict[Partition, int] = {}
        """Of those, what the broker has said: the place of partitions that have records."""
        self.found: dict[Partition, int] = {}
        """Partitions that stand still, with the offset that they stand at, as of the last look."""

    def look(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """See which of ``partitions``, those that should give records, have moved; gives those newly found to stand still."""
        now, known = self._clock(), self.found
        if now - self._looked < LOOK_S:
            return {}
        self._looked = now
        behind = self._behind(partitions)
        self._since = {
            key: (position, now if key not in self._since or self._since[key][0] != position else self._since[key][1])
            for key, position in behind.items()
        }
        still = {key: at for key, (at, since) in self._since.items() if now - since >= PATIENCE_S or key in self._starts}
        self.found = still
        for key, offset in still.items():
            told = "it has records and gives none: it is read anew; else see receive.message.max.bytes, and open transactions"
            self._complaints.say("partition_stands_still", f"{key[0]}/{key[1]}", offset=offset, told=told)
        return {key: offset for key, offset in still.items() if known.get(key) != offset}

    def _behind(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Positions that lie before the end of their partition."""
        behind, silent = {}, set()
        with suppress(KafkaException, RuntimeError):
            for place in self._consumer.position([TopicPartition(*key) for key in partitions]):
                key = (place.topic, place.partition)
                marks = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
                if place.offset < 0:
                    silent.add(key)
                elif marks and place.offset < marks[1]:
                    behind[key] = place.offset
        self._asked = {key: self._asked.get(key, self._clock()) for key in silent}
        self._starts = {key: start for key, start in self._starts.items() if key in silent}
        self._ask_about_one()
        return behind | self._starts

    def _ask_about_one(self) -> None:
        """Before its first record a partition has no position: the broker knows where it should be read, and whether it can."""
        due = [key for key, asked in self._asked.items() if self._clock() - asked >= PATIENCE_S]
        for key in due[:1]:
            self._asked[key] = self._clock()
            self._starts.pop(key, None)
            with suppress(KafkaException, RuntimeError):
                (place,) = self._consumer.committed([TopicPartition(*key)], timeout=ASK_S)
                marks = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=ASK_S)
                if marks and max(place.offset, marks[0]) < marks[1]:
                    self._starts[key] = max(place.offset, marks[0])
