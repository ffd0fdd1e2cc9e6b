"""Hosts that are down, and come back: retry topics, dead letters, and their replay, on a real Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.integration.broker import Broker
from tests.integration.fleet import PARTITIONS, Fleet
from tests.integration.test_delivery import pictures
from tests.integration.web import answering
from tests.patience import PATIENCE_S
from worker.send import make_event, send_events
from worker.settings import RetrySettings
from worker.stream.clients import make_consumer, make_producer
from worker.stream.dead_letters import Filter, parked_topic, read_dead_letters
from worker.stream.incoming import read_record
from worker.stream.replay import replay
from worker.stream.topics import create_topics

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
ONCE = {"IQA_KAFKA__DELIVERY": "exactly_once", "IQA_FETCH__ATTEMPTS": "1", "IQA_RETRY__DELAYS_S": "1,2"}


class Host:
    """Serves pictures, or 503 while it is down."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.port = files, 0
        self.down = True
        self.asked = 0

    def answer(self, name: str) -> tuple[int, bytes]:
        self.asked += 1
        return (503, b"") if self.down else (200, self.files[name])

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@contextmanager
def host(files: dict[str, bytes]) -> Iterator[Host]:
    served = Host(files)
    with answering(served.answer) as served.port:
        yield served


def send(fleet: Fleet, server: Host, count: int) -> set[str]:
    events = [make_event(server.url(f"{number % 5}.jpg"), f"image-{number}") for number in range(count)]
    send_events(fleet.settings, events)
    return {event.image_id for event in events}


