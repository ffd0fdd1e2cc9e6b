"""A consumer loop that reads each partition up to an end, and leaves alone what lies behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer

from worker.stream.consumer import ConsumerLoop
from worker.stream.incoming import Record
from worker.stream.ledger import Ledger, Partition
from worker.stream.pauses import Pauses
from worker.stream.waiting import WaitingRoom

__all__ = ["Ends", "RangeLoop"]

REASON = "ended"


class Ends(WaitingRoom):
    """Puts records from the end on back, for good. Used by the thread that consumes, and by no other.

    Args:
        consumer: whose partitions they are.
        pauses: hold partitions that have ended.
        ledger: is told where a partition's reading has ended: marks of transactions may lie between that and its last record.
        ends: the offset behind the last record that is meant, by partition. Others have none: they were added later.

    """

    def __init__(self, consumer: Consumer, pauses: Pauses, ledger: Ledger, ends: Mapping[Partition, int]) -> None:
        super().__init__(consumer, pauses, {})
        self._held = pauses
        self._ledger = ledger
        self._ends = ends
        self._first: dict[Partition, int] = {}
        """Of each partition that has ended, the first offset that was put back, until it is in the ledger."""
        self._ended: set[Partition] = set()

    def keeps(self, record: Record) -> bool:
        """Whether ``record`` lies at the end of what is meant, or behind it."""
        key = (record.topic, record.partition)
        if key in self._ended:
            return True
        if record.offset < self._ends.get(key, 0):
            return False
        self._ended.add(key)
        self._first[key] = record.offset
        self._held.hold(REASON, [key])
        return True

    def owes(self, partition: Partition) -> bool:
        """Whether records of ``partition`` were put back: the consumer's position is ahead of what is done."""
        return partition in self._ended

    def release(self) -> None:
        """Have the ends committed where all before them is done."""
        for key in [key for key in self._first if self._ledger.is_idle(key)]:
            self._ledger.mark(key, self._first.pop(key))

    def forget(self, partitions: Iterable[Partition]) -> None:
        """These belong to somebody else now."""
        for partition in partitions:
            self._ended.discard(partition)
            self._first.pop(partition, None)


class RangeLoop(ConsumerLoop):
    """Reads up to ``ends``; the rest as its base."""

    def __init__(self, consumer: Consumer, *parts: Any, ends: Mapping[Partition, int], **more: Any) -> None:
        # A partition without a place was added after the start: from its beginning, whatever new groups do elsewhere.
        super().__init__(consumer, *parts, **(more | {"latest": False}))
        self._waiting = Ends(consumer, self._pauses, self._ledger, ends)
