"""``iqa probe``: a known picture through the whole path, once or every minute."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.table import Table

from worker.entry import SIGNALS
from worker.errors import BrokerError, IqaError, SettingsError
from worker.probe.known import KNOWN, find_page
from worker.probe.metrics import FleetView, ProbeMetrics
from worker.probe.prober import Probe, Prober
from worker.settings import Settings, load_settings
from worker.stream.clients import quiet_clients, require_broker
from worker.stream.overview import look
from worker.telemetry.complaints import Complaints
from worker.telemetry.health import Health
from worker.telemetry.http import TelemetryServer
from worker.telemetry.logs import configure_logs
from worker.telemetry.machine import Machine

__all__ = ["app"]

log = structlog.get_logger()
app = typer.Typer(no_args_is_help=True, help="Known pictures through the whole path.")

LOOK_S = 15.0
"""Between looks at the fleet."""
STALE_S = 60.0
"""What was seen of the fleet so long ago is shown no more."""
STUCK_S = 120.0
AGAIN_S = 5.0
"""After a broker that did not answer."""


def _settings() -> Settings:
    settings = load_settings()
    if not (settings.probe.served_at or settings.probe.picture_url):
        raise SettingsError(
            "IQA_PROBE__SERVED_AT is not set: where workers reach this process's IQA_HTTP__PORT, http://iqa-probe:8080 say; or "
            "IQA_PROBE__PICTURE_URL, where a copy of the known photo lies (iqa probe picture writes it)"
        )
    return settings


@app.command()
def once() -> None:
    """Send each known picture once and show what came of it. Exit code 1 if anything is not right."""
    settings = _settings()
    configure_logs("error")
    quiet_clients()
    ended: list[Probe] = []
    require_broker(settings.kafka)
    http, metrics = settings.http, ProbeMetrics()
    telemetry = TelemetryServer(http.host, http.port, dict, dict, metrics.registry, find_page)
    try:
        prober = Prober(settings, ended.append)
        for _ in KNOWN[: 1 if settings.probe.picture_url else None]:
            prober.send()
        while prober.pending:
            prober.turn()
        prober.close()
    finally:
        telemetry.close()
    Console().print(_table(ended))
    if any(probe.result != "right" for probe in ended):
        raise typer.Exit(1)


def _table(ended: list[Probe]) -> Table:
    table = Table("picture", "partition", "result", "topic", "Redis", "told")
    for probe in ended:
        shown = [f"{probe.seconds[at]:.2f} s" if at in probe.seconds else "" for at in ("kafka", "redis")]
        colour = "green" if probe.result == "right" else "red"
        table.add_row(probe.known.name, str(probe.partition), f"[{colour}]{probe.result}[/]", *shown, probe.told)
    return table


@app.command()
def run() -> None:
    """Probe until SIGTERM, each partition in turn; show that, and what is known of the whole fleet, as metrics."""
    over = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: over.set())
    settings = _settings()
    configure_logs(settings.log_level)
    metrics, fleet = ProbeMetrics(), FleetView(STALE_S)
    for collector in (fleet, Machine()):
        metrics.registry.register(collector)
    turned = [time.monotonic()]
    health = Health(lambda: {"probing": time.monotonic() - turned[0] < STUCK_S}, lambda: {"probing": not over.is_set()})
    metrics.registry.register(health)
    http = settings.http
    telemetry = TelemetryServer(http.host, http.port, health.live, health.ready, metrics.registry, find_page)
    log.info("probing", port=telemetry.port, every_s=settings.probe.interval_s)
    threading.Thread(target=_look, args=(settings, fleet, over), name="fleet", daemon=True).start()
    try:
        _probe(settings, metrics, over, turned)
    finally:
        telemetry.close()
    log.info("stopped")


def _probe(settings: Settings, metrics: ProbeMetrics, over: threading.Event, turned: list[float]) -> None:
    """Probe until ``over``. A broker that is away is what a probe is for: it is told of, counted, and tried again."""
    prober: Prober | None = None
    complaints, next_at = Complaints(), time.monotonic()
    while not over.is_set():
        turned[0] = time.monotonic()
        if due := turned[0] >= next_at:
            next_at = turned[0] + settings.probe.interval_s
        try:
            prober = prober or Prober(settings, metrics.ended, metrics.late)
            if due:
                prober.send()
            prober.turn()
        except BrokerError as error:
            complaints.say("broker_silent", str(error))
            if due:
                metrics.not_sent()
            over.wait(AGAIN_S)
    if prober:
        prober.close()


def _look(settings: Settings, fleet: FleetView, over: threading.Event) -> None:
    complaints = Complaints()
    while not over.is_set():
        try:
            fleet.show(look(settings, verdicts=False))
        except Exception as error:  # the probes themselves must go on
            complaints.say("fleet_unknown", str(error) or type(error).__name__)
        over.wait(LOOK_S)


@app.command()
def picture(
    path: Annotated[Path, typer.Argument(help="Where it goes.", metavar="FILE")],
    name: Annotated[str, typer.Option(help="photo or certificate.")] = "photo",
) -> None:
    """Write a known picture to FILE, for IQA_PROBE__PICTURE_URL."""
    known = next((each for each in KNOWN if each.name == name), None)
    if known is None:
        raise IqaError(f"--name: there are {' and '.join(each.name for each in KNOWN)}")
    try:
        path.write_bytes(known.data())
    except OSError as error:
        raise IqaError(f"{path}: {error.strerror}") from error
    with suppress(OSError):
        typer.echo(f"{path}: {path.stat().st_size} bytes, {known.category} by the profile recruitment")
