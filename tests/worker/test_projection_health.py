"""What is wrong with a projection, and for how long, by a clock that only the test moves."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge

from worker.projection_health import PATIENCE_S, Conditions


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", sorted(PATIENCE_S))
def test_a_condition_may_be_missing_for_a_while_once_it_held(name: str) -> None:
    """Before that it is not there, however short the time since the start."""
    clock, registry = Clock(), CollectorRegistry()
    conditions = Conditions(Gauge("missing", "", ["condition"], registry=registry), clock)

    def shown() -> float | None:
        return registry.get_sample_value("missing", {"condition": name})

    assert conditions.bearable()[name] is False
    conditions.set(name, holds=True)
    assert (conditions.bearable()[name], shown()) == (True, 0.0)
    conditions.set(name, holds=False)
    clock.now += PATIENCE_S[name]
    conditions.set(name, holds=False)
    assert (conditions.bearable()[name], shown()) == (True, PATIENCE_S[name])
    clock.now += 0.1
    assert conditions.bearable()[name] is False
    assert conditions.missing_s(name) == pytest.approx(PATIENCE_S[name] + 0.1)
    conditions.set(name, holds=True)
    assert conditions.bearable()[name] is True
