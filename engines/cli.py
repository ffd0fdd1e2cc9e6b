"""``iqa engines``: list, fetch and verify engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engines.catalog import Manifest, load_manifest, manifest_names, verified_file
from engines.engine_set import DEFAULT_DIRECTORY, EngineNames, load_engines
from engines.errors import EngineMissingError
from engines.fetch import fetch_engines
from engines.runtime.onnx import OnnxRuntime
from engines.verify import verify_engines

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="The networks: what there is, where it lies, whether it still answers as recorded."
)

Directory = Annotated[
    Path, typer.Option("--directory", envvar="IQA_ENGINES__DIRECTORY", help="Where fetched engines lie.", show_default=True)
]


@app.command("list")
def list_engines(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Show every engine, its job, and whether its file is here."""
    table = Table("engine", "job", "file", "size", "licence")
    for name in manifest_names():
        manifest = load_manifest(name)
        table.add_row(manifest.label, manifest.input.kind, manifest.file, _state(manifest, directory), manifest.licence)
    Console().print(table)


@app.command()
def fetch(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Fetch the engines that do not ship, each checked by its hash. What is here already is left alone."""
    for path in fetch_engines(directory, say=typer.echo):
        typer.echo(f"{path} is there")


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
