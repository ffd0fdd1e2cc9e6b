"""Every metric: what it is called, what it tells, and in what unit. Code, documents, rules and dashboards go by this list.

Names are Prometheus' (https://prometheus.io/docs/practices/naming/): base units, the unit as suffix, counters end in ``_total``
where they are shown. ``otel`` is the name under OpenTelemetry's conventions (messaging and system, 1.44.0) where these have
one for the same thing; all others would be ``iqa.`` and the name with dots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from calibration.rules import RULES

__all__ = ["CATALOGUE", "LANES", "STAGES", "Metric"]

Kind = Literal["counter", "gauge", "histogram", "info"]
ANY = ("...",)
"""For labels whose values are not known beforehand: reason codes, names of topics, partitions and profiles."""
LANES = ("uploads", "retry")
LOOP = ("room", "records", "hand_out", "other")
PHASES = ("imported", "engines", "topics", "assigned")
PROBED = ("kafka", "redis")
STAGES = ("fetch", "decode", "quality", "background", "text_detection", "text_recognition")
SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 5)
"""Few, since each bound is a series of every label: a worker with 24 partitions shows 400 at most."""
AGES = (5, 15, 30, 60, 120, 300, 900)
"""Seconds; the objective, 60, is one of them."""
PROBE_SECONDS = (0.3, 1, 3, 10, 30, 60, 120)
BYTES = (100_000, 1_000_000, 3_000_000)
PIXELS = (300_000, 1_000_000, 12_000_000)
SCORES = tuple(range(5, 100, 5))
RECORDS = (10, 100)


@dataclass(frozen=True)
class Metric:
    """One family of time series.

    Attributes:
        name: without the suffix that Prometheus adds to counters.
        kind: counter (only grows), gauge, histogram, or info (always 1, told in labels).
        meaning: one sentence; what ``/metrics`` has as its help.
        labels: with the values that each may have; ``ANY`` where they are not known beforehand.
        never: values of labels that do not occur together.
        buckets: upper bounds of a histogram, in the metric's unit.
        otel: OpenTelemetry's name, where it has one.
        collected: asked for at every scrape, by a collector of its own.
        of: who has it: workers and projections, or ``iqa probe``.

    """

    name: str
    kind: Kind
    meaning: str
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    otel: str = ""
    collected: bool = False
    of: Literal["worker", "probe"] = "worker"
    never: frozenset[tuple[str, ...]] = frozenset()

    @property
    def unit(self) -> str:
        """The last word of the name where that is a unit, else nothing."""
        last = self.name.rpartition("_")[2]
        return last if last in {"seconds", "bytes", "pixels", "points"} else ""

    @property
    def known(self) -> list[tuple[str, ...]]:
        """All label values, where they are known: series that are there before anything has happened."""
        if not self.labels or ANY in self.labels.values():
            return []
        return [values for values in product(*self.labels.values()) if values not in self.never]


_RULE_NAMES = tuple(rule.__name__ for rule in RULES)
_LANE = {"lane": LANES}

CATALOGUE = (
    # Are users waiting?
    Metric(
        "iqa_event_age_seconds",
        "histogram",
        "From an event's first record to the moment that a worker took it, or that its result was published",
        {**_LANE, "at": ("taken", "published")},
        AGES,
        # Retries are taken when they are due.
        never=frozenset({("retry", "taken")}),
    ),
    Metric("iqa_events", "counter", "Events taken from Kafka", _LANE, otel="messaging.client.consumed.messages"),
    Metric(
        "iqa_verdicts",
        "counter",
        "Verdicts published",
        {"status": ("scored", "unscorable"), "category": ("low", "medium", "high", "none")},
        never=frozenset({("scored", "none"), *(("unscorable", category) for category in ("low", "medium", "high"))}),
    ),
    # How far behind, and where?
    Metric(
        "iqa_partition_lag_records",
        "gauge",
        "Records without a published result, markers of transactions among them: of a partition, or of a retry topic (`all`)",
        {**_LANE, "topic": ANY, "partition": ANY},
    ),
    Metric(
        "iqa_partition_lag_seconds",
        "gauge",
        "Age of the oldest of them, as far as it is known; 0 if there is none",
        {**_LANE, "topic": ANY, "partition": ANY},
    ),
    Metric(
        "iqa_partition_end_offset",
        "gauge",
        "Where a partition of this worker's ends",
        {**_LANE, "topic": ANY, "partition": ANY},
    ),
    # Is it stuck?
    Metric(
        "iqa_last_progress_timestamp_seconds",
        "gauge",
        "When it last completed a polling loop, took an event, published one (seconds since 1970); 0 where it never has",
        {**_LANE, "what": ("poll", "taken", "published")},
    ),
    Metric("iqa_in_flight_events", "gauge", "Events taken and not yet published", _LANE),
    Metric("iqa_in_flight_bytes", "gauge", "Bytes of events in flight", _LANE),
    Metric("iqa_oldest_event_seconds", "gauge", "Seconds since the oldest event in flight was taken; 0 if there is none"),
    Metric(
        "iqa_unpublished_seconds", "gauge", "Seconds for which the oldest result could have been published; 0 if there is none"
    ),
    Metric("iqa_breaker_open", "gauge", "1 while the worker takes nothing because most events fail in itself"),
    Metric("iqa_paused", "gauge", "1 while all partitions are held because of bytes in flight or the breaker", _LANE),
    Metric(
        "iqa_crowded_partitions",
        "gauge",
        "Partitions held because they have as much in flight as one partition may have",
        _LANE,
    ),
    # Who owns what, and does it change?
    Metric("iqa_assigned_partitions", "gauge", "Partitions assigned to this worker", _LANE),
    Metric(
        "iqa_rebalances",
        "counter",
        "Times that partitions were given to this worker or taken from it",
        {**_LANE, "kind": ("assigned", "revoked", "lost")},
    ),
    Metric(
        "iqa_partitions_moved",
        "counter",
        "Partitions given to this worker or taken from it",
        {**_LANE, "kind": ("assigned", "revoked", "lost")},
    ),
    Metric(
        "iqa_rebalance_seconds",
        "histogram",
        "To drain partitions that the group took back, and to publish what was done of them",
        buckets=(1, 5, 20),
    ),
    # Is the broker the problem?
    Metric("iqa_broker_silent_seconds", "gauge", "Seconds since the broker's last answer"),
    Metric("iqa_publish_seconds", "histogram", "To publish a batch and commit its offsets", buckets=SECONDS),
    Metric("iqa_publish_failures", "counter", "Batches that the broker did not take", _LANE),
    Metric("iqa_publish_failing_seconds", "gauge", "Seconds for which every publication has failed; 0 if the last one has not"),
    Metric(
        "iqa_transactions",
        "counter",
        "Transactions, by how they ended; one without an answer is looked up afterwards, and its producer replaced",
        {"result": ("committed", "aborted", "unanswered", "left_behind")},
    ),
    Metric("iqa_transaction_records", "histogram", "Records of a committed transaction", buckets=RECORDS),
    Metric(
        "iqa_transaction_partitions",
        "histogram",
        "Partitions that one transaction wrote to",
        buckets=(4, 24, 120),
    ),
    Metric("iqa_refused_records", "counter", "Records that the broker refused for good", {"code": ANY}),
    Metric("iqa_producers_fenced", "counter", "Producers that were fenced by another one of the same id"),
    Metric("iqa_expired_events", "counter", "Events that the topic's retention took unread", {"topic": ANY}),
    Metric("iqa_topics_remade", "counter", "Topics that were made anew while in use", {"topic": ANY}),
    # Where does the time go?
    Metric(
        "iqa_stage_seconds",
        "histogram",
        "Seconds by stage: of every fetch, also one that fails, and of all that makes a verdict",
        {"stage": STAGES},
        SECONDS,
    ),
    Metric("iqa_event_seconds", "histogram", "Seconds spent on one event, all stages", buckets=SECONDS),
    Metric(
        "iqa_loop_seconds",
        "counter",
        "What the thread that consumes uploads spends its time on: waiting for room, for records, handing out, other",
        {"doing": LOOP},
    ),
    Metric("iqa_threads", "gauge", "Threads that carry events", {"state": ("busy", "idle")}),
    Metric("iqa_queued_events", "gauge", "Events that wait for a thread, or for their host's share of the threads"),
    Metric(
        "iqa_slots",
        "gauge",
        "Places for decoding and inference, one a core: pictures that have one, that wait for one",
        {"state": ("busy", "waiting")},
    ),
    Metric("iqa_slot_wait_seconds", "histogram", "That a picture waited for such a place", buckets=SECONDS),
    # Are pictures odd, or hosts away?
    Metric("iqa_unscorable", "counter", "Verdicts published on pictures that could not be judged", {"code": ANY}),
    Metric(
        "iqa_fetches",
        "counter",
        "Pictures fetched, by how that ended",
        {"scheme": ("http", "https", "s3", "other"), "outcome": ("fetched", "failed")},
    ),
    Metric("iqa_fetch_failures", "counter", "Fetches that failed, by reason; the host is in the log", {"code": ANY}),
    Metric("iqa_picture_bytes", "histogram", "Size of a fetched picture", buckets=BYTES),
    Metric("iqa_picture_pixels", "histogram", "Pixels of a picture that was judged", buckets=PIXELS),
    Metric("iqa_decoders_alive", "gauge", "Decoding processes that run; 0 where pictures are decoded in the worker itself"),
    Metric("iqa_decoder_deaths", "counter", "Decoding processes that had to be replaced"),
    # Does the model judge otherwise?
    Metric("iqa_score_points", "histogram", "Calibrated scores of verdicts published", {"profile": ANY}, SCORES),
    Metric("iqa_rule_adjustments", "counter", "Scores of verdicts published that a rule adjusted", {"rule": _RULE_NAMES}),
    Metric("iqa_repeats", "counter", "Verdicts published without inference"),
    Metric(
        "iqa_shadow_verdicts",
        "counter",
        "Pictures also judged by a shadow profile",
        {"profile": ANY, "shadow": ANY, "published": ANY, "category": ANY},
    ),
    Metric("iqa_unknown_services", "counter", "Events of services that no profile names"),
    Metric("iqa_build", "info", "Versions of software, engines and profiles, and the fingerprints of what judges"),
    Metric("iqa_engine", "info", "Each engine, the digest of its weights, and the runtime that it runs on", {"role": ANY}),
    # Retries and dead letters
    Metric("iqa_retries", "counter", "Events published to a retry topic", {"attempt": ANY, "code": ANY}),
    Metric("iqa_dead_letters", "counter", "Events published to the dead-letter topic", {"code": ANY}),
    Metric(
        "iqa_retry_overdue_seconds",
        "gauge",
        "By how much the oldest retry of a topic has waited longer than that topic's delay, in this worker's partitions",
        {"topic": ANY},
    ),
    # Redis
    Metric(
        "iqa_cache_requests",
        "counter",
        "Pictures looked up before they are judged: known in this process, being judged in it, known to Redis, or to nobody",
        {"result": ("remembered", "joined", "hit", "miss", "error")},
    ),
    Metric(
        "iqa_redis_seconds",
        "histogram",
        "Seconds of Redis for a batch of verdicts",
        buckets=(0.01, 0.1, 1),
    ),
    Metric("iqa_projected_verdicts", "counter", "Verdicts written to Redis"),
    Metric("iqa_projection_failures", "counter", "Batches that Redis did not take"),
    Metric("iqa_projection_lag", "gauge", "Verdicts on this projection's partitions that Redis does not hold yet"),
    Metric(
        "iqa_projection_missing_seconds",
        "gauge",
        "Since a condition of the projection held last; 0 while it holds",
        {"condition": ANY},
    ),
    Metric("iqa_projection_rewinds", "counter", "Partitions read again because Redis said another place"),
    Metric("iqa_projection_unreadable", "counter", "Verdicts that cannot be read and were passed over"),
    Metric("iqa_projection_errors", "counter", "Errors of the projection's consumer", {"code": ANY}),
    # Why is it not ready?
    Metric(
        "iqa_condition",
        "gauge",
        "1 while a condition of a probe holds, 0 while it fails",
        {"probe": ("live", "ready"), "condition": ANY},
        collected=True,
    ),
    Metric(
        "iqa_start_seconds",
        "gauge",
        "Seconds from the process's start until a phase was over",
        {"phase": PHASES},
    ),
    # Memory and processor
    Metric("iqa_children_resident_bytes", "gauge", "Resident memory of child processes, which decode", collected=True),
    Metric("iqa_memory_used_bytes", "gauge", "Memory of the control group, without the file cache that can go", collected=True),
    Metric("iqa_memory_limit_bytes", "gauge", "What the control group may have; absent without a limit", collected=True),
    Metric("iqa_cpu_quota_cores", "gauge", "Cores that the control group may use; absent without a quota", collected=True),
    Metric("iqa_cpu_throttled_seconds", "counter", "That the control group was kept from running by its quota", collected=True),
    # The fleet, as iqa probe sees it
    Metric(
        "iqa_probe_seconds",
        "histogram",
        "From a probe's event to its verdict",
        {"at": PROBED},
        PROBE_SECONDS,
        of="probe",
    ),
    Metric(
        "iqa_probes",
        "counter",
        "Probes, by how they ended: as expected, another category, unscorable, no verdict in time, no broker, not in Redis",
        {"result": ("right", "wrong", "unscorable", "lost", "unsent", "unprojected")},
        of="probe",
    ),
    Metric(
        "iqa_probe_last_right_timestamp_seconds",
        "gauge",
        "When the last probe went right (seconds since 1970); 0: never",
        of="probe",
    ),
    Metric("iqa_probe_late", "counter", "Verdicts on probes that were counted as lost, and came after all", of="probe"),
    Metric("iqa_fleet_members", "gauge", "Members of a consumer group", {"lane": LANES}, collected=True, of="probe"),
    Metric(
        "iqa_fleet_lag_records",
        "gauge",
        "Records without a result, also where no worker has the partition",
        {"lane": LANES},
        collected=True,
        of="probe",
    ),
    Metric("iqa_fleet_lag_seconds", "gauge", "Age of the oldest of them", {"lane": LANES}, collected=True, of="probe"),
    Metric(
        "iqa_fleet_unowned_partitions", "gauge", "Partitions that no member has", {"lane": LANES}, collected=True, of="probe"
    ),
    Metric(
        "iqa_dead_letters_waiting_records",
        "gauge",
        "Dead letters that no replay of all has taken yet, transaction markers among them",
        collected=True,
        of="probe",
    ),
    Metric(
        "iqa_retention_left_seconds",
        "gauge",
        "Until retention takes the oldest event without a result; absent where nothing waits or none is deleted",
        collected=True,
        of="probe",
    ),
)
