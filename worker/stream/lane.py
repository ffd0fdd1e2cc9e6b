"""One consumer with all that belongs to it: ledger, publisher, handler, loop. A worker has two lanes: uploads, and retries.

Two, since assignors spread partitions by their number alone: with both kinds of topics in one group, one worker may be given
all the uploads and another nothing but retries that wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, TopicPartition

from worker.pipeline import Pipeline
from worker.settings import Settings
from worker.stream.asking import BrokerAsking
from worker.stream.breaker import CircuitBreaker
from worker.stream.clients import MAX_RECORD_BYTES, make_admin, make_consumer, make_producer, make_transactional_producer
from worker.stream.consumer import ConsumerLoop, Handler
from worker.stream.handler import EventHandler
from worker.stream.ledger import Ledger
from worker.stream.pool import HostPool
from worker.stream.publisher import AtLeastOncePublisher, Publisher
from worker.stream.publisher_thread import PublisherThread
from worker.stream.sizes import RecordSizes
from worker.stream.topic_facts import TopicFacts, describe
from worker.stream.transactions import TransactionalPublisher, committed_offsets
from worker.telemetry.complaints import Complaints
from worker.telemetry.metrics import LaneMetrics
from worker.telemetry.traces import NO_TRACING, LaneTracing

__all__ = ["Lane", "Work", "broker_error", "retry_group"]

log = structlog.get_logger()

CLUSTER_S = 3.0
"""For the broker to say which cluster it is of, where traces tell that; they do without."""

PROPAGATION_MS = 2_000
"""How long records for a topic that nobody knows hold up a transaction, the first time; afterwards they are refused at once."""


def retry_group(group_id: str) -> str:
    """The consumer group of the retry topics."""
    return f"{group_id}.retry"


class Work(Protocol):
    """What a lane is for, where it is for something else than judging events as they come."""

    def make_handler(self, ledger: Ledger, sizes: RecordSizes) -> Handler:
        """What works on records."""

    def make_publisher(self, usual: Callable[[], Publisher], ledger: Ledger) -> Publisher:
        """What makes results durable: the ``usual`` publisher, one around it, or another."""

    def make_loop(self, consumer: Consumer, *parts: Any, **more: Any) -> ConsumerLoop:
        """The loop, of its usual parts."""


class Lane:
    """Built, not started.

    Args:
        settings: of the worker.
        group_id: of the consumer.
        delays_s: topics with the longest time that their records wait.
        pool: carries events.
        pipeline: judges them.
        metrics: of the lane.
        breaker: shared, since it is about the worker.
        on_failure: told if the lane's publisher dies.
        tracing: is told of records, work and commits.
        work: what it is for, if not judging.

    Raises:
        SettingsError: librdkafka refuses a property.

    """

    def __init__(
        self,
        settings: Settings,
        group_id: str,
        delays_s: Mapping[str, float],
        pool: HostPool,
        pipeline: Pipeline,
        metrics: LaneMetrics,
        breaker: CircuitBreaker,
        on_failure: Callable[[BaseException], None] = lambda _: None,
        tracing: LaneTracing = NO_TRACING,
        work: Work | None = None,
    ) -> None:
        self._settings = settings
        self.group_id = group_id
        self.topics = list(delays_s)
        self._metrics = metrics
        self._tracing = tracing
        self._admin = make_admin(settings.kafka)
        self.ledger = Ledger()
        self._sizes = RecordSizes(self._describe, _number(settings, "message.max.bytes", MAX_RECORD_BYTES))
        # Where reading begins if its place is gone is decided by the loop, and said aloud.
        own: dict[str, Any] = {"error_cb": broker_error, "on_commit": self._on_commit, "auto.offset.reset": "error"}
        consumer = make_consumer(settings.kafka, group_id, **own)
        self._publisher = PublisherThread(
            self.ledger,
            work.make_publisher(self._make_publisher, self.ledger) if work else self._make_publisher(),
            settings.worker.publish_interval_ms / 1000,
            metrics,
            self._sizes.refresh,
            on_failure,
        )
        judging = EventHandler(pipeline, self.ledger, settings, metrics.shared, breaker, pool, self._sizes, tracing)
        self.loop = (work.make_loop if work else ConsumerLoop)(
            consumer,
            self.topics,
            self.ledger,
            self._publisher,
            pool,
            work.make_handler(self.ledger, self._sizes) if work else judging,
            settings.worker,
            metrics,
            {topic: delay for topic, delay in delays_s.items() if delay > 0},
            breaker,
            latest=settings.kafka.librdkafka().get("auto.offset.reset") in {"latest", "largest", "end"},
            asking=BrokerAsking(lambda: make_consumer(settings.kafka, group_id, error_cb=broker_error)),
            tracing=tracing,
        )

    def start(self) -> None:
        """Start publishing; ``loop.run`` is the caller's to call.

        Raises:
            BrokerError: the publisher cannot get ready.

        """
        self._sizes.refresh()
        self._tracing.begin(self._cluster_id)
        self._publisher.start()

    @property
    def publisher(self) -> PublisherThread:
        """What publishes this lane's results."""
        return self._publisher

    def publishing(self) -> bool:
        """Whether the publisher runs, or has ended as it should."""
        return self._publisher.alive() or self.loop.stopping

    @property
    def _written(self) -> list[str]:
        names = self._settings.topics
        return [names.verdicts, names.dead_letters, *self._settings.retry_topics]

    def _cluster_id(self) -> str | None:
        return self._admin.list_topics(self.topics[0], timeout=CLUSTER_S).cluster_id

    def _describe(self) -> dict[str, int | None]:
        return {name: facts.max_message_bytes for name, facts in describe(self._admin, self._written).items()}

    def _closed_topics(self) -> list[str]:
        """Those that are not there, or that this worker has no right to write to."""
        found = describe(self._admin, self._written)

        def takes(facts: TopicFacts | None) -> bool:
            return facts is not None and (facts.operations is None or "WRITE" in facts.operations)

        return [name for name in self._written if not takes(found.get(name))]

    def _make_publisher(self) -> Publisher:
        kafka = self._settings.kafka
        if kafka.delivery == "at_least_once":
            return AtLeastOncePublisher(
                lambda: make_producer(kafka, error_cb=broker_error, **self._producer_properties()), self.ledger, self._tracing
            )
        # Each lane has transactions of its own, named after its group; a name of the pod's keeps them apart from others'.
        name = f"{self.group_id}-{kafka.transactional_id or uuid.uuid4().hex}"
        return TransactionalPublisher(
            lambda: make_transactional_producer(kafka, name, error_cb=broker_error, **self._producer_properties()),
            lambda: self.loop.group_metadata,
            committed_offsets(self._admin, self.group_id),
            self.ledger,
            on_fenced=self._metrics.shared.fenced.inc,
            on_end=self._metrics.note_transaction,
            closed_topics=self._closed_topics,
            tracing=self._tracing,
        )

    def _producer_properties(self) -> dict[str, Any]:
        batch = _number(self._settings, "batch.size", self._sizes.batch_bytes)
        return {
            "topic.metadata.propagation.max.ms": PROPAGATION_MS,
            "batch.size": min(batch, self._sizes.batch_bytes),
        }

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self.loop.on_commit(error, partitions)


def _number(settings: Settings, name: str, default: int) -> int:
    """A property of librdkafka as set, else ``default``. A wrong value is the library's to refuse."""
    found = str(settings.kafka.librdkafka().get(name, ""))
    return int(found) if found.isdigit() else default


_complaints = Complaints()

_AWAY = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE}  # noqa: SLF001 - the library's own names


def broker_error(error: KafkaError) -> None:
    """Log what librdkafka tells about the broker: once a minute, since every client tells it again and again."""
    if error.code() == KafkaError._FATAL or error.fatal():  # noqa: SLF001
        # The poll loop meets it too, and ends the process.
        log.error("broker_fatal", error=error.str())
    elif error.code() in _AWAY:
        _complaints.say("broker_away", error.name(), told="events wait in Kafka, none is lost", detail=error.str())
    else:
        _complaints.say("broker_error", error.str())
