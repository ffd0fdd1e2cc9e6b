"""Publishes what is finished, at least once: produce, wait until all replicas have it; then its offsets may be committed.

A crash between the two means that a few verdicts are published twice, never that one is missing. ``worker.stream.transactions``
makes the two steps one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from worker.errors import BrokerError
from worker.stream.ledger import Entry, Ledger, Outgoing
from worker.stream.refusals import RefusedError, refusal
from worker.telemetry.traces import NO_TRACING, LaneTracing

__all__ = ["AtLeastOncePublisher", "Publisher", "produce_record"]

FLUSH_S = 30.0


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
            RefusedError: a record is refused for good; sent again, it would be refused again.
            ClosedTopicError: one of the topics takes nothing.
            BrokerError: not everything is durable; what is not marked may be published again.

        """


class AtLeastOncePublisher:
    """Produce, flush. Committing is the consumer's part, afterwards."""

    commits_offsets = False

    def __init__(self, make_producer: Callable[[], Producer], ledger: Ledger, tracing: LaneTracing = NO_TRACING) -> None:
        self._make_producer = make_producer
        self._tracing = tracing
        self._ledger = ledger
        self._producer: Producer | None = None

    def prepare(self) -> None:
        """Make the producer; the broker is not asked."""
        self._producer = self._producer or self._make_producer()

    def publish(self, entries: Sequence[Entry]) -> None:
        """See ``Publisher``."""
        producer = self._producer or self._make_producer()
        self._producer = producer
        failures: list[tuple[Entry, Outgoing, KafkaError]] = []
        for entry in entries:
            waiting = {id(record) for record in entry.records}
            if not waiting:
                self._ledger.mark_published(entry)
            for record in entry.records:
                delivered = partial(self._delivered, entry, record, waiting, failures)
                while not produce_record(producer, record, delivered, failures, entry, self._tracing):
                    producer.poll(0.1)
        left = producer.flush(FLUSH_S)
        if left:
            # What is given up here must not arrive after its second try: per-key order would suffer.
            producer.purge()
            producer.flush(1.0)
        if found := refusal(failures):
            raise found
        if left:
            raise BrokerError(f"the broker did not take {left} records within {FLUSH_S:.0f} s")
        if failures:
            raise BrokerError(f"{len(failures)} records were not published, the first because of: {failures[0][2].str()}")

    def _delivered(
        self,
        entry: Entry,
        record: Outgoing,
        waiting: set[int],
        failures: list[tuple[Entry, Outgoing, KafkaError]],
        error: KafkaError | None,
        _: Message,
    ) -> None:
        if error is not None:
            failures.append((entry, record, error))
            return
        waiting.discard(id(record))
        if not waiting:
            self._ledger.mark_published(entry)


def produce_record(
    producer: Producer,
    record: Outgoing,
    delivered: Callable[[KafkaError | None, Message], None],
    failures: list[tuple[Entry, Outgoing, KafkaError]],
    entry: Entry,
    tracing: LaneTracing = NO_TRACING,
) -> bool:
    """Hand one record to the producer; false if its queue is full. What it refuses by itself is added to ``failures``.

    Raises:
        RefusedError: it cannot be written down as a record at all.

    """
    sending = tracing.send(record)

    def answered(error: KafkaError | None, message: Message) -> None:
        sending.end(error, message)
        delivered(error, message)

    try:
        producer.produce(record.topic, record.value, record.key, headers=sending.headers, on_delivery=answered)
    except BufferError:
        return False
    except KafkaException as error:
        sending.end(error.args[0], None)
        failures.append((entry, record, error.args[0]))
    except (TypeError, ValueError, OverflowError) as error:
        raise RefusedError(f"a record for {record.topic} cannot be sent: {error}", type(error).__name__, entry) from error
    return True
