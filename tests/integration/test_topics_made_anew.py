"""Topics that are deleted while a worker uses them, and made again under the same name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.cimpl import NewTopic

from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import answer, letters, lines, places
from tests.integration.test_delivery import pictures, send
from tests.patience import PATIENCE_S
from tests.worker.intake.servers import head, raw_server
from worker.embedded.picture_server import PictureServer
from worker.send import make_event, send_events
from worker.stream.clients import make_admin, make_producer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
WAYS = ("exactly_once", "at_least_once")


def delete(fleet: Fleet, topic: str, wait_until: Wait) -> None:
    """Take it away; returns when the broker no longer has it."""
    admin = make_admin(fleet.settings.kafka)
    for future in admin.delete_topics([topic]).values():
        future.result(PATIENCE_S)
    wait_until(lambda: topic not in admin.list_topics(timeout=PATIENCE_S).topics, what="the end of the topic")


def make(fleet: Fleet, topic: str, wait_until: Wait) -> None:
    """Make it, which the broker may refuse for as long as it still cleans up."""

    admin = make_admin(fleet.settings.kafka)

    def made() -> bool:
        try:
            for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
                future.result(PATIENCE_S)
        except KafkaException:
            return False
        return True

    wait_until(made, what="the new topic")


def no_old_place(fleet: Fleet) -> bool:
    """Nothing is committed behind the end of the topic that there is now, and all of it is committed."""
    found = places(fleet, fleet.settings.kafka.group_id, fleet.settings.topics.uploads)
    assert any(end > 0 for _, _, end in found.values())
    return all(max(0, committed) == end for committed, _, end in found.values())


def ends_for(worker: WorkerProcess, topic: str) -> None:
    """It ends by itself, tells why, and leaves nothing unpublished."""
    assert worker.wait() == 1
    (line,) = lines(worker, "stopped_by_failure")
    assert topic in line["error"]
    assert "start again" in line["error"]
    assert lines(worker, "stopped")[-1]["unpublished"] == 0
    assert "Traceback" not in worker.log.read_text()


def is_well(fleet: Fleet, worker: WorkerProcess, wait_until: Wait) -> None:
    """All is committed, nothing beyond, and it says so."""
    wait_until(lambda: no_old_place(fleet), what="committed offsets of the new topic, and no others")
    wait_until(lambda: answer(worker)[0] == 200, what="readiness")
    assert worker.terminate() == 0
    assert no_old_place(fleet)
    assert "Traceback" not in worker.log.read_text()


@pytest.mark.parametrize("delivery", WAYS)
def test_uploads_made_anew_while_idle(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """The new topic is read from its beginning, whether it is shorter than the old one or not."""
    fleet.create_topics()
    with PictureServer(pictures(5)) as server:
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery)
        wait_until(lambda: answer(worker)[0] == 200, what="readiness")
        sent = 0
        for count in (40, 12, 60):
            events = [make_event(server.url(f"{n % 5}.jpg"), f"image-{sent + n}") for n in range(count)]
            send_events(fleet.settings, events)
            sent += count
            wait_until(lambda sent=sent: fleet.read() >= sent, what=f"{sent} verdicts")
            if count != 60:
                wait_until(lambda: no_old_place(fleet), what="all committed")
                delete(fleet, fleet.settings.topics.uploads, wait_until)
                make(fleet, fleet.settings.topics.uploads, wait_until)
                ends_for(worker, fleet.settings.topics.uploads)
                worker = fleet.start(IQA_KAFKA__DELIVERY=delivery)
        is_well(fleet, worker, wait_until)
        fleet.read()
    assert fleet.duplicates == 0
    assert len(fleet.seen) == sent


@pytest.mark.parametrize("delivery", WAYS)
def test_uploads_made_anew_with_events_in_flight(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """What was taken from the old topic is published, none of its offsets is committed, and the new topic is answered whole."""
    fleet.create_topics()
    opened, asked = threading.Event(), threading.Semaphore(0)
    picture = next(iter(pictures(1).values()))

    def held(connection: Any, over: threading.Event) -> None:
        asked.release()
        opened.wait(PATIENCE_S)
        connection.sendall(head("200 OK", Content_Length=str(len(picture)), Connection="close") + picture)

    with PictureServer(pictures(5)) as server, raw_server(held) as url:
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery, IQA_FETCH__TOTAL_TIMEOUT_S="300", IQA_FETCH__PER_HOST="16")
        send(fleet, server, 60, 5)
        wait_until(lambda: fleet.read() >= 60, what="verdicts before")
        wait_until(lambda: no_old_place(fleet), what="all committed")
        send_events(fleet.settings, [make_event(f"{url}/{n}.jpg", f"held-{n}") for n in range(12)])
        for _ in range(12):
            assert asked.acquire(timeout=PATIENCE_S)
        delete(fleet, fleet.settings.topics.uploads, wait_until)
        make(fleet, fleet.settings.topics.uploads, wait_until)
        events = [make_event(server.url(f"{n % 5}.jpg"), f"new-{n}") for n in range(24)]
        send_events(fleet.settings, events)
        wait_until(lambda: lines(worker, "orphans"), what="a line that says so")
        opened.set()
        ends_for(worker, fleet.settings.topics.uploads)
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery)
        wait_until(lambda: fleet.read() >= 60 + 12 + 24, what="a verdict on every image")
        is_well(fleet, worker, wait_until)
        fleet.read()
    assert {f"new-{n}" for n in range(24)} | {f"held-{n}" for n in range(12)} <= set(fleet.seen)
    assert fleet.duplicates == 0


@pytest.mark.parametrize("delivery", WAYS)
def test_no_topic_for_dead_letters(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """One bad event holds its own partition back and no other; it is told, again and again, until the topic is there again."""
    fleet.create_topics()
    names = fleet.settings.topics
    with PictureServer(pictures(5)) as server:
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery)
        send(fleet, server, 30, 5)
        wait_until(lambda: fleet.read() >= 30, what="verdicts before")
        delete(fleet, names.dead_letters, wait_until)
        producer = make_producer(fleet.settings.kafka)
        producer.produce(names.uploads, b"no json", b"bad", 0)
        assert producer.flush(PATIENCE_S) == 0
        for number in range(60):
            event = make_event(server.url(f"{number % 5}.jpg"), f"during-{number}")
            producer.produce(names.uploads, event.model_dump_json(), event.image_id, number % PARTITIONS)
        assert producer.flush(PATIENCE_S) == 0
        free = {f"during-{n}" for n in range(60) if n % PARTITIONS != 0}
        wait_until(lambda: fleet.read() and free <= set(fleet.seen), what="verdicts from all other partitions")
        wait_until(lambda: answer(worker)[0] == 503, what="no readiness")
        wait_until(lambda: not answer(worker)[1]["topics"] and not answer(worker)[1]["rights"], what="both conditions")
        assert answer(worker, "/livez")[0] == 200
        wait_until(lambda: len(lines(worker, "publish_failed")) >= 2, what="a line again")
        assert any(names.dead_letters in line["error"] for line in lines(worker, "publish_failed"))
        assert any(names.dead_letters in str(line) for line in lines(worker, "topic_fault"))
        # Whatever it says, it does not say it so often that nobody can read it: a minute has a handful of lines.
        make(fleet, names.dead_letters, wait_until)
        (letter,) = wait_until(lambda: letters(fleet), what="the dead letter")
        wait_until(lambda: fleet.read() >= 90, what="a verdict on every image")
        is_well(fleet, worker, wait_until)
        fleet.read()
    assert (letter.reason, letter.record.key) == ("not_json", b"bad")
    assert fleet.duplicates == 0
