"""Publishes what is finished, exactly once: records and consumed offsets in one Kafka transaction.

Readers that read committed records see a verdict once, whatever dies when: either the transaction is there with its offsets, or
neither is. A worker that has lost its partitions without knowing is refused by the broker, since offsets travel with the
generation of its consumer group (KIP-447). A commit whose answer never came is looked up before anything is published again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import structlog
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from worker.errors import BrokerError, IqaError
from worker.stream.ledger import Entry, Ledger, Outgoing, Partition
from worker.stream.publisher import produce_record
from worker.stream.refusals import TOPIC_CODES, ClosedTopicError, RefusedError, refusal
from worker.telemetry.traces import NO_TRACING, LaneTracing

__all__ = ["CommittedOffsets", "TransactionalPublisher", "committed_offsets"]

log = structlog.get_logger()

CALL_S = 5.0
"""The longest that a single call may take; retriable ones are called again until the bound is used up."""

OFFSETS_S = 8.0
"""For the group's coordinator to take offsets."""

GRACE_S = 1.0
"""Beyond its bound, for a call that should have come back by itself."""

PENDING_S = 10.0
"""For a pending transaction to end: as long as one that a dead worker has left open."""

ASK_AGAIN_S = 0.05

# Another producer has begun under the same transactional id.
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}  # noqa: SLF001

CommittedOffsets = Callable[[Sequence[Partition]], dict[Partition, int]]


def committed_offsets(admin: AdminClient, group_id: str) -> CommittedOffsets:
    """Asks the broker for a group's committed offsets, pending transactions awaited; absent ones are left out.

    While a transaction is pending the broker has an error in place of its partitions' offsets. That is no absent offset:
    what an unanswered commit has done would be published again.

    Raises (what is given):
        KafkaException: the broker refuses, or a transaction stays pending for long.
        TimeoutError: it does not answer.

    """

    def ask(partitions: Sequence[Partition]) -> dict[Partition, int]:
        wanted = ConsumerGroupTopicPartitions(group_id, [TopicPartition(*partition) for partition in partitions])
        end, pause = time.monotonic() + PENDING_S, threading.Event()
        while True:
            (future,) = admin.list_consumer_group_offsets([wanted], require_stable=True, request_timeout=CALL_S).values()
            found = future.result(2 * CALL_S).topic_partitions
            wrong = next((place.error for place in found if place.error is not None), None)
            if wrong is None:
                return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}
            if wrong.code() != KafkaError.UNSTABLE_OFFSET_COMMIT or time.monotonic() >= end:
                raise KafkaException(wrong)
            pause.wait(ASK_AGAIN_S)

    return ask


