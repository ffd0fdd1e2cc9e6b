"""What the control group tells, from files as the kernel writes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from worker.telemetry.machine import Machine, process_age_s


def shown(machine: Machine) -> dict[str, float]:
    return {sample.name: sample.value for family in machine.collect() for sample in family.samples}


def test_limits_and_throttling_are_told(tmp_path: Path) -> None:
    """Memory without the cache that can go, cores by quota and period, seconds instead of microseconds."""
    files = {
        "memory.current": "900000000\n",
        "memory.max": "1073741824\n",
        "memory.stat": "anon 600000000\nfile 300000000\ninactive_file 250000000\n",
        "cpu.max": "150000 100000\n",
        "cpu.stat": "usage_usec 5000000\nnr_throttled 3\nthrottled_usec 2500000\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = shown(Machine(proc=tmp_path, cgroup=tmp_path))
    assert found == {
        "iqa_memory_used_bytes": 650_000_000,
        "iqa_memory_limit_bytes": 1_073_741_824,
        "iqa_cpu_quota_cores": 1.5,
        "iqa_cpu_throttled_seconds_total": 2.5,
    }


def test_what_is_not_limited_or_not_there_is_not_shown(tmp_path: Path) -> None:
    """A limit of 0 would say that nothing is left."""
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert shown(Machine(proc=tmp_path, cgroup=tmp_path)) == {}
    assert process_age_s(tmp_path) == 0


def test_children_are_counted() -> None:
    """A Python that does nothing has some megabytes; when it is gone it has none."""
    before = shown(Machine())["iqa_children_resident_bytes"]
    with subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        assert shown(Machine())["iqa_children_resident_bytes"] - before > 2_000_000
        child.communicate("\n", timeout=60)
    assert shown(Machine())["iqa_children_resident_bytes"] < before + 2_000_000


def test_a_process_has_an_age() -> None:
    """The kernel's word, also for a process that has just begun."""
    code = "from worker.telemetry.machine import process_age_s; print(process_age_s())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert 0 < float(told) < process_age_s()
