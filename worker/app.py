"""One worker process: wiring, threads, signals, drain."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import cv2
import structlog

from calibration.chain import Assessment
from calibration.profile import Profile
from engines.engine_set import EngineSet, load_engines
from engines.parity import require_parity
from engines.runtime.onnx import OnnxRuntime
from engines.runtime.select import make_runtime
from engines.verify import require_golden
from worker.assessor import Assessor, Decode, ShadowSeen
from worker.cpu import cpu_quota
from worker.intake.decode import decode
from worker.intake.isolation import DecoderPool
from worker.intake.sources import Fetcher
from worker.pipeline import Pipeline
from worker.projection import Projection, make_projection
from worker.services import Assessors
from worker.settings import Settings
from worker.store import ContentCache, connect
from worker.stream.breaker import CircuitBreaker
from worker.stream.lane import Lane, retry_group
from worker.stream.records import software_version
from worker.stream.topics import require_topics
from worker.telemetry.http import TelemetryServer
from worker.telemetry.metrics import Metrics

__all__ = ["Worker", "make_assessors"]

log = structlog.get_logger()

STALLED_S = 60.0
"""A poll loop that has not gone round for so long will not do so again. Longer than any drain may take."""


def make_assessors(settings: Settings, on_shadow: ShadowSeen | None = None, decode: Decode = decode) -> Assessors:
    """Load and verify the engines, load the profiles. Pictures are decoded by ``decode``.

    Raises:
        EngineError: engines are missing, wrong, or answer differently from what was recorded.
        ProfileError: a profile cannot be used.

    """
    # One thread per call: concurrency is one picture per core.
    cv2.setNumThreads(1)
    slots = threading.BoundedSemaphore(_slots(settings))
    engines: EngineSet | None = None

    def make(profile: Profile, shadow: Profile | None) -> Assessor:
        # Profiles are read first: a mistake in one is told before engines are loaded.
        nonlocal engines
        engines = engines or _verified_engines(settings, (profile.thresholds.medium, profile.thresholds.high))
        return Assessor(engines, profile, settings, slots, shadow, on_shadow, decode)

    return Assessors.build(make, settings)


def _slots(settings: Settings) -> int:
    return settings.worker.cpu_slots or cpu_quota()


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
        self._decoders: DecoderPool | None = None
        if settings.decode.isolate:
            limits = settings.decode
            self._decoders = DecoderPool(
                _slots(settings), limits.timeout_s, limits.memory_bytes, self.metrics.decoder_deaths.inc
            )
        assessors = make_assessors(settings, self._on_shadow, self._decoders.decode if self._decoders else decode)
        labels = {"profile": ",".join(assessors.labels), **assessors.default.engines.labels}
        self.metrics.build.info({"version": software_version(), **labels})
        self._fetcher = Fetcher(settings.fetch, settings.s3)
        client = connect(settings.redis)
        pipeline = Pipeline(self._fetcher.fetch, assessors, ContentCache(client) if client else None)
        self._pool = ThreadPoolExecutor(settings.worker.threads, thread_name_prefix="event")
        breaker, kafka = CircuitBreaker(), settings.kafka
        shared = (self._pool, pipeline, self.metrics)
        self._uploads = Lane(settings, kafka.group_id, {settings.topics.uploads: 0.0}, *shared, self.metrics, breaker)
        self._retries: Lane | None = None
        if settings.retry_topics:
            delays = dict(zip(settings.retry_topics, settings.retry.delays_s, strict=True))
            self._retries = Lane(settings, retry_group(kafka.group_id), delays, *shared, Metrics(), breaker)
        self._retry_thread = threading.Thread(target=self._run_retries, name="retries", daemon=True)
        self._projection: Projection | None = None
        if client and settings.projection.enabled:
            self._projection = make_projection(settings, client, self.metrics)
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
            for lane in self._lanes:
                lane.start()
            if self._projection:
                self._projection.start()
            self._started = True
            if self._retries:
                self._retry_thread.start()
            self._uploads.loop.run()
        finally:
            self._close()

    def stop(self) -> None:
        """Begin to drain; ``run`` returns when that is done."""
        for lane in self._lanes:
            lane.loop.stop()

    @property
    def _lanes(self) -> list[Lane]:
        return [self._uploads, *([self._retries] if self._retries else [])]

    def _run_retries(self) -> None:
        try:
            if self._retries:
                self._retries.loop.run()
        except Exception:
            # Without its retries a worker would keep events for ever: it ends, and another takes over.
            log.exception("retries_stopped")
        finally:
            self.stop()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        log.info("draining", signal=signal.Signals(number).name, in_flight=sum(lane.ledger.count for lane in self._lanes))
        self.stop()

    def _close(self) -> None:
        self.stop()
        if self._retry_thread.ident is not None:
            self._retry_thread.join()
        self._fetcher.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._decoders:
            self._decoders.close()
        if self._projection and self._started:
            self._projection.stop()
        self._telemetry.close()
        log.info("stopped", unpublished=sum(lane.loop.unpublished for lane in self._lanes))

    def _on_shadow(self, profile: Profile, shadow: Profile, published: Assessment, other: Assessment) -> None:
        self.metrics.shadow.labels(profile.label, shadow.label, published.category, other.category).inc()
        if published.category != other.category:
            log.info("shadow_differs", shadow=shadow.label, published=published.category, category=other.category)

    def _live(self) -> dict[str, bool]:
        if not self._started:
            return {"starting": True}
        oldest = min(lane.loop.last_poll for lane in self._lanes if not lane.loop.stopping or lane is self._uploads)
        return {
            "consumer": time.monotonic() - oldest < STALLED_S + self.settings.worker.drain_timeout_s,
            "publisher": all(lane.publishing() for lane in self._lanes),
            "projection": self._projection is None or self._projection.alive(),
        }

    def _ready(self) -> dict[str, bool]:
        if not self._started:
            return {"started": False}
        return {"joined": self._uploads.loop.joined, "accepting": self._uploads.loop.taking}