class TransactionalPublisher:
    """One transaction per publication. Not thread-safe: ``PublisherThread`` calls it from one thread at a time.

    Args:
        make_producer: a new producer with a transactional id; the same id every time, so that a new one ends what an old one
            left open.
        group: the consumer's group metadata, as of now.
        committed: looks up what an unanswered commit has done.
        ledger: entries are marked there once their transaction is committed.
        bound_s: the longest that one publication may take.
        on_fenced: called when somebody else has begun to publish under the same transactional id.
        on_end: called with how a transaction ended (``committed``, ``aborted``, ``unanswered``, ``left_behind``), and with the
            records and partitions that it wrote.
        closed_topics: topics that take nothing now; asked when a transaction fails for a topic, and no record tells which.
        tracing: is told of records and commits.

    """

    commits_offsets = True

    def __init__(
        self,
        make_producer: Callable[[], Producer],
        group: Callable[[], Any],
        committed: CommittedOffsets,
        ledger: Ledger,
        bound_s: float = 20.0,
        on_fenced: Callable[[], None] = lambda: None,
        on_end: Callable[[str, int, int], None] = lambda *_: None,
        closed_topics: Callable[[], Collection[str]] = lambda: (),
        tracing: LaneTracing = NO_TRACING,
    ) -> None:
        self._make_producer = make_producer
        self._group = group
        self._committed = committed
        self._ledger = ledger
        self._bound_s = bound_s
        self._on_fenced = on_fenced
        self._on_end = on_end
        self._closed_topics = closed_topics
        self._tracing = tracing
        self._producer: Producer | None = None
        self._unanswered: list[Entry] = []
        self._unanswered_offsets: dict[Partition, int] = {}

    def prepare(self) -> None:
        """Get ready to publish; called at the start, so that a broker without transactions is told then.

        Raises:
            BrokerError: the broker is away or refuses.

        """
        self._ready(time.monotonic() + self._bound_s)

    def publish(self, entries: Sequence[Entry]) -> None:
        """See ``Publisher``: all or nothing."""
        end = time.monotonic() + self._bound_s
        producer = self._ready(end)
        # Taken first: a partition that is lost from now on travels with the generation in which it was ours, and is refused.
        group = self._group()
        entries = self._without_answered(entries)
        if not entries:
            return
        with _Sent(self._tracing) as sent:
            self._transact(producer, group, entries, sent, end)

    def _transact(self, producer: Producer, group: Any, entries: Sequence[Entry], sent: _Sent, end: float) -> None:
        try:
            producer.begin_transaction()
            for entry in entries:
                for record in entry.records:
                    sent.produce(producer, entry, record, end)
            if sent.failures:
                raise KafkaException(sent.failures[0][2])  # noqa: TRY301 - one way out of a transaction that failed
            places = [TopicPartition(*partition, offset) for partition, offset in _offsets(entries).items()]
            if places:
                sent.committing = self._tracing.commit(entries)
                self._send_offsets(producer, places, group, end)
        except (KafkaException, BufferError, RefusedError, RuntimeError) as error:
            self._abort(error, end)
            raise self._given_up(sent, entries, f"a transaction of {len(entries)} events was given up", error) from error
        self._commit(producer, entries, sent, end)

    def _send_offsets(self, producer: Producer, places: list[TopicPartition], group: Any, end: float) -> None:
        """Add the consumed offsets to the transaction.

        librdkafka may wait for ever here, whatever time it is given, if connections break at the wrong moment
        (https://github.com/confluentinc/librdkafka/issues/5456). So the call runs beside this thread, and a producer that does
        not come back is left behind: its successor, by its transactional id, ends what it had begun and fences it.
        """
        end = min(end, time.monotonic() + OFFSETS_S)

        def send() -> None:
            _until(end, lambda left: producer.send_offsets_to_transaction(places, group, left))

        try:
            _beside(send, max(0.1, end - time.monotonic()) + GRACE_S)
        except TimeoutError as error:
            log.error("producer_left_behind", call="send_offsets_to_transaction")
            self._producer = None
            self._on_end("left_behind", 0, 0)
            raise BrokerError("the group's coordinator took no offsets in time; another producer takes over") from error

    def _given_up(self, sent: _Sent, entries: Sequence[Entry], what: str, error: Exception) -> BrokerError:
        """Why a transaction did not come about: a record's fault or a topic's, if it is one; else what happened."""
        if isinstance(error, RefusedError):
            return error
        return refusal(sent.failures) or self._closed(entries, error) or BrokerError(f"{what}: {_told(error)}")

    def _closed(self, entries: Sequence[Entry], error: Exception) -> ClosedTopicError | None:
        """The topic that is to blame, if one is: a missing right shows as partitions are added, and its records are silent."""
        # Told by the next call, if it comes as one is under way.
        codes = TOPIC_CODES | {KafkaError._STATE}  # noqa: SLF001 - the library's own name
        if not isinstance(error, KafkaException) or error.args[0].code() not in codes:
            return None
        wanted = {record.topic for entry in entries for record in entry.records}
        try:
            shut = sorted(wanted.intersection(self._closed_topics()))
        except BrokerError:
            return None
        return ClosedTopicError(f"topic {shut[0]} takes nothing: {_told(error)}", shut[0]) if shut else None

    def _commit(self, producer: Producer, entries: Sequence[Entry], sent: _Sent, end: float) -> None:
        try:
            _until(end, producer.commit_transaction)
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                self._abort(error, end)
            else:
                self._note_fence(error)
                # It may have been committed: a new producer ends the transaction one way or the other, and then we look.
                self._unanswered, self._unanswered_offsets = list(entries), _offsets(entries)
                self._producer = None
                self._on_end("unanswered", 0, 0)
            raise self._given_up(sent, entries, f"a transaction of {len(entries)} events was not committed", error) from error
        self._on_end("committed", sum(len(entry.records) for entry in entries), len(sent.partitions))
        self._ledger.mark_published(*entries)

    def _ready(self, end: float) -> Producer:
        if self._producer is None:
            try:
                producer = self._make_producer()
                _until(end, producer.init_transactions)
            except (KafkaException, IqaError, RuntimeError) as error:
                # Settings are read again here, from files that may be away for a moment: a thread must not die of that.
                raise BrokerError(
                    f"transactions cannot begin: {_told(error)}; check the broker, or set IQA_KAFKA__DELIVERY=at_least_once"
                ) from error
            self._producer = producer
        if self._unanswered:
            self._look_up()
        return self._producer

    def _look_up(self) -> None:
        """Mark what an unanswered commit has published after all.

        A transaction is all or nothing: one of its offsets that stands as it was sent tells for all. A larger one tells
        nothing: it may be of an older topic of that name.
        """
        sent = self._unanswered_offsets
        try:
            found = self._committed(list(sent))
        except (KafkaException, TimeoutError) as error:
            raise BrokerError(f"committed offsets cannot be looked up: {error}") from error
        done = self._unanswered if any(found.get(partition) == offset for partition, offset in sent.items()) else []
        log.warning("commit_looked_up", published=len(done), again=len(self._unanswered) - len(done))
        self._unanswered = []
        self._ledger.mark_published(*done)

    def _without_answered(self, entries: Sequence[Entry]) -> list[Entry]:
        """``entries`` may have been chosen before ``_look_up`` marked some of them."""
        still = {id(entry) for entry in self._ledger.finished()}
        return [entry for entry in entries if id(entry) in still]

    def _abort(self, error: Exception, end: float) -> None:
        """Leave no transaction open; a producer that cannot even abort is replaced."""
        self._on_end("aborted", 0, 0)
        self._note_fence(error)
        fatal = isinstance(error, KafkaException) and error.args[0].fatal()
        if self._producer is not None and not fatal:
            try:
                _until(max(end, time.monotonic() + CALL_S), self._producer.abort_transaction)
            except KafkaException as failure:
                log.warning("abort_failed", error=_told(failure))
            else:
                return
        log.warning("producer_replaced", error=_told(error))
        self._producer = None

    def _note_fence(self, error: Exception) -> None:
        if isinstance(error, KafkaException) and error.args[0].code() in _FENCED:
            log.error("producer_fenced", told="another one runs under this IQA_KAFKA__TRANSACTIONAL_ID; each needs its own")
            self._on_fenced()


