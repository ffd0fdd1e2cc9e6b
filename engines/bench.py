"""Images per second and percentiles of latency, per engine, backend and batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines.catalog import expanded, load_manifest, verified_file
from engines.runtime.base import Runtime
from engines.shapes import shape_range

__all__ = ["Measured", "bench_engine", "measure"]

WARM_UP = 3
"""Calls before the clock starts: allocations, and on GPUs the capture of graphs."""


@dataclass(frozen=True)
class Measured:
    """What one engine does with one batch size.

    Attributes:
        engine: name and version.
        backend: the runtime's label.
        batch: pictures per call.
        input: N x C x H x W.
        images_per_second: over all callers.
        p50_ms, p95_ms, p99_ms: of one call.
        core_ms: processor time per picture, all threads of the process.

    """

    engine: str
    backend: str
    batch: int
    input: str
    images_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    core_ms: float


def bench_engine(name: str, directory: Path, runtime: Runtime, batch: int, seconds: float = 2.0, callers: int = 1) -> Measured:
    """Feed the engine random pictures of its usual shape for some seconds.

    Raises:
        EngineError: it is not there, or cannot be loaded or run.

    """
    manifest = load_manifest(name, directory)
    network = runtime.load(verified_file(manifest, expanded(directory)), manifest)
    shape = shape_range(manifest, batch).usual
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def call() -> None:
        network.run(x)

    times, wall, core = measure(call, seconds, callers)
    p50, p95, p99 = (float(value) * 1000 for value in np.percentile(times, [50, 95, 99]))
    pictures = len(times) * batch
    return Measured(
        engine=manifest.label,
        backend=runtime.label,
        batch=batch,
        input="x".join(map(str, shape)),
        images_per_second=round(pictures / wall, 2),
        p50_ms=round(p50, 2),
        p95_ms=round(p95, 2),
        p99_ms=round(p99, 2),
        core_ms=round(1000 * core / pictures, 2),
    )


def measure(call: Callable[[], None], seconds: float, callers: int) -> tuple[list[float], float, float]:
    """Call from ``callers`` threads for ``seconds``: times of the calls, wall time and processor time, in seconds."""
    for _ in range(WARM_UP):
        call()
    began, core = time.perf_counter(), time.process_time()
    end = began + seconds

    def caller(_: int) -> list[float]:
        times: list[float] = []
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return times

    with ThreadPoolExecutor(callers) as pool:
        times = [value for part in pool.map(caller, range(callers)) for value in part]
    return times, time.perf_counter() - began, time.process_time() - core
