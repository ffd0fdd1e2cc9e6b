"""One worker process: wiring, threads, signals, drain."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

import structlog

from calibration.chain import Assessment
from calibration.profile import Profile
from engines.engine_set import EngineSet
from worker.errors import IqaError, StoppedError, TopicRemadeError
from worker.intake.decode import decode
from worker.intake.sources import Fetcher
from worker.loading import cpu_slots, make_assessors, make_decoders
from worker.pipeline import Pipeline
from worker.projection import Projection, make_projection
from worker.settings import Settings
from worker.slots import Slots
from worker.store import ContentCache, connect
from worker.stream.breaker import CircuitBreaker
from worker.stream.clients import make_admin
from worker.stream.consumer import CLOSE_S
from worker.stream.lane import Lane, retry_group
from worker.stream.pool import HostPool, share_of
from worker.stream.records import software_version
from worker.stream.topic_facts import old_retry_topics
from worker.stream.topics import require_topics
from worker.stream.watch import Group, Watch
from worker.telemetry.health import Condition, Health, asked
from worker.telemetry.http import TelemetryServer
from worker.telemetry.machine import Machine, process_age_s
from worker.telemetry.measured import measured_fetch
from worker.telemetry.metrics import Metrics
from worker.telemetry.traces import make_tracing

__all__ = ["EXIT_LEFT", "Worker"]

log = structlog.get_logger()

STALLED_S = 60.0
"""A poll loop that has not gone round for so long will not do so again. Longer than any drain may take."""

LONGEST_EVENT_S = 300.0
"""An event that is worked on for so long, beside its time for fetching, hangs in a call that never comes back."""

FAILED_S = 3.0
"""For what still works to drain, once a part has died."""

FAILING_S = 10.0
"""Publishing that has failed for so long is worth a look: a broker that changes its leaders takes less."""

UNPUBLISHED_S = 30.0
"""A result that could be published and is not for so long."""

TRACES_S = 2.0
"""For the last spans to be exported, once all else is done."""

OLD_DELAY_S = 1800.0
"""For retry topics of an earlier setting, where there is no delay any more to go by."""

EXIT_LEFT = 3
"""Exit code of a worker that left results unpublished behind; others do that work again."""


class Worker:
    """Everything of one worker, built but not started.

    Args:
        settings: all of them.
        on_overdue: called if a stop takes longer than its budget allows; a process ends itself there, with the exit code
            that it is given.

    Raises:
        SettingsError, EngineError, ProfileError, CacheError: it cannot start as it is set.

    """

    def __init__(self, settings: Settings, on_overdue: Callable[[int], None] = lambda _: None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._on_overdue = on_overdue
        self._born = time.monotonic()
        self._note_phase("imported")
        self._started = False
        self._placed = False
        self._stop_by = float("inf")
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._stopping = threading.Event()
        # Before anything that would have to be stopped again: it may find that it cannot be.
        self._tracing = make_tracing(settings)
        self._health = Health(asked(self._live_conditions()), asked(self._ready_conditions()))
        self.metrics.registry.register(self._health)
        self.metrics.registry.register(Machine())
        self._telemetry = TelemetryServer(
            settings.http.host, settings.http.port, self._health.live, self._health.ready, self.metrics.registry
        )
        log.info("starting", port=self._telemetry.port, version=software_version())
        self._decoders = make_decoders(settings, self.metrics.decoder_deaths.inc)
        slots = Slots(cpu_slots(settings), self.metrics.slot_wait.observe)
        decoding = self._decoders.decode if self._decoders else decode
        assessors = make_assessors(settings, self._on_shadow, decoding, slots)
        labels = {"profile": ",".join(assessors.labels), **assessors.default.engines.labels}
        self.metrics.build.info({"version": software_version(), **labels, "fingerprint": ",".join(assessors.fingerprints)})
        self._show_engines(assessors.default.engines)
        self._fetcher = Fetcher(settings.fetch, settings.s3)
        client = connect(settings.redis)
        self._pipeline = Pipeline(
            measured_fetch(self._fetcher.fetch, self.metrics),
            assessors,
            ContentCache(client, self._note_known) if client else None,
            self._note_known,
        )
        threads = settings.worker.threads
        self._pool = HostPool(threads, share_of(threads, settings.fetch.per_host))
        self._breaker = CircuitBreaker()
        for topic in (settings.topics.uploads, *settings.retry_topics):
            # There before their first event, which no rate would see else.
            self.metrics.expired.labels(topic)
            self.metrics.remade.labels(topic)
        self._uploads = self._make_lane(settings.kafka.group_id, {settings.topics.uploads: 0.0}, "uploads")
        self._retries: Lane | None = None
        self._retry_thread = threading.Thread(target=self._run_retries, name="retries", daemon=True)
        self._watch: Watch | None = None
        self._show_ages()
        self._show_load(slots)
        self._projection: Projection | None = None
        if client and settings.projection.enabled:
            self._projection = make_projection(settings, client, self.metrics, self._fail)
        self._note_phase("engines")
        log.info("engines_ready", fingerprint=assessors.default.fingerprint, **labels)

    @property
    def port(self) -> int:
        """Where probes and metrics are answered."""
        return self._telemetry.port

    @property
    def unpublished(self) -> int:
        """After ``run``: events that were worked on and whose results were not published in time; others will do them again."""
        return sum(lane.loop.unpublished for lane in self._lanes)

    def run(self) -> None:
        """Work until SIGTERM, SIGINT, SIGHUP or ``stop``; then drain within the budget.

        Raises:
            BrokerError: the broker is away at the start, a topic is missing, or a consumer met a fatal error.
            StoppedError: a thread that cannot be done without has died.

        """
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, self._on_signal)
        try:
            require_topics(self.settings)
            self._retries = self._make_retry_lane()
            self._note_phase("topics")
            for lane in self._lanes:
                lane.start()
            if self._projection:
                self._projection.start()
            self._watch = self._make_watch()
            self._watch.start()
            if self._retries:
                self._retry_thread.start()
            self._started = True
            if self._stopping.is_set():
                self.stop()
            self._uploads.loop.run()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._close()
        if isinstance(self._failure, IqaError):
            raise self._failure
        if self._failure is not None:
            raise StoppedError(f"a part of the worker died: {self._failure!r}") from self._failure

    def stop(self) -> None:
        """Begin to drain; ``run`` returns when that is done."""
        first = not self._stopping.is_set()
        self._stopping.set()
        # After a failure what still works is given a moment, and no more: somebody else should take over soon.
        drain_s = self.settings.worker.drain_timeout_s
        budget_s = drain_s if self._whole else min(drain_s, FAILED_S)
        for lane in self._lanes:
            lane.loop.stop(budget_s)
        if first:
            self._stop_by = time.monotonic() + budget_s + CLOSE_S
            threading.Thread(target=self._watch_the_end, args=(budget_s,), name="deadline", daemon=True).start()

    @property
    def _whole(self) -> bool:
        """Whether no part has died. Where a topic is another one, all parts still work, and drain as they always do."""
        return self._failure is None or isinstance(self._failure, TopicRemadeError)

    @property
    def _read(self) -> set[str]:
        """Topics that it consumes."""
        followed = {self.settings.topics.verdicts} if self._projection else set()
        return followed.union(*(lane.topics for lane in self._lanes))

    @property
    def _lanes(self) -> list[Lane]:
        return [self._uploads, *([self._retries] if self._retries else [])]

    def _make_lane(self, group_id: str, delays_s: dict[str, float], name: str) -> Lane:
        metrics, tracing = self.metrics.lanes[name], self._tracing.lane(group_id)
        return Lane(self.settings, group_id, delays_s, self._pool, self._pipeline, metrics, self._breaker, self._fail, tracing)

    def _make_retry_lane(self) -> Lane | None:
        """For the retry topics, and for those of an earlier setting, in which events may still wait."""
        settings = self.settings
        delays = dict(zip(settings.retry_topics, settings.retry.delays_s, strict=True))
        old = old_retry_topics(make_admin(settings.kafka), settings)
        if old:
            log.warning("old_retry_topics", topics=old, told="of an earlier IQA_RETRY__DELAYS_S; read as long as they exist")
        delays |= dict.fromkeys(old, max(settings.retry.delays_s, default=OLD_DELAY_S))
        return self._make_lane(retry_group(settings.kafka.group_id), delays, "retry") if delays else None

    def _make_watch(self) -> Watch:
        settings, names = self.settings, self.settings.topics
        needs: dict[str, set[str]] = {names.uploads: {"READ"}, names.verdicts: {"WRITE"}, names.dead_letters: {"WRITE"}}
        needs |= {name: {"READ", "WRITE"} for name in settings.retry_topics}
        if settings.projection.enabled and settings.redis.resolved_url():
            needs[names.verdicts].add("READ")
        watch = Watch(
            lambda: make_admin(settings.kafka),
            needs,
            [
                Group(lane.group_id, tuple(lane.topics), partial(_has_partitions, lane), partial(_member_id, lane))
                for lane in self._lanes
            ],
            self._on_remade,
        )
        for lane in self._lanes:
            lane.loop.on_assigned = watch.hurry
        self._uploads.loop.on_assigned = partial(self._on_assigned, watch)
        return watch

    def _on_assigned(self, watch: Watch) -> None:
        watch.hurry()
        if not self._placed:
            self._placed = True
            self._note_phase("assigned")

    def _show_ages(self) -> None:
        def oldest(age: Callable[[Lane], float]) -> Callable[[], float]:
            return lambda: max(age(lane) for lane in self._lanes)

        self.metrics.oldest.set_function(oldest(lambda lane: lane.ledger.oldest_s()))
        self.metrics.unpublished.set_function(oldest(lambda lane: lane.ledger.unpublished_s()))
        self.metrics.failing.set_function(oldest(lambda lane: lane.publisher.failing_s))
        self.metrics.silent.set_function(lambda: self._watch.silent_s if self._watch else 0.0)

    def _show_load(self, slots: Slots) -> None:
        self.metrics.threads.labels("busy").set_function(lambda: self._pool.busy)
        self.metrics.threads.labels("idle").set_function(lambda: self._pool.idle)
        self.metrics.queued.set_function(lambda: self._pool.queued)
        self.metrics.slots.labels("busy").set_function(lambda: slots.busy)
        self.metrics.slots.labels("waiting").set_function(lambda: slots.waiting)
        self.metrics.decoders.set_function(lambda: self._decoders.alive if self._decoders else 0)

    def _show_engines(self, engines: EngineSet) -> None:
        for role, label in engines.labels.items():
            told = {"engine": label, "digest": engines.digests[role][:20], "runtime": engines.runtime_label}
            self.metrics.engine.labels(role).info(told)

    def _note_known(self, result: str) -> None:
        self.metrics.cache_requests.labels(result).inc()

    def _note_phase(self, phase: str) -> None:
        self.metrics.start_seconds.labels(phase).set(process_age_s())

    def _on_remade(self, topic: str, known_at: float) -> None:
        self.metrics.remade.labels(topic).inc()
        for lane in self._lanes:
            lane.loop.topic_remade(topic, known_at)
        # Where it is only written to, a producer that fails is replaced anyhow.
        if topic in self._read:
            self._fail(TopicRemadeError(topic))

    def _fail(self, error: BaseException) -> None:
        """A part has died that the worker cannot do without, or a topic is another one: it ends, and another takes over."""
        self._failure = self._failure or error
        self.stop()

    def _run_retries(self) -> None:
        try:
            if self._retries:
                self._retries.loop.run()
        except BaseException as error:
            # A fault of the broker's or of settings is told in a line; a traceback is for what nobody expects.
            log.error("retries_stopped", error=str(error), exc_info=None if isinstance(error, IqaError) else error)
            self._fail(error)
        finally:
            self.stop()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        log.info("draining", signal=signal.Signals(number).name, in_flight=sum(lane.ledger.count for lane in self._lanes))
        if not self._started:
            # Nothing was taken yet: there is nothing to drain, and what is waited for may take long.
            self._on_overdue(0)
        self.stop()

    def _watch_the_end(self, budget_s: float) -> None:
        """One deadline holds for drain, last publication and goodbye, whatever hangs."""
        if not self._ended.wait(budget_s + CLOSE_S):
            # A consumer that is being closed gives its partitions up, and the ledger forgets them: it was noted before.
            left = max(self.unpublished, sum(lane.ledger.begun for lane in self._lanes))
            log.error("stop_overdue", unpublished=left)
            self._on_overdue(1 if self._failure is not None else EXIT_LEFT if left else 0)

    def _close(self) -> None:
        self.stop()
        if self._retry_thread.ident is not None:
            self._retry_thread.join()
        if self._watch:
            self._watch.stop()
        self._fetcher.close()
        self._pool.shutdown()
        if self._decoders:
            self._decoders.close()
        if self._projection and self._started:
            self._projection.stop(CLOSE_S)
        # Of what the stop may take; without the last second, in which the process ends.
        self._tracing.close(min(TRACES_S, self._stop_by - time.monotonic() - 1))
        self._telemetry.close()
        self._ended.set()
        log.info("stopped", unpublished=self.unpublished)

    def _on_shadow(self, profile: Profile, shadow: Profile, published: Assessment, other: Assessment) -> None:
        self.metrics.shadow.labels(profile.label, shadow.label, published.category, other.category).inc()
        if published.category != other.category:
            log.info("shadow_differs", shadow=shadow.label, published=published.category, category=other.category)

    def _live_conditions(self) -> dict[str, Condition]:
        worker = self.settings.worker
        longest_s = LONGEST_EVENT_S + 2 * self.settings.fetch.attempts * self.settings.fetch.total_timeout_s

        def polled(lane: Lane) -> bool:
            ended = lane is not self._uploads and lane.loop.stopping
            return ended or time.monotonic() - lane.loop.last_poll < STALLED_S + worker.drain_timeout_s

        def after_start(condition: Callable[[], bool]) -> Condition:
            return lambda: not self._started or condition()

        return {
            "start": lambda: self._started or time.monotonic() - self._born < worker.start_timeout_s,
            "parts": lambda: self._whole,
            "consumer": after_start(lambda: all(polled(lane) for lane in self._lanes)),
            "publisher": after_start(lambda: all(lane.publishing() for lane in self._lanes)),
            "events": after_start(lambda: all(lane.ledger.running_s() < longest_s for lane in self._lanes)),
            "projection": after_start(lambda: self._projection is None or all(self._projection.live().values())),
        }

    def _ready_conditions(self) -> dict[str, Condition]:
        def after_start(condition: Callable[[], bool]) -> Condition:
            return lambda: self._started and condition()

        def watched(condition: Callable[[Watch], bool]) -> Condition:
            return lambda: self._started and self._watch is not None and condition(self._watch)

        return {
            "started": lambda: self._started,
            "joined": watched(lambda watch: all(lane.loop.joined or watch.is_member(lane.group_id) for lane in self._lanes)),
            "accepting": after_start(lambda: self._uploads.loop.taking),
            "broker": watched(lambda watch: watch.answers),
            "rights": watched(lambda watch: not watch.faults),
            "partitions": watched(lambda watch: watch.has_its_share),
            "reading": after_start(lambda: not any(lane.loop.standing_still for lane in self._lanes)),
            "publishing": after_start(lambda: all(lane.publisher.failing_s < FAILING_S for lane in self._lanes)),
            "topics": after_start(
                lambda: not any(lane.publisher.closed_topics or lane.publisher.stuck_partitions for lane in self._lanes)
            ),
            "progress": after_start(lambda: all(lane.ledger.unpublished_s() < UNPUBLISHED_S for lane in self._lanes)),
        }


def _has_partitions(lane: Lane) -> bool:
    return lane.loop.assigned > 0


def _member_id(lane: Lane) -> str:
    return lane.loop.member_id
