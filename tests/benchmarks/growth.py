"""``make bench-growth``: whether what a picture costs stays the same as everything around it grows.

Workers on the same cores, partitions, events that wait, hosts that pictures come from: a worker's core-milliseconds a picture
should not change with any of them. With a picture's size they should grow no faster than its pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from tests.benchmarks.fleet_run import Bench, Load, Run
from tests.benchmarks.growth_plot import write_growth
from tests.benchmarks.machine import core_seconds, peak_now
from tests.benchmarks.mix import GRAIN, Upload, make_mix
from worker.intake.isolation import DecoderPool
from worker.loading import make_assessors
from worker.memory import return_large_blocks
from worker.settings import Settings
from worker.stopwatch import Stopwatch

CORES = 2
MEGAPIXELS = (0.1, 0.3, 1, 3, 6, 12, 24, 48)
TURNS = 24
console = Console()


@dataclass(frozen=True)
class Point:
    """One measurement: how much of what grows there was, core-ms a picture, and MB of all workers (0: not measured)."""

    much: float
    core_ms: float
    memory_mb: float = 0.0


def main() -> None:
    """Measure, print, write."""
    options = _options()
    return_large_blocks()
    found: dict[str, list[Point]] = {}
    with tempfile.TemporaryDirectory() as folder:
        uploads = make_mix(options.mix or Path(folder) / "mix", options.pictures, options.photos)
        for name in options.only or GROWTHS:
            found[name] = []
            for point in GROWTHS[name](Path(folder), uploads):
                found[name].append(point)
                console.print(f"{name}: {point.much:g}: {point.core_ms:.1f} core-ms, {point.memory_mb:.0f} MB")
    for name, points in found.items():
        table = Table(name, "core-ms", "of the first", "MB")
        for point in points:
            ratio = point.core_ms / points[0].core_ms
            table.add_row(f"{point.much:g}", f"{point.core_ms:.1f}", f"{ratio:.2f}", f"{point.memory_mb:.0f}")
        console.print(table)
    if options.json:
        before = json.loads(options.json.read_text(encoding="utf-8"))["growth"] if options.json.exists() else {}
        told = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": asdict(peak_now()),
            "growth": before | {name: [asdict(point) for point in points] for name, points in found.items()},
        }
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        write_growth(options.json.with_suffix(".svg"), told)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-growth ARGS=...", description=__doc__)
    parser.add_argument(
        "--photos", type=Path, action="append", default=[], help="folder of photos; drawn ones if none is given"
    )
    parser.add_argument("--pictures", type=int, default=200, help="different pictures in the mix")
    parser.add_argument("--mix", type=Path, help="folder to keep the mix in, for another run on the same")
    parser.add_argument("--only", action="append", choices=tuple(GROWTHS), help="one of them; may be repeated")
    parser.add_argument(
        "--json", type=Path, help="file for everything, beside what it has from before; a plot is written beside it"
    )
    return parser.parse_args()


def _fresh(folder: Path) -> Path:
    made = Path(tempfile.mkdtemp(dir=folder))
    made.chmod(0o755)
    return made


def _point(much: float, run: Run) -> Point:
    return Point(much, run.core_ms, run.memory_mb)


def by_workers(folder: Path, uploads: Sequence[Upload]) -> Iterator[Point]:
    """On the same two cores, so that each has less of them."""
    for workers in (1, 2, 4):
        with Bench.started(_fresh(folder), uploads, CORES, workers=workers) as bench:
            yield _point(workers, bench.run(Load(f"{workers} workers", len(uploads))))


def by_partitions(folder: Path, uploads: Sequence[Upload]) -> Iterator[Point]:
    """All with one worker."""
    for partitions in (1, 3, 12, 40, 120):
        with Bench.started(_fresh(folder), uploads, CORES, partitions=partitions) as bench:
            yield _point(partitions, bench.run(Load(f"{partitions} partitions", len(uploads))))


def by_backlog(folder: Path, uploads: Sequence[Upload]) -> Iterator[Point]:
    """Events that wait when the worker starts."""
    for waiting in (500, 1_000, 10_000, 100_000):
        with Bench.started(_fresh(folder), uploads, CORES, backlog=waiting) as bench:
            yield _point(waiting, bench.drain(f"{waiting} waiting", len(uploads)))


def by_hosts(folder: Path, uploads: Sequence[Upload]) -> Iterator[Point]:
    """Addresses of one server."""
    with Bench.started(_fresh(folder), uploads, CORES) as bench:
        for hosts in (1, 10, 100, 1_000):
            yield _point(hosts, bench.run(Load(f"{hosts} hosts", len(uploads), hosts=hosts)))


def by_megapixels(folder: Path, uploads: Sequence[Upload]) -> Iterator[Point]:
    """JPEGs of one picture, enlarged, with the grain of a sensor; judged one by one in this process, decoded in a child."""
    largest = max(uploads, key=lambda upload: upload.width * upload.height)
    pixels, rng = np.asarray(cv2.imread(str(largest.path)), dtype=np.uint8), np.random.default_rng(0)
    settings = Settings.model_validate({"decode": {"max_pixels": 60_000_000}})
    with closing(DecoderPool(1, settings.decode.timeout_s, settings.decode.memory_bytes)) as pool:
        assessor = make_assessors(settings, decode=pool.decode).default
        for megapixels in MEGAPIXELS:
            factor = (megapixels * 1e6 / (pixels.shape[0] * pixels.shape[1])) ** 0.5
            seen = cv2.resize(
                pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
            )
            grain = rng.normal(0, GRAIN, (*seen.shape[:2], 1)).astype(np.float32)
            data = cv2.imencode(".jpg", np.clip(seen + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[
                1
            ].tobytes()
            assessor.assess(data, Stopwatch())
            began = core_seconds(os.getpid())
            for _ in range(TURNS):
                assessor.assess(data, Stopwatch())
            yield Point(megapixels, 1000 * (core_seconds(os.getpid()) - began) / TURNS)


GROWTHS: dict[str, Callable[[Path, Sequence[Upload]], Iterator[Point]]] = {
    "megapixels": by_megapixels,
    "workers": by_workers,
    "partitions": by_partitions,
    "events waiting": by_backlog,
    "hosts": by_hosts,
}

if __name__ == "__main__":
    main()
