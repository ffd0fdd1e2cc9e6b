"""The consumer loop: polls all the time, does no work itself, hands records to the pool.

Promises: nothing is taken beyond the bounds on count and bytes; offsets are committed only through the ledger; revoked
partitions are drained within a budget and their finished prefix is published before they are given up; partitions that were
lost are forgotten at once, since somebody else owns them already.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from worker.errors import BrokerError
from worker.settings import WorkerSettings
from worker.stream.breaker import CircuitBreaker
from worker.stream.incoming import Record, read_record
from worker.stream.ledger import Entry, Ledger, Partition
from worker.stream.publisher import PublisherThread
from worker.stream.waiting import WaitingRoom
from worker.telemetry.metrics import Metrics

__all__ = ["ConsumerLoop", "Handler"]

log = structlog.get_logger()

Handler = Callable[[Record, Entry], None]
"""Works on one record and finishes its entry; never raises."""

BATCH = 100
POLL_S = 0.1
SUSTAINED_S = 2.0
"""Pressure must last this long before partitions are paused: pausing throws away what was prefetched."""

SETTLE_S = 5.0
"""For a changing group to take the last commits; members hear of a change with their next heartbeat, within three seconds."""

# The group is changing. What stays here is committed again afterwards; what goes is read again by its new owner.
_MOVED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
}


class ConsumerLoop:
    """One consumer, driven by one thread: the one that calls ``run``."""

    def __init__(
        self,
        consumer: Consumer,
        topics: list[str],
        ledger: Ledger,
        publisher: PublisherThread,
        pool: Executor,
        handler: Handler,
        settings: WorkerSettings,
        metrics: Metrics,
        delays_s: Mapping[str, float] | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._consumer = consumer
        self._waiting = WaitingRoom(consumer, delays_s or {})
        self._breaker = breaker or CircuitBreaker()
        self._topics = topics
        self._ledger = ledger
        self._publisher = publisher
        self._pool = pool
        self._handler = handler
        self._settings = settings
        self._metrics = metrics
        self._stop = threading.Event()
        self._paused = False
        self._full_since: float | None = None
        self._unconfirmed: dict[Partition, int] = {}
        self._refused: dict[Partition, int] = {}
        self._assigned: set[Partition] = set()
        self.group_metadata: Any = None
        """Generation and member of the group, as of the last turn, for transactions. The thread that consumes asks for it: to
        another one the answer does not come while this one waits for records."""
        self.last_poll = time.monotonic()
        """When the loop last went round (monotonic seconds)."""
        self.joined = False
        """Whether the group has given an assignment, be it an empty one."""
        self.unpublished = 0
        """After ``run``: events that were taken and given back, since the drain's budget was over."""

    def stop(self) -> None:
        """Ask the loop to end; safe from signal handlers and other threads."""
        self._stop.set()

    @property
    def taking(self) -> bool:
        """Whether it takes events: not while it stops, nor while its circuit breaker is open."""
        return not (self._stop.is_set() or self._breaker.open)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def run(self) -> None:
        """Consume until ``stop``, then drain within the budget and leave the group.

        Raises:
            BrokerError: the consumer met a fatal error; what was in flight is read again by whoever takes over.

        """
        self._consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        try:
            while not self._stop.is_set():
                self.last_poll = time.monotonic()
                self._turn()
        finally:
            self._drain(None)
            self._publisher.stop()
            self._commit(wait=True)
            self._settle()
            self.unpublished = self._ledger.count
            self._consumer.close()

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The broker's answer to a commit; librdkafka calls this from within ``consume``."""
        if error is not None and error.code() not in _MOVED:
            log.warning("commit_failed", error=error.str())
        for partition in partitions:
            key = _key(partition)
            if self._unconfirmed.get(key) != partition.offset:
                # A later offset of the same partition is on its way, or the partition was given away.
                continue
            del self._unconfirmed[key]
            if error is not None or partition.error is not None:
                self._refused[key] = partition.offset

    def _commit(self, partitions: list[Partition] | None = None, *, wait: bool = False) -> None:
        """Commit what is published. Only from this thread: a commit from another one starves while this one consumes."""
        prefix = self._ledger.published(partitions)
        if self._publisher.commits_offsets:
            self._ledger.confirm(prefix)
            return
        # Before partitions are given up, what was sent and not yet answered is sent once more.
        offsets = (self._unconfirmed if wait else {}) | self._refused | prefix.offsets
        if not offsets:
            return
        self._refused = {}
        self._unconfirmed |= offsets
        places = [TopicPartition(*key, offset) for key, offset in offsets.items()]
        try:
            if wait:
                self.on_commit(None, self._consumer.commit(offsets=places, asynchronous=False))
            else:
                self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:
            self.on_commit(error.args[0], places)
        self._ledger.confirm(prefix)

    def _settle(self) -> None:
        """Take part in a group that refuses the last commits because it is changing, until it takes them.

        Whoever stops as others do would leave work behind that was done and published. Records that come meanwhile are dropped:
        they are in no ledger, so nobody commits them.
        """
        end = time.monotonic() + SETTLE_S
        while self._refused and time.monotonic() < end:
            self._consumer.consume(BATCH, POLL_S)
            self._commit(wait=True)

    def _turn(self) -> None:
        settings = self._settings
        self._note_group()
        room = self._ledger.wait_for_room(settings.max_in_flight, settings.max_in_flight_bytes, 0 if self._paused else POLL_S)
        self._metrics.breaker.set(int(self._breaker.open))
        self._metrics.in_flight.set(self._ledger.count)
        self._metrics.in_flight_bytes.set(self._ledger.bytes)
        self._commit()
        self._relieve(room=room)
        self._waiting.release(resume=not self._paused)
        if not room and not self._paused:
            return
        for message in self._consumer.consume(max(1, min(BATCH, settings.max_in_flight - self._ledger.count)), POLL_S):
            self._take(message)

    def _relieve(self, *, room: bool) -> None:
        """Pause under sustained pressure; go on once half of the bound is free."""
        if self._paused:
            if not self._breaker.open and self._ledger.wait_for_room(
                self._settings.max_in_flight // 2 + 1, self._settings.max_in_flight_bytes // 2 + 1, 0
            ):
                self._consumer.resume(self._waiting.without_waiting(self._consumer.assignment()))
                self._set_paused(paused=False)
        elif self._breaker.open:
            log.error("breaker_open", told="most events fail in this worker: it takes no more for now; see event_failed")
            self._consumer.pause(self._consumer.assignment())
            self._set_paused(paused=True)
        elif room:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = time.monotonic()
        elif time.monotonic() - self._full_since > SUSTAINED_S:
            self._consumer.pause(self._consumer.assignment())
            self._set_paused(paused=True)

    def _set_paused(self, *, paused: bool) -> None:
        self._paused = paused
        self._full_since = None
        self._metrics.paused.set(int(paused))
        log.info("paused" if paused else "resumed", in_flight=self._ledger.count)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            _check(error)
            return
        record = read_record(message)
        if self._waiting.keeps(record):
            return
        entry = self._ledger.add((record.topic, record.partition), record.offset, record.size)
        self._metrics.events.inc()
        self._pool.submit(self._handler, record, entry)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        consumer.incremental_assign(partitions)
        self._assigned |= {_key(partition) for partition in partitions}
        if self._paused:
            consumer.pause(partitions)
        else:
            # librdkafka remembers a pause beyond the loss of a partition: what comes back paused would never be read again.
            consumer.resume(partitions)
        self._note("assigned", partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drain([_key(partition) for partition in partitions])
        consumer.incremental_unassign(partitions)
        self._note("revoked", partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._ledger.forget([_key(partition) for partition in partitions])
        consumer.incremental_unassign(partitions)
        self._note("lost", partitions)

    def _note(self, event: str, partitions: list[TopicPartition]) -> None:
        if event != "assigned":
            self._waiting.forget(map(_key, partitions))
            for key in map(_key, partitions):
                self._assigned.discard(key)
                # The broker takes a commit from any member: tried again now, it would set the new owner back.
                self._unconfirmed.pop(key, None)
                self._refused.pop(key, None)
        # Counted here: while the consumer closes, it may refuse to tell its assignment, and close would raise that.
        self._metrics.assigned.set(len(self._assigned))
        log.info("partitions", change=event, partitions=[f"{p.topic}/{p.partition}" for p in partitions])

    def _note_group(self) -> None:
        """What the group was last still holds where it can no longer be asked: librdkafka refuses while a consumer closes.

        An exception within a rebalance callback would come out of ``close`` as a ``SystemError``, with the rest undone.
        """
        with suppress(RuntimeError):
            self.group_metadata = self._consumer.consumer_group_metadata()

    def _drain(self, partitions: list[Partition] | None) -> None:
        """Let what runs finish within the budget, publish the finished prefix, forget the rest."""
        self._note_group()
        self._ledger.cancel_queued(partitions)
        drained = self._ledger.wait_idle(self._settings.drain_timeout_s, partitions)
        published = self._publisher.publish_now(partitions)
        self._commit(partitions, wait=True)
        if not (drained and published):
            log.warning("drain_incomplete", finished=drained, published=published)
        if partitions is not None:
            self._ledger.forget(partitions)


def _key(partition: TopicPartition) -> Partition:
    return partition.topic, partition.partition


def _check(error: KafkaError) -> None:
    """Errors in the stream: most pass by themselves; librdkafka goes on trying.

    Raises:
        BrokerError: this one does not.

    """
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
        return
    if error.fatal():
        raise BrokerError(f"the consumer cannot go on: {error.str()}") from KafkaException(error)
    log.warning("consumer_error", error=error.str(), retriable=error.retriable())
