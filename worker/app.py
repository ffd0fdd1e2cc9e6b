"""One worker process: wiring, threads, signals, drain."""

from __future__ import annotations

import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import cv2
import structlog
from confluent_kafka import KafkaError, TopicPartition

from calibration.chain import Assessment
from calibration.profile import Profile
from engines.engine_set import EngineSet, load_engines
from engines.parity import require_parity
from engines.runtime.onnx import OnnxRuntime
from engines.runtime.select import make_runtime
from engines.verify import require_golden
from worker.assessor import Assessor, ShadowSeen
from worker.cpu import cpu_quota
from worker.intake.sources import Fetcher
from worker.pipeline import Pipeline
from worker.projection import Projection, projection_group
from worker.services import Assessors
from worker.settings import Settings
from worker.store import ContentCache, VerdictWriter, connect
from worker.stream.breaker import CircuitBreaker
from worker.stream.clients import make_admin, make_consumer, make_producer, make_transactional_producer
from worker.stream.consumer import ConsumerLoop
from worker.stream.handler import EventHandler
from worker.stream.ledger import Ledger
from worker.stream.publisher import AtLeastOncePublisher, Publisher, PublisherThread
from worker.stream.records import software_version
from worker.stream.topics import require_topics
from worker.stream.transactions import TransactionalPublisher, committed_offsets
from worker.telemetry.http import TelemetryServer
from worker.telemetry.metrics import Metrics

__all__ = ["Worker", "make_assessors"]

log = structlog.get_logger()

STALLED_S = 60.0
"""A poll loop that has not gone round for so long will not do so again. Longer than any drain may take."""


def make_assessors(settings: Settings, on_shadow: ShadowSeen | None = None) -> Assessors:
    """Load and verify the engines, load the profiles.

    Raises:
        EngineError: engines are missing, wrong, or answer differently from what was recorded.
        ProfileError: a profile cannot be used.

    """
    # One thread per call: concurrency is one picture per core.
    cv2.setNumThreads(1)
    slots = threading.BoundedSemaphore(settings.worker.cpu_slots or cpu_quota())
    engines: EngineSet | None = None

    def make(profile: Profile, shadow: Profile | None) -> Assessor:
        # Profiles are read first: a mistake in one is told before engines are loaded.
        nonlocal engines
        engines = engines or _verified_engines(settings, (profile.thresholds.medium, profile.thresholds.high))
        return Assessor(engines, profile, settings, slots, shadow, on_shadow)

    return Assessors.build(make, settings)


def _verified_engines(settings: Settings, thresholds: tuple[float, float]) -> EngineSet:
    names, directory = settings.engines.names, settings.engines.directory
    runtime = make_runtime(settings.runtime, directory, settings.gpu.options, _log_build)
    engines = load_engines(names, directory, runtime)
    require_golden(engines)
    if settings.runtime != "onnx":
        # The answers were recorded on ONNX Runtime; another backend serves only if it says the same.
        require_parity(load_engines(names, directory, OnnxRuntime()), engines, thresholds)
    return engines


def _log_build(phase: str, done: int, steps: int) -> None:
    log.info("engine_build", phase=phase, done=done, steps=steps)


