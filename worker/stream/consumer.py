"""The consumer loop: polls all the time, does no work itself, hands records to the pool.

Promises: of each partition no more is taken than its share of the bounds on unfinished events and on bytes, and a partition
whose share is used up holds up nobody else; offsets are committed only through the ledger; revoked partitions are drained
within a budget and their finished prefix is published before they are given up; partitions that were lost are forgotten at
once, since somebody else owns them already; events that can no longer be read are counted and told of.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from worker.errors import BrokerError
from worker.settings import WorkerSettings
from worker.stream.asking import Asking
from worker.stream.assignments import give_back, take
from worker.stream.beginnings import Beginning, Stray, begin_again
from worker.stream.breaker import CircuitBreaker
from worker.stream.clients import check
from worker.stream.gauges import LaneGauges
from worker.stream.incoming import Record, read_record
from worker.stream.laps import Laps
from worker.stream.ledger import Entry, Ledger, Partition
from worker.stream.offsets import Offsets
from worker.stream.pauses import Pauses
from worker.stream.pool import HostPool
from worker.stream.pressure import BATCH, Pressure
from worker.stream.publisher_thread import PublisherThread
from worker.stream.stalls import Stalls
from worker.stream.waiting import WaitingRoom
from worker.telemetry.complaints import Complaints
from worker.telemetry.metrics import LaneMetrics
from worker.telemetry.traces import NO_TRACING, LaneTracing, Polling

__all__ = ["ConsumerLoop", "Handler"]

log = structlog.get_logger()

Handler = Callable[[Record, Entry], None]
"""Works on one record and finishes its entry; never raises."""

POLL_S = 0.1
SETTLE_S = 5.0
"""For a changing group to take the last commits; members hear of a change with their next heartbeat, within three seconds."""
CLOSE_S = 5.0
"""Beyond the drain's budget, for the last publication and to leave the group."""
STRAY_S = 5.0
"""Between tries to find a partition's beginning."""
ABANDON_S = 1.0
"""For each step of an end after a fatal error: nothing that takes longer would be taken by the broker any more."""


