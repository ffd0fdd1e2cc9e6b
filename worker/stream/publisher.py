"""Publishes what is finished, at least once: produce, wait until all replicas have it; then its offsets may be committed.

A crash between the two means that a few verdicts are published twice, never that one is missing. ``worker.stream.transactions``
makes the two steps one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.errors import BrokerError
from worker.stream.ledger import Entry, Ledger, Outgoing, Partition
from worker.telemetry.metrics import Metrics

__all__ = ["AtLeastOncePublisher", "Publisher", "PublisherThread"]

log = structlog.get_logger()

FLUSH_S = 30.0
TURN_S = 45.0
"""Longer than a publication takes, but for one that fails at every step."""

STUCK_S = 180.0
"""A publication that takes so long will not end: no bound of ours is half as long."""


class Publisher(Protocol):
    """Makes the records of finished entries durable."""

    commits_offsets: bool
    """Whether publishing commits the entries' offsets too; else the consumer does, afterwards."""

    def prepare(self) -> None:
        """Get ready, before anything is consumed.

        Raises:
            BrokerError: it cannot publish.

        """

    def publish(self, entries: Sequence[Entry]) -> None:
        """Publish all records in order, and mark each entry in the ledger whose records are all durable.

        Raises:
            BrokerError: not everything is durable; what is not marked may be published again.

        """


class AtLeastOncePublisher:
    """Produce, flush. Committing is the consumer's part, afterwards."""

    commits_offsets = False

    def __init__(self, producer: Producer, ledger: Ledger) -> None:
        self._producer = producer
        self._ledger = ledger

    def prepare(self) -> None:
        """Nothing to do."""

    def publish(self, entries: Sequence[Entry]) -> None:
        """See ``Publisher``."""
        failures: list[str] = []
        for entry in entries:
            waiting = len(entry.records)
            if not waiting:
                self._ledger.mark_published(entry)
            delivery = _Delivery(entry, waiting, self._ledger, failures)
            for record in entry.records:
                self._produce(record, delivery)
        if left := self._producer.flush(FLUSH_S):
            # What is given up here must not arrive after its second try: per-key order would suffer.
            self._producer.purge()
            self._producer.flush(1.0)
            raise BrokerError(f"the broker did not take {left} records within {FLUSH_S:.0f} s")
        if failures:
            raise BrokerError(f"{len(failures)} records were not published, the first because of: {failures[0]}")

    def _produce(self, record: Outgoing, delivery: _Delivery) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic, record.value, record.key, headers=list(record.headers), on_delivery=delivery
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                delivery.failures.append(error.args[0].str())
                return
            else:
                return


class _Delivery:
    """Counts the deliveries of one entry's records."""

    def __init__(self, entry: Entry, waiting: int, ledger: Ledger, failures: list[str]) -> None:
        self._entry, self._waiting, self._ledger = entry, waiting, ledger
        self.failures = failures

    def __call__(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.failures.append(error.str())
            return
        self._waiting -= 1
        if self._waiting == 0:
            self._ledger.mark_published(self._entry)


class PublisherThread:
    """Publishes what is finished every ``interval_s``, and whenever it is asked to."""

    def __init__(self, ledger: Ledger, publisher: Publisher, interval_s: float, metrics: Metrics) -> None:
        self._ledger = ledger
        self._publisher = publisher
        self._interval_s = interval_s
        self._metrics = metrics
        self._stop = threading.Event()
        self._last_turn = time.monotonic()
        # One publication at a time: the rebalance callback publishes too, from the poll thread.
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def commits_offsets(self) -> bool:
        """Whether what is published is committed already."""
        return self._publisher.commits_offsets

    def start(self) -> None:
        """Start publishing.

        Raises:
            BrokerError: the publisher cannot get ready.

        """
        self._publisher.prepare()
        self._last_turn = time.monotonic()
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs, and has come round lately."""
        return self._thread.is_alive() and time.monotonic() - self._last_turn < STUCK_S

    def publish_now(self, partitions: list[Partition] | None = None) -> bool:
        """Publish what is finished (of ``partitions``); false if the broker did not take it."""
        if not self._turn.acquire(timeout=TURN_S):
            # Whoever publishes now has not come back: the poll thread must not wait for ever.
            log.error("publisher_stuck", seconds=TURN_S)
            return False
        try:
            entries = self._ledger.finished(partitions)
            if not entries:
                return True
            try:
                with self._metrics.publish_seconds.time():
                    self._publisher.publish(entries)
            except BrokerError as error:
                self._metrics.publish_failures.inc()
                log.error("publish_failed", error=str(error), events=len(entries))
                return False
            return True
        finally:
            self._turn.release()

    def stop(self) -> bool:
        """Stop the thread, then publish what is left; false if the broker did not take it."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        return self.publish_now()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._last_turn = time.monotonic()
            self.publish_now()
