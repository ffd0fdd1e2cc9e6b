"""Projects the verdicts topic into Redis.

The topic is the truth. How far it has been written stands in Redis itself, in the same transaction as the verdicts
(``worker.redis_writer``). The projection asks for it at assignment, every second and with every batch, and reads on from there
whatever it was about to read. So a Redis that is empty, restored from a snapshot, cut back or promoted while behind is filled
from where it really is, and ``iqa projection rebuild`` does no more than reset the places. A place from another topic of the
same name, or one that lies beyond the topic, counts as none.

Offsets are committed for those who watch the lag, and decide nothing. While Redis is away the consumer pauses, keeps its place
in the group and tries again. All writing stays with the partition's one consumer, in the topic's order: in the end the latest
verdict stands, though an image that was judged twice may show its older one while a part is written again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_STORED,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from worker.errors import BrokerError, CacheError, TopicRemadeError
from worker.projection_health import Conditions
from worker.projection_topic import TopicWatch, ask_topic_id, parts
from worker.redis_client import Client
from worker.redis_writer import DisplacedError, Partition, Place
from worker.settings import Settings
from worker.store import Change, VerdictWriter
from worker.stream.clients import make_admin, make_consumer
from worker.stream.lane import broker_error
from worker.telemetry.complaints import Complaints
from worker.telemetry.metrics import Metrics

__all__ = ["Projection", "make_projection", "projection_group"]

log = structlog.get_logger()

RETRY_S = (0.2, 5.0)
"""Seconds before the first and between the last attempts at a Redis that is away."""

LOOK_S = 1.0
"""How often an idle projection asks Redis for its places and a broker for the topic's end: a loss is mended without uploads."""

AGAIN_S = 30.0
"""How often all offsets are committed, be they new or not."""

DENIED_S = 10.0
"""A partition that the broker refused says no more by itself: it is asked again that often."""

STALLED_S = 60.0
"""A loop that has not gone round for so long will not do so again."""


def projection_group(group_id: str) -> str:
    """The projection's own consumer group."""
    return f"{group_id}.projection"


def make_projection(
    settings: Settings, client: Client, metrics: Metrics, on_failure: Callable[[BaseException], None] | None = None
) -> Projection:
    """A projection, not started. Its assignor is an eager one, see ``Projection``, whatever the workers' groups are."""
    kafka = settings.kafka.model_copy(update={"protocol": "classic"})
    eager = {"partition.assignment.strategy": "roundrobin", "enable.partition.eof": True, "error_cb": broker_error}
    consumer = make_consumer(kafka, projection_group(kafka.group_id), **eager)
    writer = VerdictWriter(client, settings.redis, metrics.redis_seconds.observe)
    topic, admin = settings.topics.verdicts, make_admin(kafka)
    return Projection(
        consumer, topic, writer, settings.projection.batch, metrics, lambda: ask_topic_id(admin, topic), on_failure
    )


