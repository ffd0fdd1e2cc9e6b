"""Large blocks go back to the system; networks keep theirs."""

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


INFERENCE = """
import resource
import numpy as np
from engines.catalog import load_manifest, shipped_weights
from engines.runtime.onnx import OnnxRuntime
from worker.memory import return_large_blocks

assert return_large_blocks()
network = OnnxRuntime().load(shipped_weights() / load_manifest("hyperiqa-lite0").file)
x = np.zeros((1, 3, 375, 500), np.float32)
for _ in range(3):
    network.run(x)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
network.run(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_networks_do_not_fetch_their_maps_page_by_page() -> None:
    """Without an arena a picture costs some 25,000 page faults once large blocks go back, and twice the time."""
    done = subprocess.run([sys.executable, "-c", INFERENCE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000
