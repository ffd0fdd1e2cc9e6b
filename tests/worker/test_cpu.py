"""Threads by the quota, not by the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.cpu import cpu_quota

AFFINITY = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("text", "cores"), [("max 100000\n", AFFINITY), ("50000 100000\n", 1), ("100000 100000\n", 1)])
def test_version_2(tmp_path: Path, text: str, cores: int) -> None:
    """Half a core is still one thread."""
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", AFFINITY), ("100000", 1)])
def test_version_1(tmp_path: Path, quota: str, cores: int) -> None:
    """Older hosts, other files."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cpu_quota(tmp_path) == cores


@pytest.mark.parametrize("text", ["", "nonsense", "1 0"])
def test_unreadable_files_leave_the_affinity(tmp_path: Path, text: str) -> None:
    """An odd control group must not stop the start."""
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_quota(tmp_path) == AFFINITY


def test_no_control_group(tmp_path: Path) -> None:
    """Nor must none."""
    assert cpu_quota(tmp_path) == AFFINITY
