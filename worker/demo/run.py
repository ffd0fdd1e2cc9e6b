"""Runs the demo: broker, Redis, picture server, a real worker process, events, verdicts, page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engines.fetch import fetch_engines
from worker.contracts.verdicts import QualityVerdict
from worker.demo.page import Card, make_page
from worker.demo.pictures import Sample, fetch_photos, make_samples
from worker.embedded.broker import EmbeddedBroker
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import LocalRedis
from worker.errors import IqaError
from worker.send import make_event, send_events
from worker.settings import Settings, load_settings
from worker.store import VerdictReader, connect
from worker.stream.clients import make_consumer, make_producer
from worker.stream.incoming import read_record
from worker.table import verdict_table

__all__ = ["run_demo"]

PATIENCE_S = 180.0
REPEATED = "good-flower.jpg"


def run_demo(folder: Path) -> None:
    """Judge all samples end to end; ``folder`` gets the pictures and ``index.html``.

    Raises:
        IqaError, EngineError: something does not start, or a verdict does not come.

    """
    console = Console()
    say: Callable[[str], None] = console.print
    # Warnings of libraries would tear the progress bar.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IqaError(f"--folder {folder}: {error.strerror}") from error
    settings = load_settings()
    fetch_engines(settings.engines.directory, say)
    samples = make_samples(fetch_photos(folder / "photos", say))
    files = {sample.name: sample.data for sample in samples}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with ExitStack() as stack:
        topics = settings.topics
        broker = stack.enter_context(
            EmbeddedBroker([topics.uploads, topics.verdicts, topics.dead_letters, *settings.retry_topics])
        )
        redis = stack.enter_context(LocalRedis())
        server = stack.enter_context(PictureServer(files))
        environment = {
            "IQA_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "IQA_KAFKA__DELIVERY": "at_least_once",
            "IQA_REDIS__URL": redis.url,
            "IQA_FETCH__ALLOW_NETWORKS": "127.0.0.0/8",
            "IQA_HTTP__HOST": "127.0.0.1",
            "IQA_HTTP__PORT": "0",
        }
        os.environ.update(environment)
        settings = load_settings()
        console.print(f"broker {broker.bootstrap_servers} (embedded), {redis.kind} {redis.url}")
        began = time.monotonic()
        worker = stack.enter_context(_worker(folder / "worker.log"))
        cards, dead = _send_and_wait(settings, samples, server, console, worker)
        summary = _summary(cards, dead, time.monotonic() - began)
        console.print(verdict_table(card.verdict for card in cards))
        console.print(summary)
    page = folder / "index.html"
    page.write_text(make_page(cards, summary), encoding="utf-8")
    console.print(f"every picture with its verdict: {page.resolve().as_uri()}")


@contextmanager
def _worker(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker process; its logs go to ``log``."""
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-m", "worker.cli", "worker", "run"], stderr=sink, stdout=sink)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _send_and_wait(
    settings: Settings, samples: list[Sample], server: PictureServer, console: Console, worker: subprocess.Popen[bytes]
) -> tuple[list[Card], dict[str, str]]:
    """Send everything, wait for every verdict in Redis; then send the repeat and wait for that too."""
    cards: dict[str, tuple[bytes | None, str]] = {sample.name: (sample.data, sample.shows) for sample in samples}
    events = [make_event(server.url(sample.name), sample.name) for sample in samples]
    extra = {
        "missing.jpg": (server.url("missing.jpg"), "a file that is not there"),
        "private-address.jpg": ("http://10.0.0.7/secret.jpg", "a private address"),
        "wrong-hash.jpg": (server.url("good-cat.jpg"), "other bytes than the event names"),
    }
    for name, (url, shows) in extra.items():
        cards[name] = (None, shows)
        events.append(make_event(url, name, sha256="0" * 64 if name == "wrong-hash.jpg" else None))
    repeat = make_event(server.url(REPEATED), "repeat-of-good-flower.jpg")
    cards[repeat.image_id] = (cards[REPEATED][0], "the same bytes once more: no inference")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("judging", total=len(events) + 1)
        _send_malformed(settings)
        send_events(settings, events)
        verdicts = _wait(settings, [event.image_id for event in events], worker, lambda: progress.advance(task))
        send_events(settings, [repeat])
        verdicts |= _wait(settings, [repeat.image_id], worker, lambda: progress.advance(task))
    return [Card(*cards[name], verdicts[name]) for name in cards], _dead_letters(settings)


def _send_malformed(settings: Settings) -> None:
    """An event without a URL: it must end in the dead-letter topic."""
    producer = make_producer(settings.kafka)
    producer.produce(settings.topics.uploads, b'{"event_id": "malformed", "image_id": "malformed"}', b"malformed")
    producer.flush(10)


def _wait(
    settings: Settings, image_ids: list[str], worker: subprocess.Popen[bytes], advance: Callable[[], None]
) -> dict[str, QualityVerdict]:
    client = connect(settings.redis)
    if client is None:
        raise IqaError("IQA_REDIS__URL is not set")
    reader, found, end = VerdictReader(client), dict[str, QualityVerdict](), time.monotonic() + PATIENCE_S
    for image_id in image_ids:
        while (verdict := reader.wait_for(image_id, 1.0)) is None:
            if worker.poll() is not None or time.monotonic() > end:
                raise IqaError(f"no verdict on {image_id}: see worker.log in the demo's folder")
        found[image_id] = verdict
        advance()
    return found


def _dead_letters(settings: Settings) -> dict[str, str]:
    """Keys and reasons of what went to the dead-letter topic."""
    consumer = make_consumer(settings.kafka, "demo-dead-letters")
    try:
        consumer.subscribe([settings.topics.dead_letters])
        for message in consumer.consume(1, 15.0):
            letter = read_record(message)
            return {letter.some_key.decode(): letter.own["reason"]}
    finally:
        consumer.close()
    return {}


def _summary(cards: list[Card], dead: dict[str, str], seconds: float) -> str:
    counts = {
        label: sum((c.verdict.category or c.verdict.status) == label for c in cards)
        for label in ("high", "medium", "low", "unscorable")
    }
    told = ", ".join(f"{count} {label}" for label, count in counts.items())
    letters = ", ".join(f"{key} ({reason})" for key, reason in dead.items()) or "none"
    return f"{len(cards)} verdicts in {seconds:.1f} s, the worker's start included: {told}. Dead letters: {letters}."
