"""``iqa engines``: list, fetch and verify engines."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from engines.bench import bench_engine
from engines.build import Precision, Progress
from engines.catalog import Manifest, expanded, load_manifest, manifest_names, verified_file
from engines.engine_set import DEFAULT_DIRECTORY, EngineNames, EngineSet, load_engines
from engines.errors import EngineError, EngineMissingError
from engines.fetch import fetch_engines
from engines.parity import THRESHOLDS, Difference, compare_engines, folder_pictures, gate_pictures
from engines.quality import panel_names
from engines.runtime.contest import Chosen
from engines.runtime.select import RuntimeName, make_runtime
from engines.runtime.tensorrt import GpuOptions
from engines.training.cli import add_commands
from engines.verify import verify_engines

__all__ = ["app"]


class Kind(StrEnum):
    """What can be imported from MMOCR."""

    dbnet = "dbnet"
    crnn = "crnn"


app = typer.Typer(
    no_args_is_help=True, help="The networks: what there is, where it lies, whether it still answers as recorded."
)

add_commands(app)

import_app = typer.Typer(no_args_is_help=True, help="Networks trained elsewhere.")
app.add_typer(import_app, name="import")

Directory = Annotated[
    Path, typer.Option("--directory", envvar="IQA_ENGINES__DIRECTORY", help="Where fetched engines lie.", show_default=True)
]


@app.command("list")
def list_engines(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Show every engine, its job, and whether its file is here."""
    table = Table("engine", "job", "file", "size", "licence")
    # Names are typed elsewhere: where the terminal is narrow, all else is folded.
    table.columns[0].no_wrap = True
    for column in table.columns:
        column.overflow = "fold"
    for name in manifest_names(directory):
        manifest = load_manifest(name, directory)
        table.add_row(manifest.label, manifest.input.kind, manifest.file, _state(manifest, directory), manifest.licence)
    Console().print(table)


