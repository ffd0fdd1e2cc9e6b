"""What the process and its control group use of the machine, asked at every scrape.

Paths and words are those of Linux: proc(5), and cgroup v2 (https://docs.kernel.org/admin-guide/cgroup-v2.html). What is not
there is not shown.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.cpu import quota_cores
from worker.telemetry.catalogue import CATALOGUE

__all__ = ["Machine", "process_age_s"]

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
MEANINGS = {metric.name: metric.meaning for metric in CATALOGUE}


def process_age_s(proc: Path = PROC) -> float:
    """Seconds since this process was started, by the kernel; 0 where it does not tell."""
    with suppress(OSError, ValueError, IndexError):
        # Fields are counted from behind the command, which may hold blanks and brackets.
        ticks = int((proc / "self" / "stat").read_text().rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    return 0.0


class Machine(Collector):
    """Memory of children and of the control group, quota, throttling. ``proc`` and ``cgroup`` are where these are mounted."""

    def __init__(self, proc: Path = PROC, cgroup: Path = CGROUP) -> None:
        self._proc = proc
        self._cgroup = cgroup

    def collect(self) -> Iterable[Metric]:
        """For Prometheus."""
        gauges = {
            "iqa_children_resident_bytes": self._children(),
            "iqa_memory_used_bytes": self._used(),
            "iqa_memory_limit_bytes": self._number("memory.max"),
            "iqa_cpu_quota_cores": quota_cores(self._cgroup),
        }
        for name, value in gauges.items():
            if value is not None and value < math.inf:
                yield GaugeMetricFamily(name, MEANINGS[name], value)
        name = "iqa_cpu_throttled_seconds"
        if (throttled := self._field("cpu.stat", "throttled_usec")) is not None:
            yield CounterMetricFamily(name, MEANINGS[name], throttled / 1e6)

    def _children(self) -> float | None:
        """Threads have children each: all are asked."""
        tasks, page = self._proc / "self" / "task", os.sysconf("SC_PAGE_SIZE")
        try:
            lists = [(task / "children").read_text() for task in tasks.iterdir()]
        except OSError:
            return None
        total = 0.0
        for child in " ".join(lists).split():
            with suppress(OSError, ValueError, IndexError):
                total += int((self._proc / child / "statm").read_text().split()[1]) * page
        return total

    def _used(self) -> float | None:
        """As Kubernetes counts a container's working set."""
        current = self._number("memory.current")
        inactive = self._field("memory.stat", "inactive_file") or 0.0
        return None if current is None else max(0.0, current - inactive)

    def _number(self, name: str) -> float | None:
        with suppress(OSError, ValueError):
            return float(int((self._cgroup / name).read_text()))
        return None

    def _field(self, name: str, key: str) -> float | None:
        with suppress(OSError, ValueError, IndexError):
            lines = (line.split() for line in (self._cgroup / name).read_text().splitlines())
            return next((float(parts[1]) for parts in lines if parts[0] == key), None)
        return None
