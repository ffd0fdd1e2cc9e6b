"""``make bench``: what a picture costs a whole worker, on this machine, beside what the machine could do at best.

Machines differ and are shared: results stand beside the machine's own peak, measured in the same run. What a figure was
measured on (photos of one's own, or drawn ones) is part of the result.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.fleet_run import Bench, Load, Run
from tests.benchmarks.machine import Machine, affinity_of, peak_now
from tests.benchmarks.mix import Upload, make_mix
from tests.benchmarks.naive import NaiveRun, naive_run
from tests.benchmarks.plot import write_plot
from tests.benchmarks.stage_costs import Costs, stage_costs
from worker.memory import return_large_blocks
from worker.settings import Settings

ASKED_CORE_MS = 86.0
ASKED_AT_GFLOPS = 100.0
"""Ten times the article's day on two cores, for a machine of that peak: 23.1 pictures a second."""
console = Console()


def main() -> None:
    """Measure, print, write."""
    options = _options()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    machine = peak_now()
    console.print(f"{machine.processor}: {machine.gflops} GFLOP/s and {machine.copy_gbs} GB/s copied, per core")
    with tempfile.TemporaryDirectory() as folder:
        mix = options.mix or Path(folder) / "mix"
        uploads = make_mix(mix, options.pictures, options.photos)
        console.print(_told(uploads, options.photos))
        settings = Settings.model_validate({"runtime": options.runtime})
        return_large_blocks()
        costs = stage_costs(uploads, settings, machine)
        _show_stages(costs, machine)
        runs = [] if options.stages_only else _runs(Path(folder), uploads, options)
        naive = naive_run(uploads[: options.naive], options.cores) if options.naive else None
    _show_runs(runs, naive, options.cores, runs[0].core_ms if runs else costs.core_ms)
    if options.json:
        _write(options.json, machine, options.photos, uploads, costs, runs, naive)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument(
        "--photos", type=Path, action="append", default=[], help="folder of photos; drawn ones if none is given"
    )
    parser.add_argument("--pictures", type=int, default=200, help="different pictures in the mix")
    parser.add_argument("--events", type=int, default=400, help="events of a run")
    parser.add_argument("--cores", type=int, default=2, help="that the worker has")
    parser.add_argument("--runtime", default="auto", choices=("auto", "onnx", "openvino"))
    parser.add_argument("--mix", type=Path, help="folder to keep the mix in, for another run on the same")
    parser.add_argument("--json", type=Path, help="file for everything; a plot is written beside it")
    parser.add_argument("--stages-only", action="store_true", help="no broker: the cost of stages alone")
    parser.add_argument("--naive", type=int, default=0, metavar="N", help="N pictures by the script a user would write instead")
    return parser.parse_args()


def _runs(folder: Path, uploads: Sequence[Upload], options: argparse.Namespace) -> list[Run]:
    """At full load, with repeats, and at half of what full load reached."""
    (folder / "kafka").mkdir()
    with Bench.started(folder / "kafka", uploads, options.cores, IQA_RUNTIME=options.runtime) as bench:
        full = bench.run(Load("full", options.events))
        repeats = bench.run(Load("full, 40 % repeats", options.events, repeats=0.4))
        half = bench.run(Load("half", options.events // 2, rate=full.pictures_per_second / 2))
        nearly = bench.run(Load("nine tenths", options.events // 2, rate=full.pictures_per_second * 0.9))
    return [full, repeats, half, nearly]


def _told(uploads: Sequence[Upload], photos: Sequence[Path]) -> str:
    pixels = sum(upload.width * upload.height for upload in uploads) / len(uploads) / 1e6
    size = sum(upload.path.stat().st_size for upload in uploads) / len(uploads) / 1e3
    source = (
        "photos from " + ", ".join(path.name for path in photos) if photos else "drawn photos, which are easier than real ones"
    )
    return f"{len(uploads)} pictures of {pixels:.1f} megapixels and {size:.0f} kB on average; {source}"


def _show_stages(costs: Costs, machine: Machine) -> None:
    table = Table(
        "stage", "core-ms", "of them inference", "share of pictures", "floor, core-ms", title=f"one picture, {costs.runtime}"
    )
    for name, stage in costs.stages.items():
        figures = (stage.core_ms, stage.inference_ms, 100 * stage.share, stage.floor_ms)
        table.add_row(name, *(f"{figure:.1f}" for figure in figures[:2]), f"{figures[2]:.0f} %", f"{figures[3]:.1f}")
    table.add_section()
    asked = ASKED_CORE_MS * ASKED_AT_GFLOPS / machine.gflops
    table.add_row(
        "all", f"{costs.core_ms:.1f}", f"{100 * costs.inference_share:.0f} %", "", f"asked on this machine: {asked:.0f}"
    )
    console.print(table)
    console.print("categories: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in costs.categories.items()))


def _show_runs(runs: Sequence[Run], naive: NaiveRun | None, cores: int, whole: float) -> None:
    if naive:
        console.print(f"the script: {naive.core_ms:.0f} core-ms a picture, {naive.core_ms / whole:.1f} times the worker's")
    if not runs:
        return
    table = Table("load", "pictures/s", "core-ms", "p50 ms", "p95 ms", "p99 ms", "MB", title="a worker behind a real Kafka")
    for run in runs:
        figures = (run.p50_ms, run.p95_ms, run.p99_ms, run.memory_mb)
        table.add_row(
            run.load.name, f"{run.pictures_per_second:.1f}", f"{run.core_ms:.1f}", *(f"{each:.0f}" for each in figures)
        )
    console.print(table)
    mine, others = affinity_of(cores)
    if mine & others:
        console.print("broker and senders share the worker's cores: pictures/s of two cores of its own are 2,000 / core-ms")
    console.print(f"two cores of this machine: {2000 / runs[0].core_ms:.1f} pictures/s; ten times the day is 23.1")


def _write(
    path: Path,
    machine: Machine,
    photos: Sequence[Path],
    uploads: Sequence[Upload],
    costs: Costs,
    runs: Sequence[Run],
    naive: NaiveRun | None,
) -> None:
    found: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": asdict(machine),
        "photos": [folder.name for folder in photos] or "drawn",
        "pictures": len(uploads),
        "megapixels": round(sum(upload.width * upload.height for upload in uploads) / len(uploads) / 1e6, 2),
        "stages": asdict(costs),
        "runs": [asdict(run) for run in runs],
        "naive": asdict(naive) if naive else None,
    }
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_plot(path.with_suffix(".svg"), found)
    console.print(f"{path}, {path.with_suffix('.svg')}")


if __name__ == "__main__":
    main()