@app.command()
def fetch(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Fetch the engines that do not ship, each checked by its hash. What is here already is left alone."""
    for path in fetch_engines(directory, say=typer.echo):
        typer.echo(f"{path} is there")


@import_app.command("mmocr")
def import_mmocr(
    kind: Annotated[Kind, typer.Option(help="Detector or recogniser.")],
    checkpoint: Annotated[Path, typer.Option(help="MMOCR 1.x checkpoint (.pth).")],
    dictionary: Annotated[Path | None, typer.Option(help="For crnn: one character a line; else 0-9a-z.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the engine; else mmocr-dbnet-r18 or mmocr-crnn.")] = None,
    directory: Directory = DEFAULT_DIRECTORY,
) -> None:
    """Make an ONNX engine, with manifest and golden answers, of a checkpoint of MMOCR's DBNet-R18 or CRNN. Needs torch."""
    try:
        from engines.models.mmocr import import_checkpoint
    except ImportError as error:
        raise EngineError(f"importing needs the train extra (pip install 'iqa-fleet[train]'): {error}") from error
    manifest = import_checkpoint(kind.value, checkpoint, dictionary, name, expanded(directory))
    setting = "TEXT_DETECTION" if kind is Kind.dbnet else "TEXT_RECOGNITION"
    typer.echo(f"{manifest.label} is in {directory}; use it with IQA_ENGINES__{setting}={manifest.name}")


Quality = Annotated[str, typer.Option(envvar="IQA_ENGINES__QUALITY")]
Detection = Annotated[str, typer.Option(envvar="IQA_ENGINES__TEXT_DETECTION")]
Recognition = Annotated[str, typer.Option(envvar="IQA_ENGINES__TEXT_RECOGNITION")]
RuntimeOption = Annotated[RuntimeName, typer.Option("--runtime", envvar="IQA_RUNTIME", help="What runs the networks.")]


@app.command()
def verify(
    directory: Directory = DEFAULT_DIRECTORY,
    quality: Quality = EngineNames.quality,
    text_detection: Detection = EngineNames.text_detection,
    text_recognition: Recognition = EngineNames.text_recognition,
    runtime: RuntimeOption = "auto",
    against: Annotated[RuntimeName | None, typer.Option(help="Compare with this backend as well (the parity gate).")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Compare on the pictures of this folder, not on the gate's own.")
    ] = None,
    threshold: Annotated[list[float] | None, typer.Option(help="Between categories; 40 and 60 if not given.")] = None,
) -> None:
    """Run the golden pictures, and with --against the parity gate; exit code 1 if an answer differs."""
    if pictures and not pictures.is_dir():
        raise typer.BadParameter(f"{pictures} is no folder", param_hint="--pictures")
    names = EngineNames(quality, text_detection, text_recognition)
    choices: list[Chosen] = []
    engines = load_engines(names, directory, make_runtime(runtime, directory, progress=_progress(), say=choices.append))
    _show_choices(choices)
    passed = _show_golden(engines)
    if against:
        reference = load_engines(names, directory, make_runtime(against, directory))
        chosen = folder_pictures(pictures) if pictures else gate_pictures()
        passed &= _show_parity(compare_engines(reference, engines, chosen, sorted(threshold or THRESHOLDS)))
    if not passed:
        raise typer.Exit(1)


@app.command()
def build(
    directory: Directory = DEFAULT_DIRECTORY,
    quality: Quality = EngineNames.quality,
    text_detection: Detection = EngineNames.text_detection,
    text_recognition: Recognition = EngineNames.text_recognition,
    batch: Annotated[int, typer.Option(min=1, max=256, envvar="IQA_GPU__BATCH", help="Pictures at once, at most.")] = 8,
    precision: Annotated[Precision, typer.Option(envvar="IQA_GPU__PRECISION")] = "half",
) -> None:
    """Build TensorRT plans for the GPU of this machine, so that workers start at once. Plans that are there are kept."""
    options = GpuOptions(batch=batch, precision=precision)
    runtime = make_runtime("tensorrt", directory, options, _progress())
    load_engines(EngineNames(quality, text_detection, text_recognition), directory, runtime)
    typer.echo(f"plans for {runtime.label} are in {directory / 'plans'}")


@app.command()
def bench(
    directory: Directory = DEFAULT_DIRECTORY,
    engine: Annotated[list[str] | None, typer.Option(help="Which engines; the three default ones if not given.")] = None,
    runtime: RuntimeOption = "auto",
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Pictures per call; may be repeated. 1 if not given.")] = None,
    callers: Annotated[int, typer.Option(min=1, max=256, help="Threads that call at once.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each row.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON array instead of a table.")] = False,
) -> None:
    """Measure images per second and latency. Compare rows of one run: machines are shared, and noisy."""
    chosen = engine or [*panel_names(EngineNames.quality), EngineNames.text_detection, EngineNames.text_recognition]
    sizes = batch or [1]
    choices: list[Chosen] = []
    made = make_runtime(runtime, directory, GpuOptions(batch=max(sizes)), _progress(), callers, choices.append)
    rows = [bench_engine(name, directory, made, size, seconds, callers) for name in chosen for size in sizes]
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    _show_choices(choices)
    console = Console()
    console.print(f"{made.label}, {callers} callers, {seconds:g} s a row; sizes of inputs are in --json")
    table = Table("engine", "batch", "images/s", "p50 ms", "p95 ms", "p99 ms", "core-ms", box=SIMPLE_HEAD)
    for row in rows:
        figures = (row.images_per_second, row.p50_ms, row.p95_ms, row.p99_ms, row.core_ms)
        table.add_row(row.engine, str(row.batch), *(f"{figure:.1f}" for figure in figures))
    console.print(table)


def _show_golden(engines: EngineSet) -> bool:
    results = verify_engines(engines)
    table = Table("engine", "picture", "recorded", "answered", "")
    for result in results:
        row = (result.engine, result.picture, result.recorded, result.answered)
        table.add_row(*row, "ok" if result.passed else "[red]differs")
    Console().print(table)
    return all(result.passed for result in results)


def _show_parity(results: list[Difference]) -> bool:
    table = Table("picture", "score there", "score here", "text area there", "text area here", "")
    for result in results:
        row = (result.picture, *map(str, result.scores), *map(str, result.areas))
        table.add_row(*row, "ok" if result.passed else "[red]differs")
    Console().print(table)
    if not results:
        typer.echo("no pictures were compared", err=True)
    return bool(results) and all(result.passed for result in results)


def _show_choices(choices: list[Chosen]) -> None:
    """Who serves which engine, where that was measured; once for each, on standard error."""
    for chosen in dict.fromkeys(choices):
        if chosen.failed:
            typer.echo(f"{chosen.engine}: {chosen.runtime} serves; nothing was measured: {chosen.failed}", err=True)
            continue
        times = f"{chosen.reference_ms:g} ms on the first, {chosen.other_ms:g} on the second"
        differ = "" if chosen.agree else "; their answers differ: report the processor"
        typer.echo(f"{chosen.engine}: {chosen.runtime} serves ({times}){differ}", err=True)


def _progress() -> Progress:
    """Builds take minutes: say on standard error what goes on, a line a phase."""

    def show(phase: str, done: int, steps: int) -> None:
        if done == steps:
            typer.echo(f"building plan: {phase}: done", err=True)

    return show


def _state(manifest: Manifest, directory: Path) -> str:
    try:
        return f"{verified_file(manifest, expanded(directory)).stat().st_size / 1e6:.1f} MB"
    except EngineMissingError:
        return "missing: iqa engines fetch"