class _Sent:
    """What one transaction has sent: where to, and what has become of it so far. Its end is that of the commit's span."""

    def __init__(self, tracing: LaneTracing) -> None:
        self._tracing = tracing
        self.committing = NO_TRACING.commit(())
        self.failures: list[tuple[Entry, Outgoing, KafkaError]] = []
        self.partitions: set[Partition] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.committing.end(error)

    def produce(self, producer: Producer, entry: Entry, record: Outgoing, end: float) -> None:
        """Hand a record over; a queue that is full is waited for until ``end``.

        Raises:
            BufferError: it is still full.
            RefusedError: it is no record that can be sent.

        """

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failures.append((entry, record, error))
            else:
                self.partitions.add((message.topic() or "", message.partition() or 0))

        while not produce_record(producer, record, delivered, self.failures, entry, self._tracing):
            if time.monotonic() >= end:
                raise BufferError("the producer's queue is full")
            producer.poll(0.1)


def _offsets(entries: Sequence[Entry]) -> dict[Partition, int]:
    """The next offset to read of every partition in ``entries``, which come in the order of their offsets."""
    return {entry.partition: entry.offset + 1 for entry in entries if entry.commits}


def _until(end: float, call: Callable[[float], object]) -> None:
    """Call, with a time-out in seconds, again and again while the failure is one that may pass.

    Raises:
        KafkaException: it does not pass, or time is up.

    """
    while True:
        left = end - time.monotonic()
        try:
            call(max(0.1, min(CALL_S, left)))
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() >= end:
                raise
        else:
            return


def _beside(call: Callable[[], None], timeout_s: float) -> None:
    """Run ``call`` in a thread of its own.

    Raises:
        TimeoutError: it has not come back within ``timeout_s``; its thread goes on, and nobody waits for it.
        Exception: what ``call`` raised.

    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    done.result(timeout_s)


def _told(error: Exception) -> str:
    found = error.args[0] if error.args else error
    return found.str() if isinstance(found, KafkaError) else str(found)