class ConsumerLoop:
    """One consumer, driven by one thread: the one that calls ``run``.

    Args:
        consumer: not subscribed yet.
        topics: what it follows.
        ledger: where entries are kept.
        publisher: publishes what is finished.
        pool: carries the handler.
        handler: works on a record.
        settings: bounds and budgets.
        metrics: of the lane.
        delays_s: topics whose records wait, with the longest wait.
        breaker: is asked whether to take anything.
        latest: whether a group without a place in a partition begins at its end.
        asking: the broker, for what is shown of lag.
        tracing: is told of calls for records, and of commits.
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: list[str],
        ledger: Ledger,
        publisher: PublisherThread,
        pool: HostPool,
        handler: Handler,
        settings: WorkerSettings,
        metrics: LaneMetrics,
        delays_s: Mapping[str, float] | None = None,
        breaker: CircuitBreaker | None = None,
        *,
        latest: bool = False,
        asking: Asking | None = None,
        tracing: LaneTracing = NO_TRACING,
    ) -> None:
        self._consumer = consumer
        self._pauses = Pauses(consumer)
        self._pressure = Pressure(ledger, self._pauses, settings, metrics)
        self._waiting = WaitingRoom(consumer, self._pauses, delays_s or {})
        self._offsets = Offsets(consumer, ledger, in_transactions=publisher.commits_offsets, tracing=tracing)
        self._breaker = breaker or CircuitBreaker()
        self._topics = topics
        self._ledger = ledger
        self._publisher = publisher
        self._pool = pool
        self._handler = handler
        self._settings = settings
        self._metrics = metrics
        self._gauges = LaneGauges(consumer, ledger, metrics, asking=asking, latest=latest, delays_s=delays_s)
        self._laps = Laps(metrics.note_time)
        self._latest = latest
        self._tracing = tracing
        self._complaints = Complaints()
        self._stalls = Stalls(consumer)
        self._stop = threading.Event()
        self._stop_by = float("inf")
        self._assigned: set[Partition] = set()
        self._strays: dict[Partition, Stray] = {}
        """Partitions whose place is not there any more, until a beginning is found for them."""
        self._not_before: dict[Partition, float] = {}  # when those whose beginning could not be found are tried again
        self._begun: dict[Partition, float] = {}  # when each partition was assigned or begun anew (monotonic seconds)
        self._anew: set[Partition] = set()
        self._next: dict[Partition, int] = {}  # the offset after each one's last record
        self._remade: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self.group_metadata: Any = None
        """Generation and member of the group, as of the last turn, for transactions. The thread that consumes asks for it: to
        another one the answer does not come while this one waits for records."""
        self.member_id = ""  # its name within the group, as of the last turn
        self.last_poll = time.monotonic()  # when the loop last went round (monotonic seconds)
        self.joined = False  # whether the group has given an assignment, be it an empty one
        self.unpublished = 0  # after ``run``: events that were worked on, and whose results were not published in time
        self.on_assigned: Callable[[], None] = lambda: None  # called within each assignment

    def stop(self, budget_s: float | None = None) -> None:
        """Ask the loop to end; safe from signal handlers and other threads. The drain's budget (default: as set) begins now."""
        if not self._stop.is_set():
            self._stop_by = time.monotonic() + (self._settings.drain_timeout_s if budget_s is None else budget_s)
            self._stop.set()

    def topic_remade(self, topic: str, known_at: float) -> None:
        """A topic has another id than at ``known_at`` (monotonic seconds). Safe from other threads; ``stop`` is to follow.

        Of partitions that were begun before, what is in flight was of the old topic: it is published, and the beginning of the
        new topic is committed, for another client to go on from (see ``TopicRemadeError``).
        """
        self._remade.put((topic, known_at))

    @property
    def taking(self) -> bool:
        """Whether it takes events: not while it stops, nor while its circuit breaker is open."""
        return not (self._stop.is_set() or self._breaker.open)

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    @property
    def standing_still(self) -> bool:
        """Whether a partition has had records for half a minute and given none, though nothing holds it."""
        return bool(self._stalls.found)

    @property
    def assigned(self) -> int:
        """Partitions that this consumer has now."""
        return len(self._assigned)

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
        except BaseException:
            self._abandon()
            raise
        self._leave_old_topics()
        self._drain(None)
        self._publisher.stop(self._left(CLOSE_S))
        self._offsets.commit(wait=True)
        self._settle()
        self.unpublished = self._ledger.begun
        self._close(self._left(CLOSE_S))

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The broker's answer to a commit; librdkafka calls this from within ``consume``."""
        self._offsets.on_commit(error, partitions)

    def _left(self, more: float = 0.0) -> float:
        """Seconds that the drain, and ``more`` after it, may still take."""
        return max(0.0, min(self._settings.drain_timeout_s, self._stop_by - time.monotonic()) + more)

    def _settle(self) -> None:
        """Take part in a group that refuses the last commits because it is changing, until it takes them.

        Whoever stops as others do would leave work behind that was done and published. Records that come meanwhile are dropped:
        they are in no ledger, so nobody commits them.
        """
        end = time.monotonic() + min(SETTLE_S, self._left(CLOSE_S))
        while self._offsets.refused and time.monotonic() < end:
            self._consumer.consume(BATCH, POLL_S)
            self._offsets.commit(wait=True)

    def _close(self, timeout_s: float) -> None:
        """Leave the group; a broker that does not answer is not waited for beyond the budget."""
        self._gauges.close()
        closing = threading.Thread(target=self._consumer.close, name="close", daemon=True)
        closing.start()
        closing.join(timeout_s)
        if closing.is_alive():
            log.warning("close_left_behind", seconds=round(timeout_s, 1))

    def _abandon(self) -> None:
        """End without a drain: nothing of what is in flight would be taken any more."""
        self._stop.set()
        self.unpublished = self._ledger.begun
        self._ledger.forget_all()
        self._publisher.stop(ABANDON_S)
        self._close(ABANDON_S)

    def _turn(self) -> None:
        self._note_group()
        self._laps.lap("other")
        self._pressure.wait(POLL_S)
        self._laps.lap("room")
        self._metrics.shared.breaker.set(int(self._breaker.open))
        self._gauges.turn(self._assigned)
        self._offsets.commit()
        self._offsets.mark_idle(self._assigned - self._strays.keys(), self._waiting.owes)
        self._find_beginnings()
        if not self._pauses.holds_everything:
            # Not where a record was put back: the position is ahead of it, and reading from there would lose it.
            reading = self._assigned - self._strays.keys() - self._pauses.held_at_all()
            should_give = {key for key in reading if not self._waiting.owes(key)}
            for key, offset in self._stalls.look(should_give).items():
                # A client that has stopped asking begins again; where something else is wrong, nothing is lost by it.
                self._strays[key] = Stray(key, reads=offset)
        self._pressure.relieve(self._assigned, breaker=self._breaker.open)
        self._waiting.release()
        self._laps.lap("other")
        with self._tracing.poll() as polling:
            messages = self._consumer.consume(self._pressure.batch(self._assigned), POLL_S)
            self._laps.lap("records")
            for message in messages:
                self._take(message, polling)
        self._laps.lap("hand_out")

    def _take(self, message: Message, polling: Polling) -> None:
        error = message.error()
        if error is not None:
            polling.fail(error)
            self._heed(error, message)
            return
        record = read_record(message)
        origin = polling.add(record)
        key = (record.topic, record.partition)
        # What was given away within this batch is another's: judged here too, it would be judged twice.
        if key not in self._assigned:
            return
        if self._waiting.keeps(record):
            self._gauges.put_back(record)
            return
        if self._ledger.goes_back(key, record.offset) or record.offset < self._next.get(key, 0):
            self._orphan(key, f"offsets went back to {record.offset}", anew=record.offset == 0)
        self._pressure.note(record.size)
        entry = self._ledger.add(key, record.offset, record.size, record.born_s, record.written_s)
        entry.origin, self._next[key] = origin, record.offset + 1
        self._gauges.taken(record)
        self._pool.submit(lambda: self._handler(record, entry))

    def _heed(self, error: KafkaError, message: Message) -> None:
        """Errors in the stream: most pass by themselves; librdkafka goes on trying.

        Raises:
            BrokerError: this one does not.

        """
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - the library's own name
            key = (message.topic() or "", message.partition() or 0)
            # What was given away within this batch is another's: read here too, its events would be judged twice.
            if key in self._assigned:
                self._strays[key] = Stray(key, message.offset(), reads=self._next[key] or None if key in self._anew else None)
            return
        check(error)
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._complaints.say("consumer_error", error.str(), topic=message.topic(), retriable=error.retriable())

    def _find_beginnings(self) -> None:
        """Go on in partitions whose place is gone: expired, or of a topic that was made anew."""
        now = time.monotonic()
        for key, stray in list(self._strays.items()):
            if self._not_before.get(key, now) > now:
                continue
            try:
                why = begin_again(self._consumer, stray, self._metrics.shared, latest=self._latest)
            except BrokerError as error:
                self._complaints.say("beginning_unknown", str(error), topic=key[0], partition=key[1])
                # One question that is not answered in a turn: all others wait for the turn's end.
                self._not_before[key] = now + STRAY_S
                return
            del self._strays[key]
            self._not_before.pop(key, None)
            self._waiting.forget([key])
            self._gauges.begin(key)
            self._pauses.begin([key])
            if why is Beginning.STALE:
                continue
            self._anew.discard(key)
            self._offsets.begin(key, anew=False)
            if why is Beginning.REMADE:
                self._orphan(key, "published, offsets not committed", anew=True)

    def _orphan(self, key: Partition, told: str, *, anew: bool) -> None:
        if events := self._ledger.orphan([key]):
            log.error("orphans", topic=key[0], partition=key[1], events=events, told=told)
        if anew:
            self._begun[key], self._next[key] = time.monotonic(), 0
            self._anew.add(key)
            self._offsets.begin(key, anew=True)

    def _leave_old_topics(self) -> None:
        while not self._remade.empty():
            topic, known_at = self._remade.get()
            # Others read the new topic already: their place was beyond its end, or another worker has handed them over since.
            old = {key for key in self._assigned if key[0] == topic and self._begun.get(key, known_at) <= known_at}
            for key in old:
                self._orphan(key, "published, offsets not committed", anew=True)
                self._ledger.mark(key, 0)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        take(consumer, partitions)
        keys = {_key(partition) for partition in partitions}
        self._assigned |= keys
        self._begun |= dict.fromkeys(keys, time.monotonic())
        self._pauses.begin(keys)
        self._note("assigned", partitions)
        self.on_assigned()

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._metrics.shared.rebalance_seconds.time():
            self._drain([_key(partition) for partition in partitions])
        give_back(consumer, partitions)
        self._note("revoked", partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._ledger.forget([_key(partition) for partition in partitions])
        give_back(consumer, partitions)
        self._note("lost", partitions)
        # The group has thrown this member out: it is one again when it is given an assignment.
        self.joined = False

    def _note(self, event: str, partitions: list[TopicPartition]) -> None:
        keys = [_key(partition) for partition in partitions]
        if event != "assigned":
            self._waiting.forget(keys)
            self._pauses.forget(keys)
            for key in keys:
                self._assigned.discard(key)
                self._anew.discard(key)
                self._offsets.forget(key)
                for known in (self._strays, self._not_before, self._begun, self._next):
                    known.pop(key, None)
        # Counted here: while the consumer closes, it may refuse to tell its assignment, and close would raise that.
        self._gauges.moved(event, keys, len(self._assigned))
        log.info("partitions", change=event, partitions=[f"{p.topic}/{p.partition}" for p in partitions])

    def _note_group(self) -> None:
        """What the group was last still holds where it can no longer be asked: librdkafka refuses while a consumer closes.

        An exception within a rebalance callback would come out of ``close`` as a ``SystemError``, with the rest undone.
        """
        with suppress(RuntimeError):
            self.group_metadata = self._consumer.consumer_group_metadata()
            self.member_id = self._consumer.memberid() or ""

    def _drain(self, partitions: list[Partition] | None) -> None:
        """Let what runs finish within the budget, publish the finished prefix, forget the rest."""
        self._note_group()
        self._ledger.cancel_queued(partitions)
        drained = self._ledger.wait_idle(self._left(), partitions)
        published = self._publisher.publish_now(partitions, self._left(CLOSE_S))
        self._offsets.commit(partitions, wait=True)
        if not (drained and published):
            log.warning("drain_incomplete", finished=drained, published=published)
        if partitions is not None:
            self._ledger.forget(partitions)


def _key(partition: TopicPartition) -> Partition:
    return partition.topic, partition.partition
