"""Partitions of retry topics wait until their next record is due, each for itself; all others go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

from worker.stream.incoming import Record
from worker.stream.ledger import Partition
from worker.stream.pauses import Pauses
from worker.stream.retries import due_in_s

__all__ = ["WaitingRoom"]

REASON = "waiting"


class WaitingRoom:
    """Used by the thread that consumes, and by no other.

    Args:
        consumer: whose partitions are read again from where they wait.
        pauses: hold partitions, for this reason and others.
        delays_s: the longest wait by topic; records of other topics never wait.
        clock: monotonic seconds.

    """

    def __init__(
        self,
        consumer: Consumer,
        pauses: Pauses,
        delays_s: Mapping[str, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._pauses = pauses
        self._delays_s = dict(delays_s)
        self._clock = clock
        self._due: dict[Partition, float] = {}
        self._waited: dict[Partition, int] = {}
        """What lies before this offset has waited its time, whatever the clocks say."""
        self._owed: set[Partition] = set()
        """Where a record was read, put back and not read again yet."""

    def keeps(self, record: Record) -> bool:
        """Whether ``record`` must wait. It is read again when it is due, and so is all that came after it."""
        topic, number, offset = record.topic, record.partition, record.offset
        if topic not in self._delays_s:
            return False
        key = (topic, number)
        if key in self._due:
            # Read ahead with the one that waits: order is kept, since reading begins again there.
            return True
        longest = self._delays_s[topic]
        wait = due_in_s(record, longest)
        if wait <= 0 or offset < self._waited.get(key, 0):
            self._owed.discard(key)
            return False
        place = TopicPartition(topic, number, offset)
        self._pauses.hold(REASON, [key])
        self._consumer.seek(place)
        self._due[key] = self._clock() + wait
        self._owed.add(key)
        # A clock is wrong where a record claims the longest wait or more: all that is there by now is due together then,
        # instead of each after the one before.
        self._waited[key] = max(offset + 1, self._end(place) if wait >= longest else 0)
        return True

    def owes(self, partition: Partition) -> bool:
        """Whether something of ``partition`` was read and put back: the consumer's position is then ahead of what is done."""
        return partition in self._owed

    def _end(self, place: TopicPartition) -> int:
        """The offset behind the last record of the partition, as of the last fetch; 0 if it is not known."""
        with suppress(KafkaException):
            if offsets := self._consumer.get_watermark_offsets(place, cached=True):
                return offsets[1]
        return 0

    def release(self) -> None:
        """Let go of the partitions that are due."""
        now = self._clock()
        ready = [key for key, due in self._due.items() if due <= now]
        for key in ready:
            del self._due[key]
        self._pauses.release(REASON, ready)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """These belong to somebody else now."""
        for partition in partitions:
            self._due.pop(partition, None)
            self._waited.pop(partition, None)
            self._owed.discard(partition)
