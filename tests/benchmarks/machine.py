"""What a machine can do at best, and what processes have used of it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "affinity_of", "core_seconds", "descendants", "memory_mb", "peak_now"]

TICK = os.sysconf("SC_CLK_TCK")
PEAK = """
import time
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper
a, b = (np.random.default_rng(0).random((1536, 1536), dtype=np.float32) for _ in range(2))
out = np.empty_like(a)
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name in "abc"]
graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", ends[:2], ends[2:])
options = ort.SessionOptions()
options.intra_op_num_threads = 1
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
source, target = np.ones(32_000_000, np.float32), np.empty(32_000_000, np.float32)
best = [1e9, 1e9, 1e9]
works = [
    lambda: np.matmul(a, b, out=out), lambda: session.run(None, dict(a=a, b=b)), lambda: np.copyto(target, source)
]
for _ in range({rounds}):
    for number, work in enumerate(works):
        began = time.process_time()
        work()
        best[number] = min(best[number], time.process_time() - began)
print(2 * 1536**3 / min(best[:2]) / 1e9, 2 * 1536**3 / best[0] / 1e9, source.nbytes / best[2] / 1e9)
"""


@dataclass(frozen=True)
class Machine:
    """One core's best: ``gflops`` (single precision, a product of matrices), ``copy_gbs`` (bytes copied, in GB/s).

    The product is NumPy's or ONNX Runtime's, whichever is quicker: on a processor that it does not know well, NumPy's reaches
    half of what the other does, and a floor that stages undercut is none. ``numpy_gflops`` is NumPy's alone.
    """

    processor: str
    cores: int
    memory_gb: float
    gflops: float
    numpy_gflops: float
    copy_gbs: float
    system: str
    python: str


def peak_now(rounds: int = 12) -> Machine:
    """Measure this machine, in a process of one thread."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PEAK.format(rounds=rounds)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=600)
    gflops, numpy_gflops, copy = map(float, done.stdout.split())
    cpus = Path("/proc/cpuinfo").read_text(encoding="ascii")
    name = re.search(r"^model name\s*: (.*)$", cpus, re.MULTILINE)
    family = re.search(r"^model\s*: (.*)$", cpus, re.MULTILINE)
    flags = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if f" {flag} " in cpus.replace("\n", " ")]
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        processor=", ".join(
            [name.group(1) if name else platform.machine(), f"model {family.group(1) if family else '?'}", *flags]
        ),
        cores=os.cpu_count() or 1,
        memory_gb=round(total / 2**30, 1),
        gflops=round(gflops, 1),
        numpy_gflops=round(numpy_gflops, 1),
        copy_gbs=round(copy, 1),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def descendants(pid: int) -> list[int]:
    """``pid`` and all processes below it."""
    found, waiting = [], [pid]
    while waiting:
        now = waiting.pop()
        found.append(now)
        for task in Path(f"/proc/{now}/task").glob("*/children"):
            try:
                waiting.extend(map(int, task.read_text(encoding="ascii").split()))
            except OSError:
                continue
    return found


def core_seconds(pid: int) -> float:
    """Processor time that ``pid`` and those below it have used, with those that have ended and were waited for."""
    ticks = 0
    for each in descendants(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / TICK


def memory_mb(pid: int) -> float:
    """Resident memory of ``pid`` and those below it, what they share counted once (PSS)."""
    total = 0
    for each in descendants(pid):
        try:
            told = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in told.splitlines() if line.startswith("Pss:"))
    return total / 1024


def affinity_of(cores: int) -> tuple[set[int], set[int]]:
    """Cores for the worker, and those for all else: the same ones where there are no others."""
    there = sorted(os.sched_getaffinity(0))
    mine, others = set(there[:cores]), set(there[cores:])
    return mine, others or mine
