"""``iqa projection``: the verdicts topic into Redis, as a process of its own; and once more from the beginning."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import structlog
import typer
from confluent_kafka import KafkaException

from worker.errors import BrokerError, SettingsError
from worker.projection import Projection, make_projection, projection_group
from worker.redis_client import Client
from worker.redis_writer import Partition
from worker.settings import Settings, load_settings
from worker.store import VerdictWriter, connect
from worker.stream.clients import make_admin
from worker.stream.records import software_version
from worker.stream.topics import require_topics
from worker.telemetry.health import Health
from worker.telemetry.http import TelemetryServer
from worker.telemetry.logs import configure_logs
from worker.telemetry.machine import Machine
from worker.telemetry.metrics import Metrics

__all__ = ["app"]

log = structlog.get_logger()
app = typer.Typer(no_args_is_help=True, help="The verdicts topic into Redis.")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _client(settings: Settings) -> Client:
    client = connect(settings.redis)
    if client is None:
        raise SettingsError("IQA_REDIS__URL is not set")
    return client


@app.command()
def run() -> None:
    """Follow the topic until SIGTERM. For a deployment of its own; workers then have IQA_PROJECTION__ENABLED=false."""
    over = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: over.set())
    settings = load_settings()
    configure_logs(settings.log_level)
    metrics = Metrics()
    projection = make_projection(settings, _client(settings), metrics, lambda _: over.set())
    started = threading.Event()

    def live() -> dict[str, bool]:
        return projection.live() if started.is_set() else {"starting": True}

    def ready() -> dict[str, bool]:
        return projection.ready() if started.is_set() else {"started": False}

    metrics.registry.register(Health(live, ready))
    metrics.registry.register(Machine())
    metrics.build.info({"version": software_version()})
    telemetry = TelemetryServer(settings.http.host, settings.http.port, live, ready, metrics.registry)
    try:
        if _unless_over(over, lambda: require_topics(settings, verdicts_only=True)):
            _follow(projection, projection_group(settings.kafka.group_id), started, over)
    finally:
        telemetry.close()


def _follow(projection: Projection, group: str, started: threading.Event, over: threading.Event) -> None:
    projection.start()
    started.set()
    log.info("projecting", group=group)
    over.wait()
    done = projection.stop()
    log.info("stopped", left_group=done)
    if projection.failed is not None:
        raise BrokerError(f"the projection ended by itself: {projection.failed}")


def _unless_over(over: threading.Event, work: Callable[[], None]) -> bool:
    """Do ``work``, which may wait for a server, unless ``over`` is set before it is done; gives whether it was done."""
    raised: list[Exception] = []
    done = threading.Event()

    def attempt() -> None:
        try:
            work()
        except Exception as error:  # raised again by the thread that waits
            raised.append(error)
        finally:
            done.set()

    threading.Thread(target=attempt, name="start", daemon=True).start()
    while not (done.wait(0.05) or over.is_set()):
        pass
    if raised:
        raise raised[0]
    return done.is_set() and not over.is_set()


@app.command()
def rebuild() -> None:
    """Have every running projection write the whole topic again, without a stop; newer verdicts stay where they are."""
    settings = load_settings()
    client = _client(settings)
    partitions = _partitions(settings)
    VerdictWriter(client, settings.redis).reset(partitions)
    typer.echo(
        f"{len(partitions)} partitions of {settings.topics.verdicts}: running projections begin anew within a second or two; "
        "iqa_projected_verdicts_total rises"
    )


def _partitions(settings: Settings) -> list[Partition]:
    topic = settings.topics.verdicts
    try:
        found = make_admin(settings.kafka).list_topics(timeout=5).topics.get(topic)
    except KafkaException as error:
        message = f"no answer from {settings.kafka.bootstrap_servers}: {error.args[0].str()}"
        raise BrokerError(f"{message}; check IQA_KAFKA__BOOTSTRAP_SERVERS") from error
    if found is None or not found.partitions:
        raise BrokerError(f"topic {topic} does not exist; run `iqa topics create`")
    return [(topic, number) for number in sorted(found.partitions)]
