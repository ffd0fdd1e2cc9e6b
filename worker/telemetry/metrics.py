"""The metrics of one worker or projection, made by the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.process_collector import ProcessCollector

from worker.contracts.verdicts import QualityVerdict
from worker.telemetry.catalogue import CATALOGUE, LANES, STAGES, Metric

__all__ = ["LaneMetrics", "Metrics", "made"]

# A series beside each counter and histogram that tells when it was made, which no query here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

M = TypeVar("M", bound=MetricWrapperBase)
KINDS: Mapping[str, type[MetricWrapperBase]] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram, "info": Info}


class _Family(Generic[M]):
    """One family of the catalogue, as an attribute."""

    def __init__(self, kind: type[M], name: str) -> None:
        self._kind, self._name = kind, name

    def __get__(self, metrics: Metrics, _: type[Metrics]) -> M:
        found = metrics.families[self._name]
        assert isinstance(found, self._kind)  # noqa: S101 - as the catalogue has it, and a test
        return found


class Metrics:
    """All metrics on a registry of their own: two workers in one process do not mix.

    Series whose labels are known beforehand are there from the start, so that the first event is seen as a rise.
    """

    build = _Family(Info, "iqa_build")
    event_age = _Family(Histogram, "iqa_event_age_seconds")
    events = _Family(Counter, "iqa_events")
    verdicts = _Family(Counter, "iqa_verdicts")
    lag_records = _Family(Gauge, "iqa_partition_lag_records")
    lag_seconds = _Family(Gauge, "iqa_partition_lag_seconds")
    end_offset = _Family(Gauge, "iqa_partition_end_offset")
    progress = _Family(Gauge, "iqa_last_progress_timestamp_seconds")
    in_flight = _Family(Gauge, "iqa_in_flight_events")
    in_flight_bytes = _Family(Gauge, "iqa_in_flight_bytes")
    oldest = _Family(Gauge, "iqa_oldest_event_seconds")
    unpublished = _Family(Gauge, "iqa_unpublished_seconds")
    breaker = _Family(Gauge, "iqa_breaker_open")
    paused = _Family(Gauge, "iqa_paused")
    crowded = _Family(Gauge, "iqa_crowded_partitions")
    assigned = _Family(Gauge, "iqa_assigned_partitions")
    rebalances = _Family(Counter, "iqa_rebalances")
    moved = _Family(Counter, "iqa_partitions_moved")
    rebalance_seconds = _Family(Histogram, "iqa_rebalance_seconds")
    silent = _Family(Gauge, "iqa_broker_silent_seconds")
    publish_seconds = _Family(Histogram, "iqa_publish_seconds")
    publish_failures = _Family(Counter, "iqa_publish_failures")
    failing = _Family(Gauge, "iqa_publish_failing_seconds")
    transactions = _Family(Counter, "iqa_transactions")
    transaction_records = _Family(Histogram, "iqa_transaction_records")
    transaction_partitions = _Family(Histogram, "iqa_transaction_partitions")
    refused = _Family(Counter, "iqa_refused_records")
    fenced = _Family(Counter, "iqa_producers_fenced")
    expired = _Family(Counter, "iqa_expired_events")
    remade = _Family(Counter, "iqa_topics_remade")
    stage_seconds = _Family(Histogram, "iqa_stage_seconds")
    event_seconds = _Family(Histogram, "iqa_event_seconds")
    loop_seconds = _Family(Counter, "iqa_loop_seconds")
    threads = _Family(Gauge, "iqa_threads")
    queued = _Family(Gauge, "iqa_queued_events")
    slots = _Family(Gauge, "iqa_slots")
    slot_wait = _Family(Histogram, "iqa_slot_wait_seconds")
    unscorable = _Family(Counter, "iqa_unscorable")
    fetches = _Family(Counter, "iqa_fetches")
    fetch_failures = _Family(Counter, "iqa_fetch_failures")
    picture_bytes = _Family(Histogram, "iqa_picture_bytes")
    picture_pixels = _Family(Histogram, "iqa_picture_pixels")
    decoders = _Family(Gauge, "iqa_decoders_alive")
    decoder_deaths = _Family(Counter, "iqa_decoder_deaths")
    score = _Family(Histogram, "iqa_score_points")
    adjustments = _Family(Counter, "iqa_rule_adjustments")
    repeats = _Family(Counter, "iqa_repeats")
    shadow = _Family(Counter, "iqa_shadow_verdicts")
    unknown_services = _Family(Counter, "iqa_unknown_services")
    engine = _Family(Info, "iqa_engine")
    retries = _Family(Counter, "iqa_retries")
    dead_letters = _Family(Counter, "iqa_dead_letters")
    retry_overdue = _Family(Gauge, "iqa_retry_overdue_seconds")
    cache_requests = _Family(Counter, "iqa_cache_requests")
    redis_seconds = _Family(Histogram, "iqa_redis_seconds")
    projected = _Family(Counter, "iqa_projected_verdicts")
    projection_failures = _Family(Counter, "iqa_projection_failures")
    projection_lag = _Family(Gauge, "iqa_projection_lag")
    projection_missing = _Family(Gauge, "iqa_projection_missing_seconds")
    projection_rewinds = _Family(Counter, "iqa_projection_rewinds")
    projection_unreadable = _Family(Counter, "iqa_projection_unreadable")
    projection_errors = _Family(Counter, "iqa_projection_errors")
    start_seconds = _Family(Gauge, "iqa_start_seconds")

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.families = {metric.name: made(metric, self.registry) for metric in CATALOGUE if shown(metric)}

    @cached_property
    def lanes(self) -> Mapping[str, LaneMetrics]:
        """What each lane measures for itself, by the lane's name."""
        return {name: LaneMetrics(self, name) for name in LANES}

    def observe(self, verdict: QualityVerdict) -> None:
        """Count one verdict, once it is published."""
        self.verdicts.labels(verdict.status, verdict.category or "none").inc()
        if verdict.reason is not None:
            self.unscorable.labels(verdict.reason.code).inc()
        for step in verdict.adjustments:
            self.adjustments.labels(step.rule).inc()
        if verdict.score is not None:
            self.score.labels(verdict.profile).observe(verdict.score)
        if verdict.signals is not None:
            self.picture_pixels.observe(verdict.signals.width * verdict.signals.height)
        if verdict.status == "scored" and "quality" not in verdict.latency_ms:
            self.repeats.inc()
        for stage, milliseconds in verdict.latency_ms.items():
            if stage == "fetch":
                # Measured where it is done: most that fail have no verdict.
                continue
            if stage in STAGES:
                self.stage_seconds.labels(stage).observe(milliseconds / 1000)
            elif stage == "total":
                # Apart from its parts: a sum over all stages would count it twice.
                self.event_seconds.observe(milliseconds / 1000)


