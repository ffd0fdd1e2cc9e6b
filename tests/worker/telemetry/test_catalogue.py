"""The catalogue is what ``/metrics`` shows, in names, kinds, labels and number."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import worker
from tests.worker.helpers import verdict
from worker.stream.gauges import ALL
from worker.telemetry.catalogue import ANY, CATALOGUE, STAGES
from worker.telemetry.health import Health, asked
from worker.telemetry.machine import Machine
from worker.telemetry.metrics import Metrics
from worker.telemetry.page import metrics_table

PARTITIONS = 24
MOST_SERIES = 400
PAGE = Path(worker.__file__).parent / "telemetry" / "README.md"


def busy() -> Metrics:
    """A worker that has all its partitions, and has seen every stage and some reasons."""
    metrics = Metrics()
    for partition in range(PARTITIONS):
        for gauge in (metrics.lag_records, metrics.lag_seconds, metrics.end_offset):
            gauge.labels("uploads", "image.uploads", str(partition)).set(1)
    metrics.observe(verdict(status="scored", category="high", reason=None, score=70.0, latency_ms=dict.fromkeys(STAGES, 1.0)))
    for code in ("http_not_found", "truncated", "host_unreachable"):
        metrics.unscorable.labels(code).inc()
        metrics.retries.labels("1", code).inc()
        metrics.dead_letters.labels(code).inc()
        metrics.fetch_failures.labels(code).inc()
    for condition in ("redis", "broker", "rights", "group", "progress"):
        metrics.projection_missing.labels(condition)
    for role in ("quality", "text_detection", "text_recognition"):
        metrics.engine.labels(role).info({"engine": "a@1", "digest": "d", "runtime": "r"})
    for topic in ("image.uploads.retry.1", "image.uploads.retry.2", "image.uploads.retry.3"):
        metrics.retry_overdue.labels(topic)
        metrics.lag_records.labels("retry", topic, ALL)
        metrics.lag_seconds.labels("retry", topic, ALL)
    for topic in ("image.uploads", "image.uploads.retry.1", "image.uploads.retry.2", "image.uploads.retry.3"):
        metrics.expired.labels(topic)
        metrics.remade.labels(topic)
    return metrics


def test_what_is_shown_is_in_the_catalogue() -> None:
    """And the other way round; of a family its kind, its sentence and its labels."""
    families = text_string_to_metric_families(generate_latest(busy().registry).decode())
    shown = {family.name.removesuffix("_info"): family for family in families if family.name.startswith("iqa_")}
    known = {metric.name: metric for metric in CATALOGUE if metric.of == "worker" and not metric.collected}
    assert shown.keys() == known.keys()
    for name, metric in known.items():
        family = shown[name]
        assert family.documentation == metric.meaning
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels) or metric.kind == "info"
            for label, value in sample.labels.items():
                assert label == "le" or metric.labels.get(label, ANY) == ANY or value in metric.labels[label]


def test_a_worker_has_at_most_400_series() -> None:
    """With 24 partitions; buckets counted as Prometheus does, and what collectors add: the probes' conditions, the machine."""
    metrics = busy()
    conditions = asked(dict.fromkeys(map(str, range(16)), lambda: True))
    for collector in (Health(conditions, dict), Machine()):
        metrics.registry.register(collector)
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    count = sum(len(family.samples) for family in families)
    assert 250 < count <= MOST_SERIES


def test_names_are_prometheus() -> None:
    """Base units as suffixes, one sentence each without a full stop, every name once."""
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))
    for metric in CATALOGUE:
        assert re.fullmatch(r"iqa_[a-z]+(_[a-z]+)*", metric.name)
        assert not metric.name.endswith(("_total", "_count", "_sum", "_milliseconds"))
        assert re.match("[A-Z0-9]", metric.meaning)
        assert not metric.meaning.endswith(".")
        assert bool(metric.buckets) is (metric.kind == "histogram")
        assert metric.kind != "histogram" or metric.unit or metric.name.startswith("iqa_transaction_")


def test_the_page_has_the_table() -> None:
    """Written by ``python -m worker.telemetry.page``."""
    assert metrics_table() in PAGE.read_text(encoding="utf-8")
