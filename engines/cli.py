"""``iqa engines``: list, fetch and verify engines."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engines.catalog import Manifest, load_manifest, manifest_names, verified_file
from engines.engine_set import DEFAULT_DIRECTORY, EngineNames, load_engines
from engines.errors import EngineError, EngineMissingError
from engines.fetch import fetch_engines
from engines.runtime.onnx import OnnxRuntime
from engines.training.cli import train
from engines.verify import verify_engines

__all__ = ["app"]


class Kind(StrEnum):
    """What can be imported from MMOCR."""

    dbnet = "dbnet"
    crnn = "crnn"


app = typer.Typer(
    no_args_is_help=True, help="The networks: what there is, where it lies, whether it still answers as recorded."
)

app.command()(train)

import_app = typer.Typer(no_args_is_help=True, help="Networks trained elsewhere.")
app.add_typer(import_app, name="import")

Directory = Annotated[
    Path, typer.Option("--directory", envvar="IQA_ENGINES__DIRECTORY", help="Where fetched engines lie.", show_default=True)
]


@app.command("list")
def list_engines(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Show every engine, its job, and whether its file is here."""
    table = Table("engine", "job", "file", "size", "licence")
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
    manifest = import_checkpoint(kind.value, checkpoint, dictionary, name, directory.expanduser())
    setting = "TEXT_DETECTION" if kind is Kind.dbnet else "TEXT_RECOGNITION"
    typer.echo(f"{manifest.label} is in {directory}; use it with IQA_ENGINES__{setting}={manifest.name}")


@app.command()
def verify(
    directory: Directory = DEFAULT_DIRECTORY,
    quality: Annotated[str, typer.Option(envvar="IQA_ENGINES__QUALITY")] = EngineNames.quality,
    text_detection: Annotated[str, typer.Option(envvar="IQA_ENGINES__TEXT_DETECTION")] = EngineNames.text_detection,
    text_recognition: Annotated[str, typer.Option(envvar="IQA_ENGINES__TEXT_RECOGNITION")] = EngineNames.text_recognition,
) -> None:
    """Run the golden pictures through the engines; exit code 1 if an answer differs from the recorded one."""
    engines = load_engines(EngineNames(quality, text_detection, text_recognition), directory, OnnxRuntime())
    results = verify_engines(engines)
    table = Table("engine", "picture", "recorded", "answered", "")
    for result in results:
        row = (result.engine, result.picture, result.recorded, result.answered)
        table.add_row(*row, "ok" if result.passed else "[red]differs")
    Console().print(table)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


def _state(manifest: Manifest, directory: Path) -> str:
    try:
        return f"{verified_file(manifest, directory.expanduser()).stat().st_size / 1e6:.1f} MB"
    except EngineMissingError:
        return "missing: iqa engines fetch"
