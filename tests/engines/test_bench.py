"""Benchmarks count what was called."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from engines.bench import bench_engine, measure
from engines.catalog import load_manifest
from engines.engine_set import DEFAULT_DIRECTORY
from engines.runtime.onnx import OnnxRuntime
from engines.shapes import shape_range


def test_every_call_is_timed() -> None:
    """From every caller; the warm-up does not count."""
    calls, lock = [0], threading.Lock()

    def call() -> None:
        with lock:
            calls[0] += 1

    times, wall, core = measure(call, 0.05, callers=3)
    assert len(times) == calls[0] - 3
    assert len(times) >= 3
    assert wall >= 0.05
    assert core > 0


def test_rows_are_per_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures per call: images per second and processor time count both."""

    def measured(call: Callable[[], None], seconds: float, callers: int) -> tuple[list[float], float, float]:
        call()
        return [0.1, 0.2, 0.3], 0.8, 0.9

    monkeypatch.setattr("engines.bench.measure", measured)
    row = bench_engine("hyperiqa-r18", DEFAULT_DIRECTORY, OnnxRuntime(), batch=2)
    assert row.input == "2x3x288x384"
    assert (row.p50_ms, row.p95_ms, row.p99_ms) == (200, 290, 298)
    assert row.images_per_second == 7.5
    assert row.core_ms == 150


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("hyperiqa-lite0", (1, 3, 64, 64), (8, 3, 500, 500)),
        ("hyperiqa-r18", (1, 3, 64, 64), (8, 3, 384, 384)),
        ("ppocrv6-small-det", (1, 3, 32, 32), (8, 3, 480, 480)),
        ("ppocrv6-small-rec", (1, 3, 48, 160), (8, 3, 48, 1600)),
    ],
)
def test_shapes_are_what_preprocessing_makes(name: str, least: tuple[int, ...], most: tuple[int, ...]) -> None:
    """Everything between is held; what is larger, smaller or flat is not."""
    shapes = shape_range(load_manifest(name), 8)
    assert (shapes.least, shapes.most) == (least, most)
    assert shapes.holds(shapes.usual)
    assert not shapes.holds((9, *most[1:]))
    assert not shapes.holds(most[1:])
