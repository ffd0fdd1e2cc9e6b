"""``iqa dlq`` on a real Kafka: it ends at what lay there at its start, sends no event twice, and odd letters stop nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Message
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.hostile.raw_producer import RawProducer
from tests.integration.fleet import PARTITIONS, Fleet
from worker.errors import BrokerError
from worker.settings import Settings
from worker.stream.clients import make_admin, make_consumer, make_producer, make_transactional_producer
from worker.stream.dead_letters import Filter, read_dead_letters
from worker.stream.replay import Replayed, replay
from worker.stream.topic_facts import describe

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
LETTERS = 300
ONCE = {"IQA_KAFKA__DELIVERY": "exactly_once"}


@contextmanager
def started(fleet: Fleet, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "worker.cli", *arguments]
    given = {**os.environ, **fleet.environment, **ONCE, **environment}
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def iqa(fleet: Fleet, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, output, errors."""
    with started(fleet, *arguments, **environment) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def poisoned(fleet: Fleet) -> None:
    producer = make_producer(fleet.settings.kafka)
    for number in range(LETTERS):
        producer.produce(fleet.settings.topics.dead_letters, b"body %d" % number, b"k%d" % number)
    assert producer.flush(60) == 0


def delivering(fleet: Fleet, delivery: str) -> Settings:
    return fleet.settings.model_copy(update={"kafka": fleet.settings.kafka.model_copy(update={"delivery": delivery})})


