"""The metrics of ``iqa probe``: its probes, and what only the fleet as a whole knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from worker.probe.prober import Probe
from worker.stream.overview import LaneView, Overview
from worker.telemetry.catalogue import CATALOGUE
from worker.telemetry.metrics import made

__all__ = ["FleetView", "ProbeMetrics"]

METRICS = {metric.name: metric for metric in CATALOGUE if metric.of == "probe"}


class FleetView(Collector):
    """What Kafka told last; nothing once that is older than ``stale_s``: gauges that stand still would look like calm."""

    def __init__(self, stale_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stale_s = stale_s
        self._clock = clock
        self._seen: tuple[float, Overview] | None = None

    def show(self, overview: Overview) -> None:
        """From now on."""
        self._seen = self._clock(), overview

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """For Prometheus."""
        if self._seen is None or self._clock() - self._seen[0] > self._stale_s:
            return
        seen = self._seen[1]
        lanes = {"uploads": seen.uploads, "retry": seen.retries}
        yield _by_lane("iqa_fleet_members", lanes, lambda lane: lane.members)
        yield _by_lane("iqa_fleet_lag_records", lanes, lambda lane: lane.lag)
        yield _by_lane("iqa_fleet_lag_seconds", lanes, lambda lane: lane.oldest_s)
        yield _by_lane("iqa_fleet_unowned_partitions", lanes, lambda lane: sum(not each.owner for each in lane.partitions))
        yield _alone("iqa_dead_letters_waiting_records", seen.dead_letters_waiting)
        if seen.retention_s is not None and seen.uploads.lag:
            yield _alone("iqa_retention_left_seconds", seen.retention_s - seen.uploads.oldest_s)


def _by_lane(name: str, lanes: dict[str, LaneView], value: Callable[[LaneView], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, METRICS[name].meaning, labels=["lane"])
    for lane, view in lanes.items():
        family.add_metric([lane], value(view))
    return family


def _alone(name: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, METRICS[name].meaning, value)


class ProbeMetrics:
    """On a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        families = {name: made(metric, self.registry) for name, metric in METRICS.items() if not metric.collected}
        self._seconds = cast("Histogram", families["iqa_probe_seconds"])
        self._probes = cast("Counter", families["iqa_probes"])
        self._late = cast("Counter", families["iqa_probe_late"])
        self._right_at = cast("Gauge", families["iqa_probe_last_right_timestamp_seconds"])

    def ended(self, probe: Probe) -> None:
        """Count a probe that has come to its end."""
        self._probes.labels(probe.result).inc()
        for at, seconds in probe.seconds.items():
            self._seconds.labels(at).observe(seconds)
        if probe.result == "right":
            self._right_at.set_to_current_time()

    def not_sent(self) -> None:
        """A probe was due, and there is no broker to ask where it should go."""
        self._probes.labels("unsent").inc()

    def late(self, _: Probe) -> None:
        """A verdict came after its probe was counted as lost."""
        self._late.inc()
