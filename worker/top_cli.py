"""``iqa top``: how the fleet is, from Kafka alone."""

from __future__ import annotations

import json as json_module
import sys
import threading
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from worker.errors import BrokerError
from worker.settings import load_settings
from worker.stream.clients import quiet_clients
from worker.stream.overview import LaneView, Overview, look
from worker.telemetry.logs import configure_logs

__all__ = ["top"]

MOST_ROWS = 30
"""Partitions shown, those with the most lag first."""


def top(
    every: Annotated[float, typer.Option(min=0.5, max=600, help="Seconds between looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, that rates can be told, show that, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for every look.")] = False,
) -> None:
    """Show lag by partition in records and seconds, owners, rates and the last verdicts, until Ctrl-C. Only Kafka is asked."""
    settings = load_settings()
    configure_logs("warning")
    quiet_clients()
    pause = threading.Event()
    before = look(settings)
    pause.wait(every)
    now = look(settings)
    if once:
        _print(now, before, json=json)
        return
    if json:
        while True:
            _print(now, before, json=True)
            pause.wait(every)
            try:
                before, now = now, look(settings)
            except BrokerError as error:
                typer.echo(f"iqa: {error}", err=True)
    with Live(_page(now, before), auto_refresh=False, screen=sys.stdout.isatty()) as live:
        while True:
            pause.wait(every)
            try:
                before, now = now, look(settings)
            except BrokerError as error:
                # What was seen last stays: a broker that is away is when somebody looks.
                told = f"[red]{escape(str(error))}; what follows is {_duration(time.time() - now.at)} old[/]"
                live.update(Group(told, _page(now, before)), refresh=True)
            else:
                live.update(_page(now, before), refresh=True)


def _print(now: Overview, before: Overview, *, json: bool) -> None:
    if json:
        sys.stdout.write(json_module.dumps(as_json(now, before), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    else:
        Console().print(_page(now, before))


def rates(now: Overview, before: Overview) -> dict[str, float]:
    """A second: events that came, events that were worked off, verdicts that were published."""
    seconds = max(0.001, now.at - before.at)

    def a_second(later: int, earlier: int) -> float:
        return round(max(0, later - earlier) / seconds, 2)

    def ends(view: Overview) -> int:
        return sum(each.end for each in view.uploads.partitions)

    def done(view: Overview) -> int:
        return sum(each.committed or 0 for each in view.uploads.partitions)

    return {
        "arrived": a_second(ends(now), ends(before)),
        "done": a_second(done(now), done(before)),
        "verdicts": a_second(now.verdicts_end, before.verdicts_end),
    }


def as_json(now: Overview, before: Overview) -> dict[str, Any]:
    """Everything, for programs."""
    found = asdict(now)
    for name, lane in (("uploads", now.uploads), ("retries", now.retries)):
        found[name] |= {"lag": lane.lag, "oldest_s": round(lane.oldest_s, 1)}
    return found | {"rates": rates(now, before)}


def _page(now: Overview, before: Overview) -> RenderableType:
    a_second = rates(now, before)
    dead = f"{now.dead_letters} dead letters lie on their topic, {now.dead_letters_waiting} of them never replayed"
    speed = f"{a_second['arrived']:g}/s come, {a_second['done']:g}/s are done"
    lines = [
        f"[bold]{now.uploads.lag}[/] events wait, the oldest for {_duration(now.uploads.oldest_s)}; {speed}",
        _told_of(now.uploads),
        f"{now.retries.lag} retries wait; {dead}",
        _told_verdicts(now),
    ]
    table = Table("#", "lag", "oldest", "end", title=f"partitions of {now.uploads.partitions[0].topic}")
    table.add_column("owner", overflow="fold")
    worst = sorted(now.uploads.partitions, key=lambda each: (-each.lag, each.partition))
    for each in worst[:MOST_ROWS]:
        age = "?" if each.age_s is None else _duration(each.age_s) if each.lag else ""
        table.add_row(str(each.partition), str(each.lag), age, str(each.end), each.owner or "[red]nobody")
    more = [f"and {len(worst) - MOST_ROWS} more"] if len(worst) > MOST_ROWS else []
    return Group(*lines, table, *more)


def _told_of(lane: LaneView) -> str:
    orphans = sum(not each.owner for each in lane.partitions)
    nobody = f", [red]{orphans} partitions are nobody's[/]" if orphans else ""
    workers = "1 worker" if lane.members == 1 else f"{lane.members} workers"
    return f"{workers} in group {lane.group} ({lane.state}){nobody}"


def _told_verdicts(now: Overview) -> str:
    seen = now.verdicts
    if not seen.count:
        return "no verdicts yet"
    age = (
        ""
        if seen.p50_s is None
        else f", {seen.p50_s:.1f} s after the upload at the median, {seen.p99_s:.1f} s at the 99th percentile"
    )
    parts = [f"the last {seen.count} verdicts{age}", _counts(seen.categories)]
    if seen.reasons:
        parts.append("reasons " + _counts(seen.reasons))
    if len(seen.fingerprints) > 1:
        short = {name[:8]: count for name, count in seen.fingerprints.items()}
        parts.append(f"[yellow]{len(short)} fingerprints: {_counts(short)}[/]")
    return "; ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in found.items())
