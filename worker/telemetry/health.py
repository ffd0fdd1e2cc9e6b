"""Whether the worker makes progress: named conditions, for probes and as metrics.

Threads that exist prove nothing. What is asked is when something last moved: the oldest result that could be published, the
broker's last answer, the longest piece of work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["Condition", "Health"]

Condition = Callable[[], bool]


class Health(Collector):
    """Answers both probes, and shows each condition as ``iqa_condition`` with the labels ``probe`` and ``condition``.

    Args:
        live: a restart would help if one of them fails.
        ready: no work should be expected, and somebody should look, if one of them fails.

    """

    def __init__(self, live: Mapping[str, Condition], ready: Mapping[str, Condition]) -> None:
        self._conditions = {"live": live, "ready": ready}

    def live(self) -> dict[str, bool]:
        """What ``/livez`` answers."""
        return self._ask("live")

    def ready(self) -> dict[str, bool]:
        """What ``/readyz`` answers."""
        return self._ask("ready")

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """For Prometheus: 1 where a condition holds."""
        family = GaugeMetricFamily(
            "iqa_condition", "1 while a condition of a probe holds, 0 while it fails", labels=["probe", "condition"]
        )
        for probe in self._conditions:
            for name, holds in self._ask(probe).items():
                family.add_metric([probe, name], float(holds))
        yield family

    def _ask(self, probe: str) -> dict[str, bool]:
        return {name: condition() for name, condition in self._conditions[probe].items()}
