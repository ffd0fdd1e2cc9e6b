"""One command, ``iqa``, with the sub-commands of all packages."""

from __future__ import annotations

if __name__ == "__main__":
    # Signals are answered before the rest is imported; this never comes back.
    from worker.entry import main as begin

    begin()

import io
import logging
import math
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer
from confluent_kafka import KafkaException
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from calibration.errors import CalibrationError
from engines.cli import app as engines_app
from engines.errors import EngineError
from worker.calibrate_cli import app as calibrate_app
from worker.contracts.verdicts import QualityVerdict
from worker.dlq_cli import app as dlq_app
from worker.entry import is_service
from worker.errors import BrokerError, CacheError, IqaError, StoppedError
from worker.memory import return_large_blocks
from worker.probe_cli import app as probe_app
from worker.projection_cli import app as projection_app
from worker.rejudge_cli import rejudge
from worker.settings import load_settings
from worker.store import VerdictReader, connect
from worker.stream.records import software_version
from worker.table import verdict_table
from worker.telemetry.logs import configure_logs
from worker.top_cli import top
from worker.topics_cli import app as topics_app

__all__ = ["INTERNAL", "app", "main"]

INTERNAL = 70
"""Exit code of a mistake in the program itself, as in BSD's sysexits.h."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
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
app.add_typer(probe_app, name="probe")
app.command()(top)
app.command()(rejudge)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"iqa {software_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Judges pictures: low, medium or high, with reasons. Settings come from the environment (IQA_...); see the README."""


@worker_app.command("run")
def run_worker() -> None:
    """Judge upload events until SIGTERM, then drain. Logs are JSON on standard error."""
    from worker.app import EXIT_LEFT, Worker

    settings = load_settings()
    configure_logs(settings.log_level)
    return_large_blocks()
    worker = Worker(settings, on_overdue=_end)
    try:
        worker.run()
    except (BrokerError, StoppedError) as error:
        structlog.get_logger().error("stopped_by_failure", error=str(error))
        sys.stderr.write(f"iqa: {error}\n")
        _end(1)
    _end(EXIT_LEFT if worker.unpublished else 0)


def _end(code: int) -> NoReturn:
    """End the process now: threads that outlast the drain hang in somebody's web server, and Python would wait for them."""
    logging.shutdown()
    os._exit(code)


@app.command()
def score(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.", metavar="PATH...")],
    json: Annotated[bool, typer.Option("--json", help="One JSON verdict a line, in the order of the input.")] = False,
    service: Annotated[str | None, typer.Option(help="Which service uploaded them; chooses the profile.")] = None,
) -> None:
    """Judge files, without Kafka, as a worker would; pictures are decoded in this process. Every file gets an answer."""
    from worker.score import common_folder, find_files, score_files

    _refuse_empty("--service", service)
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
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("judging", total=len(chosen))
        for verdict in judged:
            verdicts.append(verdict)
            progress.advance(task)
    Console().print(verdict_table(verdicts, common_folder(chosen)))


@app.command()
def send(
    urls: Annotated[list[str], typer.Argument(help="Where pictures lie.", metavar="URL...")],
    image_id: Annotated[str | None, typer.Option(help="Only with a single URL; else derived from it.")] = None,
    service: Annotated[str | None, typer.Option(help="Which service uploaded it.")] = None,
) -> None:
    """Send an upload event for every URL, and print the image ids."""
    from worker.send import make_event, send_events
    from worker.send_urls import check_url
    from worker.stream.clients import quiet_clients

    _refuse_empty("--image-id", image_id)
    _refuse_empty("--service", service)
    if image_id and len(urls) > 1:
        raise IqaError("--image-id goes with a single URL")
    settings = load_settings()
    for url in urls:
        check_url(url, settings.fetch)
    try:
        events = [make_event(url, image_id, service) for url in urls]
    except ValidationError as error:
        first = error.errors()[0]
        raise IqaError(f"no event can be made of that: {first['loc'][0]}: {first['msg']}") from error
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
    _refuse_empty("an image id", image_id)
    if not math.isfinite(wait):
        raise IqaError(f"--wait: {wait} is no number of seconds")
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
    """Run the command line; whatever happens, it ends with one line and an exit code that the README lists."""
    _mend_outputs()
    try:
        try:
            app()
        finally:
            # Not left to Python's end: an error there is a traceback.
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone, as head does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(1) from None
    except (BrokerError, CacheError) as error:
        _fail(str(error), 1)
    except (IqaError, EngineError, CalibrationError) as error:
        _fail(str(error), 2)
    except KafkaException as error:
        _fail(f"Kafka: {error.args[0].str()}", 1)
    except OSError as error:
        # With a name it is a path that somebody gave; without one the machine or a peer failed.
        _fail(f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else str(error), 2 if error.filename else 1)
    except Exception as error:
        _fail_unforeseen(error)


def _refuse_empty(what: str, value: str | None) -> None:
    if value is not None and not value.strip():
        raise IqaError(f"{what} must not be empty")


def _mend_outputs() -> None:
    """Outputs that were closed swallow what is written; characters that a terminal cannot show are escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(told: str, code: int) -> None:
    sys.stderr.write(f"iqa: {' '.join(told.split())}\n")
    raise SystemExit(code)


def _fail_unforeseen(error: Exception) -> None:
    if is_service():
        # Its lines are JSON, tracebacks included.
        if not structlog.is_configured():
            configure_logs("info")
        structlog.get_logger().exception("stopped_by_an_error")
        raise SystemExit(INTERNAL)
    if os.environ.get("IQA_LOG_LEVEL", "").lower() == "debug":
        traceback.print_exc()
    _fail(f"internal error: {type(error).__name__}: {error}; set IQA_LOG_LEVEL=debug for the traceback", INTERNAL)
