"""Large blocks go back to the system."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from pathlib import Path
from worker.memory import return_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if {called}:
    assert return_large_blocks()
first = bytearray(b"x") * 20_000_000
del first
before = resident()
kept = [bytearray(b"x") * 20_000_000 for _ in range(10)]
small = [bytes(100_000) for _ in range(50)]
del kept
print(resident() - before)
"""


def left_over(called: bool) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(called=called)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_large_blocks_go_back() -> None:
    """Two hundred megabytes freed below something small that is kept; without the setting they stay."""
    assert left_over(called=True) < 20_000_000 < left_over(called=False)
