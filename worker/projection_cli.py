"""``iqa projection``: the verdicts topic into Redis, as a process of its own; and once more from the beginning."""

from __future__ import annotations

import signal
import threading

import redis
import structlog
import typer

from worker.errors import IqaError
from worker.projection import make_projection, projection_group
from worker.settings import Settings, load_settings
from worker.store import VerdictWriter, connect
from worker.stream.topics import require_topics
from worker.telemetry.http import TelemetryServer
from worker.telemetry.logs import configure_logs
from worker.telemetry.metrics import Metrics

__all__ = ["app"]

log = structlog.get_logger()
app = typer.Typer(no_args_is_help=True, help="The verdicts topic into Redis.")


def _client(settings: Settings) -> redis.Redis:
    client = connect(settings.redis)
    if client is None:
        raise IqaError("IQA_REDIS__URL is not set")
    return client


@app.command()
def run() -> None:
    """Follow the topic until SIGTERM. For a deployment of its own; workers then have IQA_PROJECTION__ENABLED=false."""
    settings = load_settings()
    configure_logs(settings.log_level)
    client, metrics, over = _client(settings), Metrics(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    require_topics(settings)
    projection = make_projection(settings, client, metrics)

    def health() -> dict[str, bool]:
        return {"projection": projection.alive()}

    telemetry = TelemetryServer(settings.http.host, settings.http.port, health, health, metrics.registry)
    projection.start()
    log.info("projecting", port=telemetry.port, group=projection_group(settings.kafka.group_id))
    while projection.alive() and not over.wait(0.2):
        pass
    ended = not projection.alive()
    projection.stop()
    telemetry.close()
    if ended:
        raise IqaError("the projection ended by itself; the log says why")


@app.command()
def rebuild() -> None:
    """Have every running projection write the whole topic again; an image judged twice may show its older verdict meanwhile."""
    settings = load_settings()
    generation = VerdictWriter(_client(settings), settings.redis).renew()
    typer.echo(
        f"generation {generation}: running projections begin anew within a second or two; iqa_projected_verdicts_total rises"
    )