class Projection:
    """A thread that follows the verdicts topic.

    Args:
        consumer: with an eager assignor, see ``_on_revoke``, and ``enable.partition.eof``.
        topic: of verdicts.
        writer: of verdicts.
        batch: records at most.
        metrics: to count in.
        topic_id: asks the broker for the topic's id; empty where it has none or does not answer.
        on_failure: called from the thread, once, if it ends by an error, which is ``failed`` then.

    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        writer: VerdictWriter,
        batch: int,
        metrics: Metrics,
        topic_id: Callable[[], str] = str,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._writer = writer
        self._batch = batch
        self._metrics = metrics
        self._watch = TopicWatch(consumer, topic, topic_id)
        self._on_failure = on_failure
        self._pending: list[Message] = []
        self._assigned: set[Partition] = set()
        self._known: dict[Partition, Place | None] = {}
        """What Redis said last, where the consumer stands accordingly."""
        self._next: dict[Partition, int] = {}
        """The offset after what was read last."""
        self._committed: dict[Partition, int] = {}
        self._denied: dict[Partition, float] = {}
        """Partitions that the broker refused, with when they were asked for again."""
        self._remade = False
        """Whether the topic is another one than at first."""
        self._looked = self._probed = self._told = 0.0
        self._conditions = Conditions(metrics.projection_missing)
        self._complaints = Complaints()
        self.failed: BaseException | None = None
        """What ended the thread, if it did not end by ``stop``."""
        self.last_poll = time.monotonic()
        """When the loop last went round (monotonic seconds)."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="projection", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Write what was read, commit, leave the group; gives whether that was done in time."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def redis_away_s(self) -> float:
        """Seconds since Redis took or told something last, 0 while it does."""
        return self._conditions.missing_s("redis")

    def live(self) -> dict[str, bool]:
        """What a restart would help against if it does not hold."""
        return {"projection": self.alive() and time.monotonic() - self.last_poll < STALLED_S}

    def ready(self) -> dict[str, bool]:
        """What must hold for verdicts to reach Redis soon."""
        return {"projection": self.alive(), **self._conditions.bearable()}

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            while not self._over:
                self._turn()
            self._end()
        except BaseException as error:  # whatever it is, the process must learn that nothing is written any more
            self.failed = error
            if isinstance(error, BrokerError):
                log.error("projection_stopped", error=str(error))
            else:
                log.exception("projection_stopped")
            if self._on_failure:
                self._on_failure(error)
        finally:
            self._close()

    @property
    def _over(self) -> bool:
        return self._stop.is_set() or self._remade

    def _end(self) -> None:
        # Offsets of an old topic mean nothing in the new one.
        if self._remade:
            raise TopicRemadeError(self._topic)
        self._commit()

    def _close(self) -> None:
        try:
            self._consumer.close()
        except Exception as error:  # what ended the thread is told already, and may come again from a callback
            log.warning("projection_close_failed", error=str(error))

    def _turn(self) -> None:
        self.last_poll = time.monotonic()
        self._take(self._consumer.consume(self._batch, 0.1))
        if self._pending or time.monotonic() - self._looked > LOOK_S:
            self._write_pending()
        # Before the group has answered a client knows too little of the topic to ask.
        joined = self._conditions.held("joined")
        if joined and time.monotonic() - self._probed > LOOK_S and not self._stop.is_set():
            self._probe()
            self._commit()

    def _take(self, messages: Iterable[Message]) -> None:
        """Keep records; of errors, end by those that are for good and note the others.

        Raises:
            BrokerError: the consumer cannot go on.

        """
        for message in messages:
            key, offset, error = _key(message), message.offset() or 0, message.error()
            if key not in self._assigned and (error is None or error.code() == KafkaError._PARTITION_EOF):  # noqa: SLF001
                continue
            if error is None:
                self._pending.append(message)
                self._next[key] = offset + 1
                self._denied.pop(key, None)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
                # Behind the markers of transactions, which are no records.
                self._next[key] = offset
                self._denied.pop(key, None)
            elif error.code() == KafkaError._FATAL or error.fatal():  # noqa: SLF001
                raise BrokerError(f"the projection's consumer cannot go on: {error.str()}")
            else:
                if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED and key in self._assigned:
                    self._denied[key] = time.monotonic()
                self._complain(error)
        self._conditions.set("reading", holds=not self._denied)

    def _complain(self, error: KafkaError) -> None:
        self._metrics.projection_errors.labels(error.name()).inc()
        self._complaints.say("projection_error", error.name(), detail=error.str())

    def _write_pending(self) -> None:
        """Write the batch, however long Redis is away, polling all the while; a rebalance empties the batch."""
        pause = RETRY_S[0]
        while True:
            try:
                self._go_where_redis_is()
                for part in list(parts(self._pending)):
                    self._write(part)
                    del self._pending[: len(part)]
            except DisplacedError:
                # The next turn asks again where Redis is, and drops what it has read by then.
                self._known.clear()
                self._next.clear()
                self._pending = []
            except CacheError as error:
                self._conditions.set("redis", holds=False)
                self._metrics.projection_failures.inc()
                self._complaints.say("redis_away", str(error), told="verdicts wait in Kafka, none is lost")
                if self._over:
                    return
                self._wait(pause)
                pause = min(RETRY_S[1], 2 * pause)
                continue
            self._conditions.set("redis", holds=True)
            return

    def _go_where_redis_is(self) -> None:
        """Read on from what Redis says, where that is another place than the one that was about to be read."""
        places = self._writer.places(sorted(self._assigned))
        self._looked = time.monotonic()
        moved = {key: place for key, place in places.items() if key not in self._known or self._known[key] != place}
        for key, place in moved.items():
            start = self._start(place)
            self._tell(key, start, self._known.pop(key, None))
            try:
                self._consumer.seek(TopicPartition(*key, start))
            except KafkaException as error:
                # Just assigned and not being read yet: the next turn tries again.
                log.info("projection_seek_refused", partition=key[1], error=error.args[0].str())
            else:
                self._known[key] = place
                self._next.pop(key, None)
        self._pending = [message for message in self._pending if _key(message) not in moved]

    def _tell(self, key: Partition, start: int, known: Place | None) -> None:
        if known is not None and start < known.offset:
            self._metrics.projection_rewinds.inc()
            log.warning("projection_goes_back", partition=key[1], offset=max(0, start), read=known.offset)
        else:
            log.info("projection_reads_from", partition=key[1], offset=max(0, start))

    def _start(self, place: Place | None) -> int:
        """Where to read on; a place in another topic of the same name is none."""
        foreign = place and place.topic_id and self._watch.topic_id not in {"", place.topic_id}
        return OFFSET_BEGINNING if place is None or foreign else place.offset

    def _write(self, part: list[Message]) -> None:
        changes = [change for message in part if (change := self._read(message)) is not None]
        after = {_key(message): Place((message.offset() or 0) + 1, self._watch.topic_id) for message in part}
        before = {key: self._known[key] for key in after}
        self._writer.apply(changes, before, after)
        for key, known in before.items():
            if known is not None and after[key].offset < known.offset:
                log.warning("projection_place_not_in_topic", partition=key[1], place=known.offset, offset=after[key].offset)
        self._known |= after
        self._metrics.projected.inc(len(changes))
        self._conditions.set("progress", holds=True)

    def _read(self, message: Message) -> Change | None:
        """What a record changes; ``None`` for one that cannot be read, which is counted and passed over."""
        try:
            return Change.of(message.key(), message.value())
        except Exception as error:  # whatever is wrong with one verdict, the others must be written
            what = " ".join(str(error).split())[:200]
            log.error("verdict_unreadable", partition=message.partition(), offset=message.offset(), error=what)
            self._metrics.projection_unreadable.inc()
            return None

    def _wait(self, seconds: float) -> None:
        """Serve the group for a while without taking records."""
        self._consumer.pause(self._consumer.assignment())
        end = time.monotonic() + seconds
        while not self._over and (left := end - time.monotonic()) > 0:
            self.last_poll = time.monotonic()
            # Paused partitions give nothing; ones that a rebalance has just brought may.
            self._take(self._consumer.consume(1, min(left, 0.1)))
            if self._conditions.held("joined") and time.monotonic() - self._probed > LOOK_S:
                self._probe()
        self._consumer.resume(self._consumer.assignment())

    def _probe(self) -> None:
        """Ask a broker how far the topic goes, and now and then whether it is the same."""
        self._probed = time.monotonic()
        error = self._watch.ask_end(self._assigned)
        self._conditions.set("broker", holds=error is None)
        if error is not None:
            self._complain(error)
            return
        self._look_at_topic()
        self._ask_denied_again()
        read = {key: max(0, self._start(place)) for key, place in self._known.items()} | self._next
        # What was read and waits for Redis is missing there.
        for message in reversed(self._pending):
            read[_key(message)] = message.offset() or 0
        lag = self._watch.lag(self._assigned, read)
        self._metrics.projection_lag.set(lag)
        self._conditions.set("progress", holds=lag == 0)

    def _look_at_topic(self) -> None:
        if self._watch.remade():
            log.error("topic_remade", topic=self._topic, told="its verdicts are written from the beginning")
            self._known.clear()
            self._remade = True

    def _ask_denied_again(self) -> None:
        for key, asked in self._denied.items():
            if time.monotonic() - asked > DENIED_S:
                self._denied[key] = time.monotonic()
                self._known.pop(key, None)

    def _commit(self) -> None:
        """Tell the group what was written; an answer is not waited for, and all is told again now and then."""
        if time.monotonic() - self._told > AGAIN_S:
            self._told = time.monotonic()
            self._committed.clear()
        changed = {key: offset for key, offset in self._next.items() if self._committed.get(key) != offset}
        if self._pending or not changed:
            return
        try:
            self._consumer.commit(offsets=[TopicPartition(*key, offset) for key, offset in changed.items()], asynchronous=True)
            self._committed |= changed
        except KafkaException as error:
            log.info("projection_commit_refused", error=error.args[0].str())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._conditions.set("joined", holds=True)
        self._assigned = {(partition.topic, partition.partition) for partition in partitions}
        self._look_at_topic()
        try:
            self._known = self._writer.places(sorted(self._assigned))
        except CacheError as error:
            self._complaints.say("redis_away", str(error), told="where to read is known once it answers")
        for partition in partitions:
            key = (partition.topic, partition.partition)
            partition.offset = self._start(self._known[key]) if key in self._known else OFFSET_STORED
        consumer.assign(partitions)
        # A pause outlives the loss of a partition: what comes back paused would never be read again.
        consumer.resume(partitions)

    def _on_revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        # An eager assignor hands everything back: what is pending will be read again by whoever gets it.
        self._conditions.set("joined", holds=False)
        self._pending = []
        self._assigned = set()
        for state in (self._known, self._next, self._committed, self._denied):
            state.clear()


def _key(message: Message) -> Partition:
    return message.topic() or "", message.partition() or 0
