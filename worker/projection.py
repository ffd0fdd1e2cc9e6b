"""Projects the verdicts topic into Redis.

The topic is the truth. Offsets are committed only after Redis has taken the verdicts; while Redis is away the consumer pauses,
keeps its place in the group and tries again.

A Redis that has lost everything is filled again from the beginning of the topic, without anybody's help. How that is noticed:
Redis holds the name of its generation, and every committed offset carries the one that it was committed under. A partition
whose committed name is another one than Redis holds begins anew; so does every partition after ``iqa projection rebuild``,
which does no more than put a new name into Redis. All writing stays with the partition's one consumer, in the topic's order: in
the end the latest verdict stands, though an image that was judged twice shows its older one for a while.
"""

from __future__ import annotations

import threading
import time

import redis
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from pydantic import ValidationError

from worker.contracts.verdicts import QualityVerdict
from worker.errors import CacheError
from worker.settings import Settings
from worker.store import VerdictWriter
from worker.stream.clients import make_consumer
from worker.stream.lane import broker_error
from worker.stream.ledger import Partition
from worker.telemetry.metrics import Metrics

__all__ = ["Projection", "make_projection", "projection_group"]

log = structlog.get_logger()

RETRY_S = (0.2, 5.0)
"""Seconds before the first and between the last attempts at a Redis that is away."""

LOOK_S = 1.0
"""An idle projection asks for the generation that often: a loss is mended even if nothing is uploaded."""


def projection_group(group_id: str) -> str:
    """The projection's own consumer group."""
    return f"{group_id}.projection"


def make_projection(settings: Settings, client: redis.Redis, metrics: Metrics) -> Projection:
    """A projection, not started. Its assignor is an eager one, see ``Projection``, whatever the workers' groups are."""
    eager = {"partition.assignment.strategy": "roundrobin", "error_cb": broker_error}
    kafka = settings.kafka.model_copy(update={"protocol": "classic"})
    consumer = make_consumer(kafka, projection_group(kafka.group_id), **eager)
    writer = VerdictWriter(client, settings.redis)
    return Projection(consumer, settings.topics.verdicts, writer, settings.projection.batch, metrics)


class Projection:
    """A thread that follows the verdicts topic. Its consumer must use an eager assignor: see ``_on_revoke``."""

    def __init__(self, consumer: Consumer, topic: str, writer: VerdictWriter, batch: int, metrics: Metrics) -> None:
        self._consumer = consumer
        self._topic = topic
        self._writer = writer
        self._batch = batch
        self._metrics = metrics
        self._pending: list[Message] = []
        self._filled: dict[Partition, str | None] = {}
        """By partition: the generation that its place in the topic belongs to."""
        self._looked = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="projection", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Write what was read, commit, leave the group."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)
        try:
            while not self._stop.is_set():
                self._pending = [m for m in self._consumer.consume(self._batch, 0.1) if m.error() is None]
                if self._pending or time.monotonic() - self._looked > LOOK_S:
                    self._write_pending()
        except Exception:
            log.exception("projection_stopped")
            raise
        finally:
            self._consumer.close()

    def _write_pending(self) -> None:
        """Write the batch, however long Redis is away, polling all the while; a rebalance empties the batch."""
        pause = RETRY_S[0]
        while True:
            try:
                self._begin_anew_where_lost()
                self._writer.write(verdict for verdict in map(_parse, self._pending) if verdict is not None)
            except CacheError as error:
                self._metrics.projection_failures.inc()
                log.warning("redis_away", error=str(error), retry_s=pause)
                if self._stop.is_set():
                    return
                self._wait(pause)
                pause = min(RETRY_S[1], 2 * pause)
            else:
                self._metrics.projected.inc(len(self._pending))
                self._commit()
                return

    def _begin_anew_where_lost(self) -> None:
        """Go back to the beginning of every partition that was written to another generation of Redis."""
        generation = self._writer.generation()
        self._looked = time.monotonic()
        stale = [key for key, filled in self._filled.items() if filled != generation]
        if not stale:
            return
        log.warning("projection_rebuild", generation=generation, partitions=sorted(number for _, number in stale))
        for key in stale:
            try:
                self._consumer.seek(TopicPartition(*key, OFFSET_BEGINNING))
            except KafkaException as error:
                # Just assigned and not being read yet: its place keeps the old name, and the next turn tries again.
                log.info("projection_seek_refused", partition=key[1], error=error.args[0].str())
            else:
                self._filled[key] = generation
        self._pending = [message for message in self._pending if _key(message) not in stale]

    def _wait(self, seconds: float) -> None:
        """Serve the group for a while without taking records."""
        self._consumer.pause(self._consumer.assignment())
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            # Paused partitions give nothing; ones that a rebalance has just brought may.
            self._pending += [m for m in self._consumer.consume(1, min(left, 0.1)) if m.error() is None]
        self._consumer.resume(self._consumer.assignment())

    def _commit(self) -> None:
        offsets: dict[Partition, int] = {}
        for message in self._pending:
            offsets[_key(message)] = (message.offset() or 0) + 1
        self._pending = []
        if not offsets:
            return
        places = [
            TopicPartition(topic, number, offset, metadata=self._filled.get((topic, number)))
            for (topic, number), offset in offsets.items()
        ]
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            # Not committed: whoever owns the partitions next writes the same verdicts again.
            log.info("projection_commit_refused", error=error.args[0].str())

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        # A pause outlives the loss of a partition: what comes back paused would never be read again.
        consumer.resume(partitions)
        try:
            committed = consumer.committed(partitions, timeout=10.0)
        except KafkaException as error:
            # Unknown: begun anew, which costs time and nothing else.
            log.warning("projection_place_unknown", error=error.args[0].str())
            committed = partitions
        self._filled = {(place.topic, place.partition): place.metadata for place in committed}

    def _on_revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        # An eager assignor hands everything back and starts from the committed offsets: what is pending will be read again.
        self._pending = []
        self._filled = {}


def _key(message: Message) -> Partition:
    return message.topic() or "", message.partition() or 0


def _parse(message: Message) -> QualityVerdict | None:
    value = message.value()
    if value is None:
        return None
    try:
        return QualityVerdict.model_validate_json(value)
    except ValidationError as error:
        log.error("verdict_unreadable", offset=message.offset(), error=str(error.errors()[0]["msg"]))
        return None