def shown(metric: Metric) -> bool:
    """Whether a worker has it, and not by a collector."""
    return metric.of == "worker" and not metric.collected


def made(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    """The family on ``registry``, with those of its series that are known beforehand."""
    options: dict[str, Any] = {"buckets": metric.buckets} if metric.kind == "histogram" else {}
    family = KINDS[metric.kind](metric.name, metric.meaning, tuple(metric.labels), registry=registry, **options)
    for values in metric.known:
        family.labels(*values)
    return family


class LaneMetrics:
    """One lane's own series, and those that all lanes count together (``shared``)."""

    def __init__(self, shared: Metrics, lane: str) -> None:
        self.shared = shared
        self.events = shared.events.labels(lane)
        self.taken_age = shared.event_age.labels(lane, "taken") if lane == "uploads" else None
        self.published_age = shared.event_age.labels(lane, "published")
        self.polled_at = shared.progress.labels(lane, "poll")
        self.taken_at = shared.progress.labels(lane, "taken")
        self.published_at = shared.progress.labels(lane, "published")
        self.in_flight = shared.in_flight.labels(lane)
        self.in_flight_bytes = shared.in_flight_bytes.labels(lane)
        self.paused = shared.paused.labels(lane)
        self.crowded = shared.crowded.labels(lane)
        self.assigned = shared.assigned.labels(lane)
        self.publish_failures = shared.publish_failures.labels(lane)
        self.lane = lane

    def note_transaction(self, result: str, records: int, partitions: int) -> None:
        """A transaction has ended; ``records`` and ``partitions`` are what one that was committed wrote."""
        self.shared.transactions.labels(result).inc()
        if result == "committed":
            self.shared.transaction_records.observe(records)
            self.shared.transaction_partitions.observe(partitions)

    def note_time(self, doing: str, seconds: float) -> None:
        """The thread that consumes has spent so long on it. Retries wait by design: of theirs nothing is learnt."""
        if self.lane == "uploads":
            self.shared.loop_seconds.labels(doing).inc(seconds)

    def note_move(self, kind: str, partitions: int) -> None:
        """Partitions were ``assigned``, ``revoked`` or ``lost``; ``partitions`` of them."""
        self.shared.rebalances.labels(self.lane, kind).inc()
        self.shared.moved.labels(self.lane, kind).inc(partitions)
