"""``iqa dlq``: list, count and replay dead letters."""

from __future__ import annotations

import json as json_module
import math
import sys
from collections import Counter
from datetime import datetime
from heapq import nsmallest
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from worker.errors import IqaError
from worker.interrupts import interruptible, time_of
from worker.settings import Settings, load_settings
from worker.stream.clients import quiet_clients
from worker.stream.dead_letters import DeadLetter, Filter, read_dead_letters
from worker.stream.replay import Replayed, replay
from worker.telemetry.logs import configure_logs

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Dead letters: events that no verdict could be made of.")

PIPE_WIDTH = 10_000
"""Characters; where nobody looks there is no edge to fold at."""
LEAST_WIDTH = 110
"""Characters; with fewer, columns would vanish. A narrower terminal breaks the lines itself."""

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only with this reason code; may be given again.")]
Since = Annotated[str | None, typer.Option(help="Only what failed from then on: 2026-01-31, or with a time, T12:30+08:00.")]
Until = Annotated[str | None, typer.Option(help="Only what failed before then.")]


@app.command("list")
def list_letters(
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="The oldest so many.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One a line, bodies included.")] = False,
) -> None:
    """Show dead letters: when, why, where from, how often tried."""
    wanted = _filter(reason, since, until)
    shown = nsmallest(limit, read_dead_letters(_settings(), wanted), key=lambda letter: letter.failed_at)
    if json:
        for letter in shown:
            sys.stdout.write(json_module.dumps(_told(letter), ensure_ascii=False) + "\n")
        return
    table = Table("failed", "reason", "key", "from", "attempts", "replays", "detail")
    for letter in shown:
        counts = (str(letter.attempts), str(letter.replays))
        when = letter.failed_at.isoformat(timespec="seconds")
        table.add_row(when, escape(letter.reason), escape(letter.key), escape(letter.origin), *counts, escape(letter.detail))
    _print(table)


@app.command()
def stats(reason: Reasons = None, since: Since = None, until: Until = None) -> None:
    """Count dead letters by reason, with the first and last time."""
    counts, first, last = Counter[str](), dict[str, datetime](), dict[str, datetime]()
    for letter in read_dead_letters(_settings(), _filter(reason, since, until)):
        counts[letter.reason] += 1
        first[letter.reason] = min(letter.failed_at, first.get(letter.reason, letter.failed_at))
        last[letter.reason] = max(letter.failed_at, last.get(letter.reason, letter.failed_at))
    table = Table("reason", "events", "first", "last")
    for name, count in counts.most_common():
        table.add_row(escape(name), str(count), *(when[name].isoformat(timespec="seconds") for when in (first, last)))
    table.add_row("all", str(counts.total()), "", "")
    _print(table)


@app.command("replay")
def replay_letters(
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
    rate: Annotated[float, typer.Option(min=0, help="Events a second at most; 0 for no limit.")] = 50.0,
    most: Annotated[int, typer.Option("--max-replays", min=1, help="Then an event is parked.")] = 3,
) -> None:
    """Send dead letters that lie there now back to the uploads topic. Interrupt it: the same command goes on where it was."""
    wanted, settings = _filter(reason, since, until), _settings()
    if not math.isfinite(rate):
        raise IqaError(f"--rate: {rate} is no number of events")
    console = Console(stderr=True)
    with interruptible() as (stop, came), Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("replaying", total=None)

        def told(done: Replayed) -> None:
            bar.update(task, completed=done.sent + done.parked)

        done = replay(settings, wanted, dry_run=dry_run, per_second=rate, most=most, stop=stop, progress=told)
    verb = "would be " if dry_run else ""
    typer.echo(f"{done.sent} events {verb}replayed, {done.parked} {verb}parked, {done.passed_over} left by the filter")
    if done.impossible:
        typer.echo(f"{done.impossible} cannot be replayed: they were kept in part, or are larger than the topic takes")
    if done.interrupted:
        typer.echo("interrupted: the same command goes on from here", err=True)
        raise typer.Exit(128 + came[0])


def _print(table: Table) -> None:
    """Nothing is cut: times, reasons and numbers stay on one line, what is long is folded; in a pipe a row is a line."""
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = column.header in {"failed", "reason", "attempts", "replays", "events", "first", "last"}
    Console(width=max(LEAST_WIDTH, Console().width) if Console().is_terminal else PIPE_WIDTH).print(table)


def _settings() -> Settings:
    """Settings, with logs on standard error: standard output is for what was asked."""
    settings = load_settings()
    configure_logs("warning" if settings.log_level == "info" else settings.log_level)
    if settings.log_level != "debug":
        quiet_clients()
    return settings


def _filter(reasons: list[str] | None, since: str | None, until: str | None) -> Filter:
    return Filter(tuple(reasons or ()), time_of("--since", since), time_of("--until", until))


def _told(letter: DeadLetter) -> dict[str, object]:
    body = letter.record.value
    return {
        "failed_at": letter.failed_at.isoformat(),
        "reason": letter.reason,
        "detail": letter.detail,
        "key": letter.key,
        "source": letter.source,
        "from": letter.origin,
        "attempts": letter.attempts,
        "replays": letter.replays,
        "whole": not letter.is_cut,
        "body": body.decode("utf-8", "replace") if isinstance(body, bytes) else body,
    }
