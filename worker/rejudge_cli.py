"""``iqa rejudge``: events of the last days are judged anew."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from calibration.errors import ProfileError
from calibration.profile import Profile
from calibration.profile_file import load_profile
from worker.errors import IqaError, StoppedError
from worker.interrupts import interruptible, time_of
from worker.memory import return_large_blocks
from worker.rejudge.tally import Tally
from worker.rejudge.wanted import Wanted
from worker.settings import Settings, load_settings
from worker.stream.clients import require_broker
from worker.telemetry.logs import configure_logs

__all__ = ["rejudge"]

OUTCOMES = {
    "judged": "judged again",
    "other_category": "of them in another category than before",
    "changed": "of them with other bytes at the same URL",
    "already": "left: judged by this profile and these engines before",
    "superseded": "left: the image was uploaded again since",
    "failed": "left: they failed in this process, see rejudge_failed in the log",
    "too_large": "left: the verdict is larger than its topic takes",
    "refused": "left: the broker refuses the verdict",
    "no_event": "passed over: no events",
    "other_service": "passed over: of other services",
    "out_of_range": "passed over: written before or after the time asked for",
}


def rejudge(
    since: Annotated[str, typer.Option(help="Events written from then on: 2026-01-31, or with a time, T12:30+08:00.")],
    until: Annotated[str | None, typer.Option(help="Only events written before then; else all that are there now.")] = None,
    service: Annotated[list[str] | None, typer.Option(help="Only of this service; may be given again.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Judge by this one, a name or a file, not by those of the settings.")
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Pictures a second at most, in this process; 0 for no limit.")] = 0.0,
    to: Annotated[
        Path | None, typer.Option(help="Write Parquet files into this folder; publish nothing.", file_okay=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count events, by service.")] = False,
) -> None:
    """Judge events of the last days again, beside the workers. Interrupt it: the same command goes on where it was."""
    wanted = _wanted(since, until, service)
    if not math.isfinite(rate):
        raise IqaError(f"--rate: {rate} is no number of pictures")
    chosen = _profile(profile)
    settings = load_settings()
    configure_logs(settings.log_level)
    if to is not None:
        from worker.rejudge.parts import require_parquet

        require_parquet()
    require_broker(settings.kafka)
    if dry_run:
        _count(settings, wanted, rate)
    else:
        _run(settings, wanted, chosen, rate, to)


def _wanted(since: str, until: str | None, services: list[str] | None) -> Wanted:
    begin, end = time_of("--since", since), time_of("--until", until)
    if begin is None or begin > datetime.now(UTC):
        raise IqaError(f"--since: {since} is yet to come")
    if end is not None and end <= begin:
        raise IqaError(f"--until: {until} is not after --since {since}")
    if any(not service.strip() for service in services or ()):
        raise IqaError("--service must not be empty")
    return Wanted(begin, end, frozenset(services or ()))


def _profile(named: str | None) -> Profile | None:
    try:
        return load_profile(named) if named is not None else None
    except ProfileError as error:
        raise ProfileError(f"--profile: {error}") from error


def _count(settings: Settings, wanted: Wanted, rate: float) -> None:
    from worker.rejudge.counting import count_events

    found = count_events(settings, wanted)
    table = Table("service", "events")
    for name, count in found.most_common():
        table.add_row("(none)" if name is None else escape(name), str(count))
    table.add_row("all", str(found.total()))
    Console().print(table)
    if rate > 0:
        typer.echo(f"at {rate:g} a second: {found.total() / rate / 3600:.1f} hours")


def _run(settings: Settings, wanted: Wanted, profile: Profile | None, rate: float, folder: Path | None) -> None:
    from worker.rejudge.job import Plan, Rejudge

    return_large_blocks()
    job = Rejudge(settings, Plan(wanted, profile, rate, folder))
    with interruptible(job.stop) as (_, came):
        try:
            job.run()
        except StoppedError as error:
            typer.echo(f"iqa: {error}", err=True)
            raise typer.Exit(1) from error
        finally:
            _tell(job.tally)
    if folder is not None:
        _compare(folder)
    if not job.done:
        typer.echo("interrupted: the same command goes on from here", err=True)
        raise typer.Exit(128 + came[0] if came else 1)


def _tell(tally: Tally) -> None:
    for name, told in OUTCOMES.items():
        if tally[name] or name == "judged":
            typer.echo(f"{tally[name]:>8} {told}")
    for code, count in sorted(tally.gone.items()):
        typer.echo(f"{count:>8} left: the picture cannot be fetched ({code})")


def _compare(folder: Path) -> None:
    """Old category against new, over all rows by now."""
    from worker.rejudge.parts import count_changes, overlapping, parts_of

    parts = parts_of(folder)
    if double := overlapping(parts):
        typer.echo(f"rows are there twice from {double[0].path.name} on: delete the folder, and begin again", err=True)
    found = count_changes(parts)
    names = [name for name in ("low", "medium", "high", "none") if any(name in pair for pair in found)]
    table = Table("before, now", *names)
    for old in names:
        table.add_row(old, *(str(found[old, new]) for new in names))
    Console().print(table)
    typer.echo(_changed(found))


def _changed(found: Counter[tuple[str, str]]) -> str:
    both = {pair: count for pair, count in found.items() if "none" not in pair}
    changed = sum(count for (old, new), count in both.items() if old != new)
    return f"{changed} of {sum(both.values())} with a category before and now have another one; {found.total()} rows"