class Uploads:
    """What has come to the uploads topic by now."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = make_consumer(settings.kafka, f"{settings.kafka.group_id}.uploads-reader")
        self._consumer.subscribe([settings.topics.uploads])
        self.found: list[Message] = []

    def read(self) -> int:
        self.found += [message for message in self._consumer.consume(500, 0.2) if message.error() is None]
        return len(self.found)

    def close(self) -> None:
        self._consumer.close()

    @property
    def times(self) -> set[int]:
        """How often each body is there."""
        return set(Counter(message.value() for message in self.found).values())


def test_a_replay_ends_although_a_worker_makes_new_letters(fleet: Fleet, wait_until: Wait) -> None:
    """What it sends comes back as dead letters while it goes on: those are for the next replay."""
    fleet.create_topics()
    settings = delivering(fleet, "exactly_once")
    worker = fleet.start(**ONCE)
    wait_until(lambda: worker.metric("iqa_assigned_partitions") == PARTITIONS, 60, "the assignment")
    producer = make_producer(settings.kafka)
    for number in range(LETTERS):
        producer.produce(settings.topics.uploads, b"no json %d" % number, b"%d" % number)
    assert producer.flush(60) == 0

    def letters() -> int:
        return sum(1 for _ in read_dead_letters(settings, Filter()))

    wait_until(lambda: letters() == LETTERS, 60, "a dead letter for each")
    seen = 0

    def told(done: Replayed) -> None:
        # Slower than the worker, whatever the machine: every batch has come back before the next is sent.
        nonlocal seen
        seen = done.sent
        wait_until(lambda: letters() == LETTERS + seen, 60, "the batch among the dead letters")

    assert replay(settings, Filter(), progress=told) == Replayed(sent=LETTERS)
    assert letters() == 2 * LETTERS
    assert worker.terminate() == 0
    assert {letter.replays for letter in read_dead_letters(settings, Filter())} == {0, 1}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_of_two_replays_at_once_the_later_goes_on(fleet: Fleet, wait_until: Wait, delivery: str) -> None:
    """The earlier ends with a line that says so; in the end each event was sent once."""
    fleet.create_topics()
    poisoned(fleet)
    settings = delivering(fleet, delivery)
    begun, over, ended = threading.Event(), threading.Event(), list[BrokerError]()

    first = 0

    def told(done: Replayed) -> None:
        nonlocal first
        first = done.sent
        begun.set()
        assert over.wait(120)

    def earlier() -> None:
        try:
            replay(settings, Filter(), progress=told)
        except BrokerError as error:
            ended.append(error)

    thread = threading.Thread(target=earlier)
    thread.start()
    try:
        assert begun.wait(60)
        later = iqa(fleet, "dlq", "replay", "--rate", "0", IQA_KAFKA__DELIVERY=delivery)
    finally:
        over.set()
        thread.join(60)
    assert 0 < first < LETTERS
    assert later[1].startswith(f"{LETTERS - first} events replayed"), later
    assert [str(error) for error in ended] == [
        "the replay ends here: another replay with the same filter took over and goes on from here"
    ]
    uploads = Uploads(settings)
    wait_until(lambda: uploads.read() >= LETTERS, 60, "all events")
    uploads.read()
    uploads.close()
    assert (len(uploads.found), uploads.times) == (LETTERS, {1})


def test_a_replay_that_was_taken_over_says_so_and_one_that_is_ended_goes_on(fleet: Fleet, wait_until: Wait) -> None:
    """As commands: the first is taken over by a second (1, and one line); that one gets SIGTERM; a third does the rest."""
    fleet.create_topics()
    poisoned(fleet)
    uploads = Uploads(fleet.settings)
    with started(fleet, "dlq", "replay", "--rate", "1") as first:
        wait_until(lambda: uploads.read() >= 1, 60, "the first's first event")
        with started(fleet, "dlq", "replay", "--rate", "2") as second:
            _, told = first.communicate(timeout=60)
            assert (first.returncode, told.count("\n")) == (1, 1)
            assert "another replay with the same filter took over" in told
            before = uploads.read()
            wait_until(lambda: uploads.read() > before + 1, 60, "an event of the second's")
            second.send_signal(signal.SIGTERM)
            _, told = second.communicate(timeout=60)
            assert (second.returncode, told) == (143, "interrupted: the same command goes on from here\n")
    third = iqa(fleet, "dlq", "replay", "--rate", "0")
    assert third[0] == 0, third
    wait_until(lambda: uploads.read() >= LETTERS, 60, "all events")
    uploads.read()
    uploads.close()
    assert (len(uploads.found), uploads.times) == (LETTERS, {1})


def test_odd_letters_stop_nothing(fleet: Fleet, wait_until: Wait) -> None:
    """Unreadable headers, no body, a time beyond all years, aborted transactions at the end; what was cut is not sent."""
    fleet.create_topics()
    settings, topic = delivering(fleet, "exactly_once"), fleet.settings.topics.dead_letters
    with RawProducer(settings.kafka.bootstrap_servers) as raw:
        raw.send(topic, b"odd headers", b"k1", [(b"iqa_reason", b"not_json"), (b"\xff\xfe", b"1")])
    plain = make_producer(settings.kafka)
    reason: tuple[str, str | bytes | None] = ("iqa_reason", b"invalid_event")
    cut = [reason, ("iqa_body_bytes", b"5000000"), ("iqa_body_sha256", b"00")]
    plain.produce(topic, None, b"k2", headers=[reason])
    plain.produce(topic, b"[first part", b"k3", headers=cut)
    plain.produce(topic, b"no headers", b"k4", headers=[reason, ("iqa_headers_bytes", b"9000")])
    plain.produce(topic, b"late", b"k5", headers=[reason, ("iqa_failed_at", b"9" * 14)])
    assert plain.flush(60) == 0
    once = make_transactional_producer(settings.kafka, f"{settings.kafka.group_id}.test")
    once.init_transactions(30)
    for number in range(PARTITIONS):
        once.begin_transaction()
        once.produce(topic, b"undone", b"k6", partition=number)
        assert once.flush(60) == 0
        once.abort_transaction(30)
    listed = [json.loads(line) for line in iqa(fleet, "dlq", "list", "--json")[1].splitlines()]
    assert {(letter["key"], letter["reason"], letter["whole"]) for letter in listed} == {
        ("k1", "unreadable_headers", True),
        ("k2", "invalid_event", True),
        ("k3", "invalid_event", False),
        ("k4", "invalid_event", False),
        ("k5", "invalid_event", True),
    }
    assert [letter["failed_at"] for letter in listed] == sorted(letter["failed_at"] for letter in listed)
    assert iqa(fleet, "dlq", "stats")[::2] == (0, "")
    assert iqa(fleet, "dlq", "replay")[1].splitlines() == [
        "3 events replayed, 0 parked, 0 left by the filter",
        "2 cannot be replayed: they were kept in part, or are larger than the topic takes",
    ]
    uploads = Uploads(settings)
    wait_until(lambda: uploads.read() >= 3, 60, "the events")
    uploads.close()
    assert {message.key(): message.value() for message in uploads.found} == {b"k1": b"odd headers", b"k2": None, b"k5": b"late"}


def test_an_event_that_is_too_large_keeps_no_other_from_being_sent(fleet: Fleet, wait_until: Wait) -> None:
    """The uploads topic takes less than the dead letters': it is left where it is, and counted."""
    fleet.create_topics()
    entry = ConfigEntry("max.message.bytes", "100000", incremental_operation=AlterConfigOpType.SET)
    uploads = ConfigResource(ResourceType.TOPIC, fleet.settings.topics.uploads, incremental_configs=[entry])
    admin = make_admin(fleet.settings.kafka)
    (altered,) = admin.incremental_alter_configs([uploads]).values()
    altered.result(30)
    topic = fleet.settings.topics.uploads
    wait_until(lambda: describe(admin, [topic])[topic].max_message_bytes == 100_000, 60, "the topic's new bound")
    producer = make_producer(fleet.settings.kafka)
    for number in range(10):
        body = bytes(number) if number != 5 else b"x" * 300_000
        producer.produce(fleet.settings.topics.dead_letters, body, b"k%d" % number, partition=0)
    assert producer.flush(60) == 0
    done = replay(delivering(fleet, "exactly_once"), Filter())
    assert done == Replayed(sent=9, impossible=1)
