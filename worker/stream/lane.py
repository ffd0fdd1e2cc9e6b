"""One consumer with all that belongs to it: ledger, publisher, handler, loop. A worker has two lanes: uploads, and retries.

Two, since assignors spread partitions by their number alone: with both kinds of topics in one group, one worker may be given
all the uploads and another nothing but retries that wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from concurrent.futures import Executor

import structlog
from confluent_kafka import KafkaError, TopicPartition

from worker.pipeline import Pipeline
from worker.settings import Settings
from worker.stream.breaker import CircuitBreaker
from worker.stream.clients import make_admin, make_consumer, make_producer, make_transactional_producer
from worker.stream.consumer import ConsumerLoop
from worker.stream.handler import EventHandler
from worker.stream.ledger import Ledger
from worker.stream.publisher import AtLeastOncePublisher, Publisher, PublisherThread
from worker.stream.transactions import TransactionalPublisher, committed_offsets
from worker.telemetry.metrics import Metrics

__all__ = ["Lane", "broker_error", "retry_group"]

log = structlog.get_logger()


def retry_group(group_id: str) -> str:
    """The consumer group of the retry topics."""
    return f"{group_id}.retry"


class Lane:
    """Built, not started.

    Args:
        settings: of the worker.
        group_id: of the consumer.
        delays_s: topics with the longest time that their records wait.
        pool: carries events.
        pipeline: judges them.
        metrics: for what both lanes count together.
        gauges: for what each lane measures for itself.
        breaker: shared, since it is about the worker.

    Raises:
        SettingsError: librdkafka refuses a property.

    """

    def __init__(
        self,
        settings: Settings,
        group_id: str,
        delays_s: Mapping[str, float],
        pool: Executor,
        pipeline: Pipeline,
        metrics: Metrics,
        gauges: Metrics,
        breaker: CircuitBreaker,
    ) -> None:
        self._settings = settings
        self._group_id = group_id
        self.ledger = Ledger()
        consumer = make_consumer(settings.kafka, group_id, error_cb=broker_error, on_commit=self._on_commit)
        self._publisher = PublisherThread(
            self.ledger, self._make_publisher(), settings.worker.publish_interval_ms / 1000, metrics
        )
        self.loop = ConsumerLoop(
            consumer,
            list(delays_s),
            self.ledger,
            self._publisher,
            pool,
            EventHandler(pipeline, self.ledger, settings, metrics, breaker),
            settings.worker,
            gauges,
            {topic: delay for topic, delay in delays_s.items() if delay > 0},
            breaker,
        )

    def start(self) -> None:
        """Start publishing; ``loop.run`` is the caller's to call.

        Raises:
            BrokerError: the publisher cannot get ready.

        """
        self._publisher.start()

    def publishing(self) -> bool:
        """Whether the publisher runs, or has ended as it should."""
        return self._publisher.alive() or self.loop.stopping

    def _make_publisher(self) -> Publisher:
        kafka = self._settings.kafka
        if kafka.delivery == "at_least_once":
            return AtLeastOncePublisher(make_producer(kafka, error_cb=broker_error), self.ledger)
        # Each lane has transactions of its own, named after its group; a name of the pod's keeps them apart from others'.
        name = f"{self._group_id}-{kafka.transactional_id or uuid.uuid4().hex}"
        return TransactionalPublisher(
            lambda: make_transactional_producer(kafka, name, error_cb=broker_error),
            lambda: self.loop.group_metadata,
            committed_offsets(make_admin(kafka), self._group_id),
            self.ledger,
        )

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self.loop.on_commit(error, partitions)


def broker_error(error: KafkaError) -> None:
    """Log what librdkafka tells about the broker."""
    if error.fatal():
        # The poll loop meets it too, and ends the process.
        log.error("broker_fatal", error=error.str())
    else:
        log.warning("broker_error", error=error.str())
