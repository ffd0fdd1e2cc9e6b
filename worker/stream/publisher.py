"""Publishes finished prefixes, at least once: produce, wait until all replicas have it, then commit the offsets.

A crash between the two means that a few verdicts are published twice, never that one is missing. The place of the
transactional publisher, which makes the two steps one, is behind the same ``Publisher`` protocol.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.errors import BrokerError
from worker.stream.ledger import Batch, Entry, Ledger, Outgoing, Partition
from worker.telemetry.metrics import Metrics

__all__ = ["AtLeastOncePublisher", "Committer", "Publisher", "PublisherThread"]

log = structlog.get_logger()

Committer = Callable[[dict[Partition, int]], None]
"""Commits the next offset to read of each partition; raises ``KafkaException``."""

FLUSH_S = 30.0

# The partition has moved on: its new owner reads from the last commit and publishes again. Nothing is lost.
_MOVED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._NO_OFFSET,  # noqa: SLF001 - the name that the library gives to "nothing new to commit"
}


class Publisher(Protocol):
    """Makes a batch's records and offsets durable, in whatever order the delivery guarantee asks for."""

    def publish(self, batch: Batch) -> None:
        """Publish and commit.

        Raises:
            BrokerError: not everything is durable; calling again with the same entries is safe.

        """


class AtLeastOncePublisher:
    """Produce, flush, commit."""

    def __init__(self, producer: Producer, commit: Committer) -> None:
        self._producer = producer
        self._commit = commit

    def publish(self, batch: Batch) -> None:
        """See ``Publisher``. Entries published before are not produced again: only their commit is repeated."""
        fresh = [entry for entry in batch.entries if not entry.published]
        failures: list[str] = []
        left = {id(entry): len(entry.records) for entry in fresh}
        for entry in fresh:
            entry.published = not entry.records
            for record in entry.records:
                self._produce(entry, record, left, failures)
        if left and self._producer.flush(FLUSH_S):
            raise BrokerError(f"the broker did not take {len(self._producer)} records within {FLUSH_S:.0f} s")
        if failures:
            raise BrokerError(f"{len(failures)} records were not published, the first because of: {failures[0]}")
        self._commit_offsets(batch)

    def _produce(self, entry: Entry, record: Outgoing, left: dict[int, int], failures: list[str]) -> None:
        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error.str())
                return
            left[id(entry)] -= 1
            entry.published = left[id(entry)] == 0

        while True:
            try:
                self._producer.produce(record.topic, record.value, record.key, headers=list(record.headers), on_delivery=delivered)
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                failures.append(error.args[0].str())
                return
            else:
                return

    def _commit_offsets(self, batch: Batch) -> None:
        try:
            self._commit(batch.offsets)
        except KafkaException as error:
            kafka_error = error.args[0]
            if kafka_error.code() not in _MOVED:
                raise BrokerError(f"offsets were not committed: {kafka_error.str()}") from error
            log.info("commit_after_move", error=kafka_error.str())


class PublisherThread:
    """Publishes the ledger's finished prefix every ``interval_s``, and whenever it is asked to."""

    def __init__(self, ledger: Ledger, publisher: Publisher, interval_s: float, metrics: Metrics) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._interval_s = interval_s
        self._metrics = metrics
        self._stop = threading.Event()
        # One publication at a time: the rebalance callback publishes too, from the poll thread.
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Start publishing."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def publish_now(self, partitions: list[Partition] | None = None) -> bool:
        """Publish what is finished (of ``partitions``); false if the broker did not take it."""
        with self._turn:
            batch = self._ledger.finished(partitions)
            if not batch:
                return True
            try:
                with self._metrics.publish_seconds.time():
                    self._publisher.publish(batch)
            except BrokerError as error:
                self._metrics.publish_failures.inc()
                log.error("publish_failed", error=str(error), events=len(batch.entries))
                return False
            self._ledger.confirm(batch)
            return True

    def stop(self) -> bool:
        """Stop the thread, then publish what is left; false if the broker did not take it."""
        self._stop.set()
        self._thread.join()
        return self.publish_now()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.publish_now()
