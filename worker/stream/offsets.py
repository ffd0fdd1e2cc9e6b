"""What is committed: published prefixes where no transaction does it, and the position of partitions that are idle.

Only for the thread that consumes: a commit from another one starves while that one waits for records.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from worker.stream.ledger import Entry, Ledger, Partition
from worker.telemetry.traces import NO_TRACING, Committing, LaneTracing

__all__ = ["Offsets"]

log = structlog.get_logger()

IDLE_S = 3.0
"""Between looks for partitions whose position is ahead of what is committed."""

MOST_COMMITTING = 100
"""Commits without an answer whose spans are kept open."""

# The group is changing. What stays here is committed again afterwards; what goes is read again by its new owner.
_MOVED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
}


class Offsets:
    """Commits, and what has become of them.

    Args:
        consumer: whose group takes the commits.
        ledger: knows what is published.
        in_transactions: whether publishing commits it already.
        tracing: is told of commits.

    """

    def __init__(self, consumer: Consumer, ledger: Ledger, *, in_transactions: bool, tracing: LaneTracing = NO_TRACING) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._in_transactions = in_transactions
        self._tracing = tracing
        self._committing: dict[frozenset[tuple[str, int, int]], Committing] = {}
        self._unconfirmed: dict[Partition, int] = {}
        self._refused: dict[Partition, int] = {}
        self._idle_at: dict[Partition, int] = {}
        self._begun: set[Partition] = set()
        """Partitions that are read from their first record on, since their topic was made anew."""
        self._looked = time.monotonic()

    @property
    def refused(self) -> bool:
        """Whether some commit was not taken."""
        return bool(self._refused)

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The broker's answer to a commit; librdkafka calls this from within ``consume``."""
        if error is not None and error.code() not in _MOVED:
            log.warning("commit_failed", error=error.str())
        if committing := self._committing.pop(_places(partitions), None):
            committing.end(error or next((place.error for place in partitions if place.error), None))
        for partition in partitions:
            key = (partition.topic, partition.partition)
            if self._unconfirmed.get(key) != partition.offset:
                # A later offset of the same partition is on its way, or the partition was given away.
                continue
            del self._unconfirmed[key]
            if error is not None or partition.error is not None:
                self._refused[key] = partition.offset

    def commit(self, partitions: list[Partition] | None = None, *, wait: bool = False) -> None:
        """Commit what is published, and let the ledger go of it."""
        prefix = self._ledger.published(partitions)
        if self._in_transactions:
            self._ledger.confirm(prefix)
            return
        # Before partitions are given up, what was sent and not yet answered is sent once more.
        offsets = (self._unconfirmed if wait else {}) | self._refused | prefix.offsets
        self._refused = {}
        self._send(offsets, prefix.entries, wait=wait)
        self._ledger.confirm(prefix)

    def mark_idle(self, partitions: Iterable[Partition], owes: Callable[[Partition], bool]) -> None:
        """Have the position committed where nothing is in flight: markers of transactions lie there, and lag would not reach 0.

        It goes the way of all results, in order with them: a commit of its own could arrive after a later one's transaction.
        Not where a record was put back (``owes``): the position is ahead of it.
        """
        if time.monotonic() - self._looked < IDLE_S:
            return
        self._looked = time.monotonic()
        idle = [key for key in partitions if self._ledger.is_idle(key) and not owes(key)]
        if not idle:
            return
        try:
            found = self._consumer.position([TopicPartition(*key) for key in idle])
        except KafkaException as error:
            log.info("position_unknown", error=error.args[0].str())
            return
        places = {(place.topic, place.partition): place.offset for place in found if place.offset > 0}
        # An old place may have been committed just before the topic was known to be new, and would outlive this worker.
        places = dict.fromkeys(self._begun.intersection(idle), 0) | places
        news = {key: offset for key, offset in places.items() if self._idle_at.get(key) != offset}
        self._idle_at |= news
        for key, offset in news.items():
            self._ledger.mark(key, offset)

    def forget(self, partition: Partition) -> None:
        """It was given away. The broker takes a commit from any member: tried again now, it would set the new owner back."""
        self._unconfirmed.pop(partition, None)
        self._refused.pop(partition, None)
        self._idle_at.pop(partition, None)
        self._begun.discard(partition)

    def begin(self, partition: Partition, *, anew: bool) -> None:
        """It is read from another place; ``anew``, of a new topic: then what is committed means nothing, and must not stay."""
        self.forget(partition)
        if anew:
            self._begun.add(partition)

    def _send(self, offsets: dict[Partition, int], entries: Sequence[Entry], *, wait: bool) -> None:
        if not offsets:
            return
        self._unconfirmed |= offsets
        places = [TopicPartition(*key, offset) for key, offset in offsets.items()]
        if len(self._committing) >= MOST_COMMITTING:
            self._committing.clear()  # a broker that never answers is told of elsewhere
        self._committing[_places(places)] = self._tracing.commit(entries)
        try:
            if wait:
                self.on_commit(None, self._consumer.commit(offsets=places, asynchronous=False))
            else:
                self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:
            self.on_commit(error.args[0], places)


def _places(partitions: Iterable[TopicPartition]) -> frozenset[tuple[str, int, int]]:
    return frozenset((place.topic, place.partition, place.offset) for place in partitions)
