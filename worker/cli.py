"""One command, ``iqa``, with the sub-commands of all packages."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from calibration.errors import CalibrationError
from engines.cli import app as engines_app
from engines.errors import EngineError
from worker.calibrate_cli import app as calibrate_app
from worker.contracts.verdicts import QualityVerdict
from worker.dlq_cli import app as dlq_app
from worker.errors import BrokerError, CacheError, IqaError
from worker.memory import return_large_blocks
from worker.projection_cli import app as projection_app
from worker.settings import load_settings
from worker.store import VerdictReader, connect
from worker.table import verdict_table
from worker.telemetry.logs import configure_logs
from worker.topics_cli import app as topics_app

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Judges pictures: low, medium or high, with reasons. Settings come from the environment (IQA_...); see the README.",
)
worker_app = typer.Typer(no_args_is_help=True, help="The service.")
verdict_app = typer.Typer(no_args_is_help=True, help="Verdicts in Redis.")
app.add_typer(worker_app, name="worker")
app.add_typer(topics_app, name="topics")
app.add_typer(verdict_app, name="verdict")
app.add_typer(engines_app, name="engines")
app.add_typer(calibrate_app, name="calibrate")
app.add_typer(dlq_app, name="dlq")
app.add_typer(projection_app, name="projection")


@worker_app.command("run")
def run_worker() -> None:
    """Judge upload events until SIGTERM, then drain. Logs are JSON on standard error."""
    from worker.app import Worker

    settings = load_settings()
    configure_logs(settings.log_level)
    return_large_blocks()
    Worker(settings).run()
    # Threads that outlasted the drain hang in somebody's web server; Python would wait for them before it ends.
    logging.shutdown()
    os._exit(0)


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.", metavar="PATH...")],
    json: Annotated[bool, typer.Option("--json", help="One JSON verdict a line, in the order of the input.")] = False,
    service: Annotated[str | None, typer.Option(help="Which service uploaded them; chooses the profile.")] = None,
) -> None:
    """Judge files, without Kafka, exactly as a worker would. Every file gets an answer."""
    from worker.score import find_files, score_files

    settings = load_settings()
    configure_logs("warning" if settings.log_level == "info" else settings.log_level)
    try:
        files = find_files(paths)
    except FileNotFoundError as error:
        raise IqaError(str(error)) from error
    if json:
        for verdict in score_files(files, settings, service):
            sys.stdout.write(verdict.model_dump_json() + "\n")
        return
    chosen, verdicts = list(files), list[QualityVerdict]()
    judged = score_files(chosen, settings, service)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("judging", total=len(chosen))
        for verdict in judged:
            verdicts.append(verdict)
            progress.advance(task)
    Console().print(verdict_table(verdicts))


@app.command()
def send(
    urls: Annotated[list[str], typer.Argument(help="Where pictures lie.", metavar="URL...")],
    image_id: Annotated[str | None, typer.Option(help="Only with a single URL; else derived from it.")] = None,
    service: Annotated[str | None, typer.Option(help="Which service uploaded it.")] = None,
) -> None:
    """Send an upload event for every URL, and print the image ids."""
    from worker.send import make_event, send_events
    from worker.stream.clients import quiet_clients

    if image_id and len(urls) > 1:
        raise IqaError("--image-id goes with a single URL")
    try:
        events = [make_event(url, image_id, service) for url in urls]
    except ValidationError as error:
        first = error.errors()[0]
        raise IqaError(f"no event can be made of that: {first['loc'][0]}: {first['msg']}") from error
    settings = load_settings()
    quiet_clients()
    send_events(settings, events)
    for event in events:
        typer.echo(event.image_id)


@verdict_app.command("get")
def get_verdict(
    image_id: Annotated[str, typer.Argument(help="As in the upload event.")],
    wait: Annotated[float, typer.Option(help="Seconds to wait for it.", min=0)] = 0.0,
) -> None:
    """Print the latest verdict on a picture as JSON; exit code 1 if there is none."""
    client = connect(load_settings().redis)
    if client is None:
        raise IqaError("IQA_REDIS__URL is not set")
    verdict = VerdictReader(client).wait_for(image_id, wait)
    if verdict is None:
        typer.echo(f"no verdict on {image_id}", err=True)
        raise typer.Exit(1)
    typer.echo(verdict.model_dump_json(indent=2))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the pictures and the page go.")] = Path(".demo"),
) -> None:
    """Judge some thirty pictures end to end on an embedded broker, print the verdicts, write a page that shows them."""
    from worker.demo.run import run_demo

    run_demo(folder)


def main() -> None:
    """Run the command line. What the user can mend ends with one line: exit code 2; 1 if a server is away."""
    try:
        app()
    except (BrokerError, CacheError) as error:
        _fail(error, 1)
    except (IqaError, EngineError, CalibrationError) as error:
        _fail(error, 2)


def _fail(error: Exception, code: int) -> None:
    sys.stderr.write(f"iqa: {' '.join(str(error).split())}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
