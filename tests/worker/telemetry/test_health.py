"""Each condition of a probe is a metric, too."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from worker.telemetry.health import Health, asked


def test_conditions_are_asked_when_somebody_wants_to_know() -> None:
    """By probes and by scrapes alike."""
    holds = {"poll": True, "broker": False}
    ready = {"broker": lambda: holds["broker"], "poll": lambda: holds["poll"]}
    health = Health(asked({"poll": lambda: holds["poll"]}), asked(ready))
    registry = CollectorRegistry()
    registry.register(health)
    assert (health.live(), health.ready()) == ({"poll": True}, {"broker": False, "poll": True})

    def value(probe: str, condition: str) -> float | None:
        return registry.get_sample_value("iqa_condition", {"probe": probe, "condition": condition})

    assert (value("live", "poll"), value("ready", "broker"), value("ready", "poll")) == (1, 0, 1)
    holds.update(poll=False, broker=True)
    assert (value("live", "poll"), value("ready", "broker"), value("ready", "poll")) == (0, 1, 0)
