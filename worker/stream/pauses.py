"""Which partitions give nothing for now, and why. One that is held for several reasons goes on when the last is gone."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from worker.stream.ledger import Partition

__all__ = ["Pauses"]


class Pauses:
    """Used by the thread that consumes, and by no other."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._reasons: dict[Partition, set[str]] = {}
        self._everything: set[str] = set()
        """Reasons that hold every partition, also those that are yet to come."""

    def hold(self, reason: str, partitions: Iterable[Partition]) -> None:
        """Let ``partitions`` give nothing as long as ``reason`` lasts."""
        fresh = []
        for partition in partitions:
            if not self._held(partition):
                fresh.append(partition)
            self._reasons.setdefault(partition, set()).add(reason)
        self._pause(fresh)

    def release(self, reason: str, partitions: Iterable[Partition]) -> None:
        """``reason`` is gone for ``partitions``."""
        free = []
        for partition in partitions:
            reasons = self._reasons.get(partition, set())
            if reason in reasons:
                reasons.discard(reason)
                if not reasons:
                    del self._reasons[partition]
                if not self._held(partition):
                    free.append(partition)
        self._resume(free)

    def hold_all(self, reason: str, assigned: Iterable[Partition]) -> None:
        """Let no partition give anything; ``assigned`` are those that there are now."""
        fresh = [partition for partition in assigned if not self._held(partition)]
        self._everything.add(reason)
        self._pause(fresh)

    def release_all(self, reason: str, assigned: Iterable[Partition]) -> None:
        """``reason`` is gone for every partition."""
        if reason in self._everything:
            self._everything.discard(reason)
            self._resume([partition for partition in assigned if not self._held(partition)])

    def holds_all(self, reason: str) -> bool:
        """Whether every partition is held for ``reason``."""
        return reason in self._everything

    @property
    def holds_everything(self) -> bool:
        """Whether all partitions are held, for whatever reason."""
        return bool(self._everything)

    def held_at_all(self) -> set[Partition]:
        """The partitions that are held for a reason of their own, whichever it is."""
        return set(self._reasons)

    def held(self, reason: str) -> set[Partition]:
        """The partitions that are held for ``reason``, those held altogether left out."""
        return {partition for partition, reasons in self._reasons.items() if reason in reasons}

    def begin(self, partitions: Iterable[Partition]) -> None:
        """``partitions`` have just been assigned.

        librdkafka remembers a pause beyond the loss of a partition: what comes back paused would never be read again.
        """
        partitions = list(partitions)
        self.forget(partitions)
        if self._everything:
            self._pause(partitions)
        else:
            self._resume(partitions)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """These belong to somebody else now."""
        for partition in partitions:
            self._reasons.pop(partition, None)

    def _held(self, partition: Partition) -> bool:
        return bool(self._everything or self._reasons.get(partition))

    def _pause(self, partitions: list[Partition]) -> None:
        if partitions:
            self._consumer.pause([TopicPartition(*partition) for partition in partitions])

    def _resume(self, partitions: list[Partition]) -> None:
        if partitions:
            self._consumer.resume([TopicPartition(*partition) for partition in partitions])