class Worker:
    """Everything of one worker, built but not started.

    Raises:
        SettingsError, EngineError, ProfileError, CacheError: it cannot start as it is set.

    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._started = False
        self._telemetry = TelemetryServer(
            settings.http.host, settings.http.port, self._live, self._ready, self.metrics.registry
        )
        log.info("starting", port=self._telemetry.port, version=software_version())
        assessors = make_assessors(settings, self._on_shadow)
        labels = {"profile": ",".join(assessors.labels), **assessors.default.engines.labels}
        self.metrics.build.info({"version": software_version(), **labels})
        self._fetcher = Fetcher(settings.fetch)
        client = connect(settings.redis)
        pipeline = Pipeline(self._fetcher.fetch, assessors, ContentCache(client) if client else None)
        self._ledger = Ledger()
        self._pool = ThreadPoolExecutor(settings.worker.threads, thread_name_prefix="event")
        self._consumer = make_consumer(
            settings.kafka, settings.kafka.group_id, error_cb=_broker_error, on_commit=self._on_commit
        )
        self._publisher = PublisherThread(
            self._ledger,
            self._make_publisher(),
            settings.worker.publish_interval_ms / 1000,
            self.metrics,
        )
        breaker = CircuitBreaker()
        handler = EventHandler(pipeline, self._ledger, settings, self.metrics, breaker)
        self._loop = ConsumerLoop(
            self._consumer,
            [settings.topics.uploads, *settings.retry_topics],
            self._ledger,
            self._publisher,
            self._pool,
            handler,
            settings.worker,
            self.metrics,
            dict(zip(settings.retry_topics, settings.retry.delays_s, strict=True)),
            breaker,
        )
        self._projection: Projection | None = None
        if client and settings.projection.enabled:
            follower = make_consumer(
                settings.kafka,
                projection_group(settings.kafka.group_id),
                **{"partition.assignment.strategy": "roundrobin", "error_cb": _broker_error},
            )
            writer = VerdictWriter(client, settings.redis)
            self._projection = Projection(follower, settings.topics.verdicts, writer, settings.projection.batch, self.metrics)
        log.info("engines_ready", fingerprint=assessors.default.fingerprint, **labels)

    @property
    def port(self) -> int:
        """Where probes and metrics are answered."""
        return self._telemetry.port

    def run(self) -> None:
        """Work until SIGTERM, SIGINT or ``stop``; then drain within the budget.

        Raises:
            BrokerError: the broker is away at the start, a topic is missing, or the consumer met a fatal error.

        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._on_signal)
        try:
            require_topics(self.settings)
            self._publisher.start()
            if self._projection:
                self._projection.start()
            self._started = True
            self._loop.run()
        finally:
            self._close()

    def stop(self) -> None:
        """Begin to drain; ``run`` returns when that is done."""
        self._loop.stop()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        log.info("draining", signal=signal.Signals(number).name, in_flight=self._ledger.count)
        self.stop()

    def _close(self) -> None:
        self._fetcher.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._projection and self._started:
            self._projection.stop()
        self._telemetry.close()
        log.info("stopped", unpublished=self._loop.unpublished)

    def _make_publisher(self) -> Publisher:
        kafka = self.settings.kafka
        if kafka.delivery == "at_least_once":
            return AtLeastOncePublisher(make_producer(kafka, error_cb=_broker_error), self._ledger)
        name = kafka.transactional_id or f"{kafka.group_id}-{uuid.uuid4().hex}"
        return TransactionalPublisher(
            lambda: make_transactional_producer(kafka, name, error_cb=_broker_error),
            lambda: self._loop.group_metadata,
            committed_offsets(make_admin(kafka), kafka.group_id),
            self._ledger,
        )

    def _on_shadow(self, profile: Profile, shadow: Profile, published: Assessment, other: Assessment) -> None:
        self.metrics.shadow.labels(profile.label, shadow.label, published.category, other.category).inc()
        if published.category != other.category:
            log.info("shadow_differs", shadow=shadow.label, published=published.category, category=other.category)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._loop.on_commit(error, partitions)

    def _live(self) -> dict[str, bool]:
        if not self._started:
            return {"starting": True}
        drain = self.settings.worker.drain_timeout_s
        return {
            "consumer": time.monotonic() - self._loop.last_poll < STALLED_S + drain,
            "publisher": self._publisher.alive() or self._loop.stopping,
            "projection": self._projection is None or self._projection.alive(),
        }

    def _ready(self) -> dict[str, bool]:
        if not self._started:
            return {"started": False}
        return {"joined": self._loop.joined, "accepting": self._loop.taking}


def _broker_error(error: KafkaError) -> None:
    if error.fatal():
        # The poll loop meets it too, and ends the process.
        log.error("broker_fatal", error=error.str())
    else:
        log.warning("broker_error", error=error.str())
