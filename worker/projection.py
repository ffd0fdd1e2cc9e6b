"""Projects the verdicts topic into Redis.

The topic is the truth. Offsets are committed only after Redis has taken the verdicts; while Redis is away the consumer pauses,
keeps its place in the group and tries again. Rebuilding the cache is resetting this group's offsets.
"""

from __future__ import annotations

import threading
import time

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from pydantic import ValidationError

from worker.contracts.verdicts import QualityVerdict
from worker.errors import CacheError
from worker.store import VerdictWriter
from worker.telemetry.metrics import Metrics

__all__ = ["Projection", "projection_group"]

log = structlog.get_logger()

RETRY_S = (0.2, 5.0)
"""Seconds before the first and between the last attempts at a Redis that is away."""


def projection_group(group_id: str) -> str:
    """The projection's own consumer group."""
    return f"{group_id}.projection"


class Projection:
    """A thread that follows the verdicts topic. Its consumer must use an eager assignor: see ``_on_revoke``."""

    def __init__(self, consumer: Consumer, topic: str, writer: VerdictWriter, batch: int, metrics: Metrics) -> None:
        self._consumer = consumer
        self._topic = topic
        self._writer = writer
        self._batch = batch
        self._metrics = metrics
        self._pending: list[Message] = []
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
        self._consumer.subscribe([self._topic], on_revoke=self._on_revoke, on_lost=self._on_revoke)
        try:
            while not self._stop.is_set():
                self._pending = [m for m in self._consumer.consume(self._batch, 0.1) if m.error() is None]
                if self._pending:
                    self._write_pending()
        except Exception:
            log.exception("projection_stopped")
            raise
        finally:
            self._consumer.close()

    def _write_pending(self) -> None:
        """Write the batch, however long Redis is away, polling all the while; a rebalance empties the batch."""
        pause = RETRY_S[0]
        while self._pending:
            try:
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

    def _wait(self, seconds: float) -> None:
        """Serve the group for a while without taking records."""
        self._consumer.pause(self._consumer.assignment())
        end = time.monotonic() + seconds
        while not self._stop.is_set() and (left := end - time.monotonic()) > 0:
            # Paused partitions give nothing; ones that a rebalance has just brought may.
            self._pending += [m for m in self._consumer.consume(1, min(left, 0.1)) if m.error() is None]
        self._consumer.resume(self._consumer.assignment())

    def _commit(self) -> None:
        offsets: dict[tuple[str | None, int | None], int] = {}
        for message in self._pending:
            offsets[message.topic(), message.partition()] = (message.offset() or 0) + 1
        places = [TopicPartition(topic or "", partition or 0, offset) for (topic, partition), offset in offsets.items()]
        self._pending = []
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as error:
            # Not committed: whoever owns the partitions next writes the same verdicts again.
            log.info("projection_commit_refused", error=error.args[0].str())

    def _on_revoke(self, _: Consumer, __: list[TopicPartition]) -> None:
        # An eager assignor hands everything back and starts from the committed offsets: what is pending will be read again.
        self._pending = []


def _parse(message: Message) -> QualityVerdict | None:
    value = message.value()
    if value is None:
        return None
    try:
        return QualityVerdict.model_validate_json(value)
    except ValidationError as error:
        log.error("verdict_unreadable", offset=message.offset(), error=str(error.errors()[0]["msg"]))
        return None