def iqa(fleet: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", *arguments]
    environment = {**os.environ, **fleet.environment, **ONCE, "COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_host_that_comes_back_in_time(fleet: Fleet, wait_until: Wait) -> None:
    """Its pictures wait in a retry topic while others go on; then each gets one verdict, and nothing is a dead letter."""
    fleet.create_topics()
    with host(pictures(5)) as away, host(pictures(5)) as well:
        well.down = False
        # Growing, so that the last try comes late on any machine and the next one soon on a quick one.
        worker = fleet.start(**ONCE | {"IQA_RETRY__DELAYS_S": "1,2,4,8,16,32,64,128"})
        wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        wanted = send(fleet, away, 12)
        wait_until(lambda: away.asked >= 12, what="a first try of each")
        send_events(fleet.settings, [make_event(well.url(f"{n}.jpg"), f"other-{n}") for n in range(5)])
        wait_until(lambda: fleet.read() >= 5, what="verdicts on what is well")
        assert set(fleet.seen) == {f"other-{n}" for n in range(5)}
        away.down = False
        wait_until(lambda: fleet.read() >= 17, what="a verdict on every image")
        assert worker.terminate() == 0
        fleet.read()
    assert set(fleet.seen) == wanted | {f"other-{n}" for n in range(5)}
    assert {verdict.status for verdict in fleet.latest.values()} == {"scored"}
    assert fleet.duplicates == 0
    assert list(read_dead_letters(fleet.settings, Filter())) == []


def test_a_host_that_stays_away_and_a_replay(fleet: Fleet, wait_until: Wait) -> None:
    """After the last try: a verdict that says so and a dead letter each. Replayed once it is back: scored, once each."""
    fleet.create_topics()
    with host(pictures(5)) as away:
        worker = fleet.start(**ONCE)
        wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
        wanted = send(fleet, away, 10)
        make_producer(fleet.settings.kafka).produce(fleet.settings.topics.uploads, b"no json", b"poison")
        wait_until(lambda: fleet.read() >= 10, what="a verdict on every image")
        assert {v.reason.code for v in fleet.latest.values() if v.reason} == {"http_server_error"}
        assert away.asked == 30
        letters = list(read_dead_letters(fleet.settings, Filter(("http_server_error",))))
        assert {(letter.key, letter.attempts) for letter in letters} == {(image_id, 3) for image_id in wanted}
        told = iqa(fleet, "dlq", "stats")
        assert told.returncode == 0, told.stderr
        assert "http_server_error" in told.stdout
        dry = iqa(fleet, "dlq", "replay", "--reason", "http_server_error", "--dry-run")
        assert dry.stdout.startswith("10 events would be replayed, 0 would be parked"), dry.stderr
        away.down = False
        real = iqa(fleet, "dlq", "replay", "--reason", "http_server_error")
        assert real.stdout.startswith("10 events replayed, 0 parked"), real.stderr
        again = iqa(fleet, "dlq", "replay", "--reason", "http_server_error")
        assert again.stdout.startswith("0 events replayed"), again.stderr
        wait_until(lambda: fleet.read() and {v.status for v in fleet.latest.values()} == {"scored"}, what="scored verdicts")
        assert worker.terminate() == 0
        fleet.read()
    assert set(fleet.seen.values()) == {2}


def poisoned(fleet: Fleet, count: int) -> None:
    producer = make_producer(fleet.settings.kafka)
    for number in range(count):
        headers: list[tuple[str, str | bytes | None]] = [
            ("iqa_reason", b"not_json"),
            ("mine", b"kept"),
            ("iqa_replays", b"3" if number % 10 == 0 else b"0"),
        ]
        producer.produce(fleet.settings.topics.dead_letters, f"body {number}".encode(), f"k{number}".encode(), headers=headers)
    assert producer.flush(PATIENCE_S) == 0


def bodies(fleet: Fleet, topic: str, count: int, wait_until: Wait) -> list[tuple[bytes, dict[str, bytes]]]:
    reader = make_consumer(fleet.settings.kafka, f"{topic}.reader")
    reader.subscribe([topic])
    found: list[tuple[bytes, dict[str, bytes]]] = []

    def enough() -> bool:
        for message in reader.consume(500, 0.2):
            if message.error() is None:
                record = read_record(message)
                found.append((record.value or b"", {name: value or b"" for name, value in record.headers}))
        return len(found) >= count

    try:
        wait_until(enough, what=f"{count} records on {topic}")
        enough()
    finally:
        reader.close()
    return found


def test_an_interrupted_replay_goes_on_where_it_was(fleet: Fleet, wait_until: Wait) -> None:
    """350 dead letters, stopped after the first batch: the next run sends the rest, nothing twice, and parks the hopeless."""
    fleet.create_topics()
    poisoned(fleet, 350)
    stop = threading.Event()
    settings = fleet.settings.model_copy(update={"kafka": fleet.settings.kafka.model_copy(update={"delivery": "exactly_once"})})
    first = replay(settings, Filter(), stop=stop, progress=lambda _: stop.set())
    assert first.interrupted
    assert 0 < first.sent < 315
    second = replay(settings, Filter())
    assert (first.sent + second.sent, first.parked + second.parked) == (315, 35)
    sent = bodies(fleet, settings.topics.uploads, 315, wait_until)
    assert len(sent) == len({body for body, _ in sent}) == 315
    assert all(headers == {"mine": b"kept", "iqa_replays": b"1"} for _, headers in sent)
    parked = bodies(fleet, parked_topic(settings), 35, wait_until)
    assert {body for body, _ in parked} == {f"body {number}".encode() for number in range(0, 350, 10)}


def test_workers_create_their_own_topics(fleet: Fleet, broker: Broker, wait_until: Wait) -> None:
    """After an upgrade there are only the three topics that others share: retries and replays work all the same."""
    if not broker.own:
        pytest.skip("a broker of somebody else's may create topics on first use")
    topics = fleet.settings.topics
    old = fleet.settings.model_copy(update={"retry": RetrySettings(delays_s=())})
    create_topics(old, PARTITIONS, 1)
    admin = AdminClient({"bootstrap.servers": fleet.settings.kafka.bootstrap_servers})
    (gone,) = admin.delete_topics([parked_topic(old)]).values()
    gone.result(PATIENCE_S)
    worker = fleet.start(**ONCE)
    wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, what="the assignment")
    assert worker.terminate() == 0
    poisoned(fleet, 10)
    assert iqa(fleet, "dlq", "replay").stdout.startswith("9 events replayed, 1 parked")
    found = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=PATIENCE_S).topics.items()}
    assert [found.get(f"{topics.retry}.{number}") for number in (1, 2)] == [PARTITIONS] * 2
    assert found.get(parked_topic(old)) == PARTITIONS


def test_list_as_people_and_programs_read_it(fleet: Fleet) -> None:
    """A table, JSON with bodies, filters by reason and time; a wrong time is named."""
    fleet.create_topics()
    poisoned(fleet, 5)
    assert iqa(fleet, "dlq", "list").stdout.count("not_json") == 5
    lines = iqa(fleet, "dlq", "list", "--json", "--limit", "2").stdout.splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["not_json"] * 2
    assert json.loads(lines[0])["body"].startswith("body ")
    assert iqa(fleet, "dlq", "list", "--json", "--reason", "other").stdout == ""
    assert iqa(fleet, "dlq", "list", "--json", "--until", "2020-01-01").stdout == ""
    wrong = iqa(fleet, "dlq", "list", "--since", "yesterday")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--since" in wrong.stderr
