"""What one verdict adds to the numbers."""

from __future__ import annotations

from tests.worker.helpers import verdict
from worker.telemetry.metrics import Metrics


def test_scored() -> None:
    """By category, by rule, by stage."""
    metrics = Metrics()
    adjustments = [{"rule": "text_area", "before": 80, "after": 55, "evidence": {}}]
    metrics.observe(
        verdict(
            status="scored",
            category="medium",
            reason=None,
            adjustments=adjustments,
            latency_ms={"quality": 40.0, "total": 50.0},
        )
    )
    value = metrics.registry.get_sample_value
    assert value("iqa_verdicts_total", {"status": "scored", "category": "medium"}) == 1
    assert value("iqa_rule_adjustments_total", {"rule": "text_area"}) == 1
    assert value("iqa_stage_seconds_sum", {"stage": "quality"}) == 0.04
    assert value("iqa_event_seconds_sum") == 0.05
    assert value("iqa_stage_seconds_count", {"stage": "total"}) is None
    assert value("iqa_repeats_total") == 0


def test_repeat() -> None:
    """Scored without a look at the picture."""
    metrics = Metrics()
    metrics.observe(verdict(status="scored", category="low", reason=None, latency_ms={"repeat": 1.0}))
    assert metrics.registry.get_sample_value("iqa_repeats_total") == 1


def test_unscorable() -> None:
    """By reason, and under no category."""
    metrics = Metrics()
    metrics.observe(verdict())
    value = metrics.registry.get_sample_value
    assert value("iqa_unscorable_total", {"code": "truncated"}) == 1
    assert value("iqa_verdicts_total", {"status": "unscorable", "category": "none"}) == 1
    assert value("iqa_repeats_total") == 0


def test_two_workers_in_one_process_do_not_mix() -> None:
    """Each has a registry of its own."""
    first, second = Metrics(), Metrics()
    first.lanes["uploads"].events.inc()
    assert second.registry.get_sample_value("iqa_events_total", {"lane": "uploads"}) == 0


def test_series_are_there_before_the_first_event() -> None:
    """Else the first one is no rise for ``rate``."""
    value = Metrics().registry.get_sample_value
    assert value("iqa_verdicts_total", {"status": "scored", "category": "low"}) == 0
    assert value("iqa_rebalances_total", {"lane": "retry", "kind": "lost"}) == 0
    assert value("iqa_event_age_seconds_count", {"lane": "uploads", "at": "published"}) == 0
    assert value("iqa_rule_adjustments_total", {"rule": "text_area"}) == 0


def test_attributes_are_what_the_catalogue_has() -> None:
    """Each of the kind that it says, each family once, none left out."""
    metrics = Metrics()
    names = [name for name, found in vars(Metrics).items() if type(found).__name__ == "_Family"]
    families = [getattr(metrics, name) for name in names]
    assert len(set(map(id, families))) == len(families) == len(metrics.families)
