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
    first.events.inc()
    assert second.registry.get_sample_value("iqa_events_total") == 0
