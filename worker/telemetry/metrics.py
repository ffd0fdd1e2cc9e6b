"""Every metric of a worker, in one list."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from worker.contracts.verdicts import QualityVerdict

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """All metrics on a registry of their own: two workers in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Info: versions of software, engines and profile.
        self.build = Info("iqa_build", "Versions of software, engines and profile", registry=self.registry)
        # Counter: upload events taken from Kafka.
        self.events = Counter("iqa_events", "Upload events taken from Kafka", registry=self.registry)
        # Counter: verdicts by status (scored, unscorable) and category (low, medium, high, none).
        self.verdicts = Counter("iqa_verdicts", "Verdicts", ["status", "category"], registry=self.registry)
        # Counter: unscorable pictures by reason code.
        self.unscorable = Counter("iqa_unscorable", "Pictures that could not be judged", ["code"], registry=self.registry)
        # Counter: scores adjusted by each rule.
        self.adjustments = Counter("iqa_rule_adjustments", "Scores adjusted by a rule", ["rule"], registry=self.registry)
        # Counter: pictures also judged by a shadow profile, by the category that was published and the one it gives.
        self.shadow = Counter(
            "iqa_shadow_verdicts",
            "Pictures also judged by a shadow profile",
            ["profile", "shadow", "published", "category"],
            registry=self.registry,
        )
        # Counter: events of services that no profile names, judged by the default one.
        self.unknown_services = Counter("iqa_unknown_services", "Events of services without a profile", registry=self.registry)
        # Counter: verdicts answered from the cache, without inference.
        self.repeats = Counter("iqa_repeats", "Verdicts answered without inference", registry=self.registry)
        # Counter: events sent to the dead-letter topic, by reason code.
        self.dead_letters = Counter(
            "iqa_dead_letters", "Events sent to the dead-letter topic", ["code"], registry=self.registry
        )
        # Counter: events sent to a retry topic, by attempt (1 is the first retry) and reason code.
        self.retries = Counter("iqa_retries", "Events sent to a retry topic", ["attempt", "code"], registry=self.registry)
        # Gauge: 1 while this worker takes nothing because most events fail in itself.
        self.breaker = Gauge("iqa_breaker_open", "1 while the circuit breaker is open", registry=self.registry)
        # Counter: decoding processes that died, took too long, or were out of memory for good.
        self.decoder_deaths = Counter(
            "iqa_decoder_deaths", "Decoding processes that had to be replaced", registry=self.registry
        )
        # Histogram: seconds per stage of an event (fetch, repeat, decode, quality, background, text_*, total).
        self.stage_seconds = Histogram(
            "iqa_stage_seconds", "Seconds per stage of an event", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        # Gauge: events in flight, and their bytes.
        self.in_flight = Gauge("iqa_in_flight_events", "Events taken and not yet published", registry=self.registry)
        self.in_flight_bytes = Gauge("iqa_in_flight_bytes", "Bytes of events in flight", registry=self.registry)
        # Gauges, in seconds, 0 where there is nothing to tell: since the oldest event in flight was taken, since the oldest
        # result could have been published, since when every publication has failed, since the broker's last answer.
        self.oldest = Gauge("iqa_oldest_event_seconds", "Age of the oldest event in flight", registry=self.registry)
        self.unpublished = Gauge("iqa_unpublished_seconds", "Age of the oldest result to publish", registry=self.registry)
        self.failing = Gauge("iqa_publish_failing_seconds", "How long publishing has failed", registry=self.registry)
        self.silent = Gauge("iqa_broker_silent_seconds", "Time since the broker's last answer", registry=self.registry)
        # Gauge: partitions assigned to this worker; paused says that it takes no more for now.
        self.assigned = Gauge("iqa_assigned_partitions", "Partitions assigned", registry=self.registry)
        self.paused = Gauge("iqa_paused", "1 while partitions are paused under pressure", registry=self.registry)
        # Gauge: partitions that give nothing for now, since their share of what may be in flight is used up.
        self.crowded = Gauge("iqa_crowded_partitions", "Partitions whose share is used up", registry=self.registry)
        # Histogram: seconds to make a batch durable; counter: batches that the broker did not take.
        self.publish_seconds = Histogram(
            "iqa_publish_seconds", "Seconds to publish and commit a batch", buckets=_SECONDS, registry=self.registry
        )
        self.publish_failures = Counter("iqa_publish_failures", "Batches the broker did not take", registry=self.registry)
        # Histogram: partitions that one transaction wrote to; as few as it read from where keys are partitioned alike.
        self.transaction_partitions = Histogram(
            "iqa_transaction_partitions",
            "Partitions written to by one transaction",
            buckets=(1, 2, 3, 6, 12, 24, 48, 96, 192),
            registry=self.registry,
        )
        # Counter: records that the broker refused and that were published without what made it refuse them, by code.
        self.refused = Counter("iqa_refused_records", "Records the broker refused for good", ["code"], registry=self.registry)
        # Counter: producers that were fenced by another one under the same transactional id.
        self.fenced = Counter("iqa_producers_fenced", "Producers fenced by another of the same id", registry=self.registry)
        # Counter: events that the topic's retention took before they were read; and topics made anew while in use.
        self.expired = Counter("iqa_expired_events", "Events that retention took unread", ["topic"], registry=self.registry)
        self.remade = Counter("iqa_topics_remade", "Topics made anew while in use", ["topic"], registry=self.registry)
        # Counter: verdicts projected to Redis, and attempts that Redis refused.
        self.projected = Counter("iqa_projected_verdicts", "Verdicts written to Redis", registry=self.registry)
        self.projection_failures = Counter("iqa_projection_failures", "Batches Redis did not take", registry=self.registry)
        # Gauge: verdicts on the topic that this projection's Redis does not hold yet, of its own partitions.
        self.projection_lag = Gauge("iqa_projection_lag", "Verdicts not yet in Redis", registry=self.registry)
        # Gauge: seconds since a condition held last (joined, redis, broker, reading, progress); 0 while it holds.
        self.projection_missing = Gauge(
            "iqa_projection_missing_seconds", "Seconds since it held last", ["condition"], registry=self.registry
        )
        # Counter: times that Redis said another place than was read; verdicts that cannot be read; errors of the consumer.
        self.projection_rewinds = Counter("iqa_projection_rewinds", "Partitions read again", registry=self.registry)
        self.projection_unreadable = Counter("iqa_projection_unreadable", "Verdicts passed over", registry=self.registry)
        self.projection_errors = Counter(
            "iqa_projection_errors", "Errors of the projection's consumer", ["code"], registry=self.registry
        )

    def observe(self, verdict: QualityVerdict) -> None:
        """Count one verdict."""
        self.verdicts.labels(verdict.status, verdict.category or "none").inc()
        if verdict.reason is not None:
            self.unscorable.labels(verdict.reason.code).inc()
        for step in verdict.adjustments:
            self.adjustments.labels(step.rule).inc()
        if verdict.status == "scored" and "quality" not in verdict.latency_ms:
            self.repeats.inc()
        for stage, milliseconds in verdict.latency_ms.items():
            self.stage_seconds.labels(stage).observe(milliseconds / 1000)
