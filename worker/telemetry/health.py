"""Whether the worker makes progress: named conditions, for probes and as metrics.

Threads that exist prove nothing. What is asked is when something last moved: the oldest result that could be published, the
broker's last answer, the longest piece of work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["Check", "Condition", "Health", "asked"]

Condition = Callable[[], bool]
Check = Callable[[], dict[str, bool]]
"""Named conditions, asked now; all must hold."""


def asked(conditions: Mapping[str, Condition]) -> Check:
    """Conditions whose names never change."""
    return lambda: {name: condition() for name, condition in conditions.items()}


class Health(Collector):
    """Answers both probes, and shows each condition as ``iqa_condition`` with the labels ``probe`` and ``condition``.

    Args:
        live: a restart would help if one of them fails.
        ready: no work should be expected, and somebody should look, if one of them fails.

    """

    def __init__(self, live: Check, ready: Check) -> None:
        self.live = live
        """What ``/livez`` answers."""
        self.ready = ready
        """What ``/readyz`` answers."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """For Prometheus: 1 where a condition holds."""
        family = GaugeMetricFamily(
            "iqa_condition", "1 while a condition of a probe holds, 0 while it fails", labels=["probe", "condition"]
        )
        for probe, check in (("live", self.live), ("ready", self.ready)):
            for name, holds in check().items():
                family.add_metric([probe, name], float(holds))
        yield family
