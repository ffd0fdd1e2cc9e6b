"""How much processor this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["cpu_quota", "quota_cores"]


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may use, at least 1: the smaller of its affinity and its control group's quota (v2 or v1).

    The host's core count is what most thread pools go by, and what makes them fight in a container.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, quota_cores(root))))


def quota_cores(root: Path) -> float:
    """Cores by the quota of the control group that is mounted at ``root``; infinite without one."""
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if quota.strip() != "max" and int(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
