"""A whole worker on embedded parts: events in, verdicts out, nothing lost on the way down."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from tests.patience import PATIENCE_S
from tests.pictures import encode, photo
from tests.worker.intake.servers import raw_server
from tests.worker.stack import Stack, embedded_stack, produce, read, read_all, running, verdicts
from worker.app import Worker
from worker.contracts.cloudevents import header_map
from worker.errors import BrokerError
from worker.send import make_event, send_events
from worker.settings import Settings
from worker.store import VerdictReader, connect
from worker.stream.clients import make_consumer
from worker.stream.incoming import read_record

GOOD = encode(photo(), quality=92)
Wait = Callable[..., Any]


@pytest.fixture
def stack() -> Iterator[Stack]:
    with embedded_stack({"good.jpg": GOOD, "half.jpg": GOOD[: len(GOOD) // 2]}) as parts:
        yield parts


def reader(settings: Settings) -> VerdictReader:
    client = connect(settings.redis)
    assert client is not None
    return VerdictReader(client)


def send(stack: Stack, settings: Settings, **names: str) -> None:
    send_events(settings, [make_event(stack.pictures.url(name), image_id) for image_id, name in names.items()])


def committed(settings: Settings) -> int:
    """Events of the uploads topic that the group has finished for good."""
    consumer = make_consumer(settings.kafka, settings.kafka.group_id)
    try:
        places = [TopicPartition(settings.topics.uploads, number) for number in range(2)]
        return sum(max(0, place.offset) for place in consumer.committed(places, timeout=PATIENCE_S))
    finally:
        consumer.close()


def get(worker: Worker, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_events_become_verdicts_on_the_topic_and_in_redis(stack: Stack) -> None:
    """Good, half and missing pictures each get a verdict; what is no event goes to the dead letters as it came."""
    settings = stack.settings()
    with running(settings):
        send(stack, settings, good="good.jpg", half="half.jpg", missing="nowhere.jpg")
        produce(settings, b'{"event_id": "x"}', b"x", {"trace": b"abc"})
        messages = read(settings, settings.topics.verdicts, 3)
        dead = read(settings, settings.topics.dead_letters, 1)
        stored = reader(settings).wait_for("good", PATIENCE_S)
    found = verdicts(messages)
    assert found["good"].status == "scored"
    assert found["good"].category in {"low", "medium", "high"}
    assert (found["half"].reason and found["half"].reason.code) == "truncated"
    assert (found["missing"].reason and found["missing"].reason.code) == "http_not_found"
    assert stored == found["good"]
    for message in messages:
        headers = header_map(read_record(message).headers)
        assert headers["ce_type"] == "image.quality.judged.v1"
        assert headers["ce_subject"].encode() == message.key()
    (letter,) = dead
    assert (letter.key(), letter.value()) == (b"x", b'{"event_id": "x"}')
    headers = header_map(read_record(letter).headers)
    assert (headers["iqa_reason"], headers["trace"], headers["iqa_topic"]) == ("invalid_event", "abc", "image.uploads")
    assert committed(settings) == 4


def test_the_same_bytes_are_judged_once(stack: Stack, wait_until: Wait) -> None:
    """A repeat, under whatever image id, is answered from Redis with the same assessment."""
    settings = stack.settings()
    with running(settings) as worker:
        send(stack, settings, first="good.jpg")
        first = reader(settings).wait_for("first", PATIENCE_S)
        send(stack, settings, second="good.jpg")
        second = reader(settings).wait_for("second", PATIENCE_S)
        assert first
        assert second
        assert first.assessment == second.assessment
        assert "quality" in first.latency_ms
        assert "quality" not in second.latency_ms
        wait_until(lambda: worker.metrics.registry.get_sample_value("iqa_repeats_total") == 1)


def test_probes_and_metrics(stack: Stack, wait_until: Wait) -> None:
    """Ready once the group has answered; live all the while; the numbers are there."""
    settings = stack.settings()
    with running(settings) as worker:
        wait_until(lambda: get(worker, "/readyz")[0] == 200)
        live = json.loads(get(worker, "/livez")[1])
        assert set(live) == {"start", "parts", "consumer", "publisher", "events", "projection"}
        assert all(live.values())
        send(stack, settings, good="good.jpg")
        assert reader(settings).wait_for("good", PATIENCE_S)
        text = get(worker, "/metrics")[1]
        assert 'iqa_events_total{lane="uploads"} 1.0' in text
        assert 'iqa_verdicts_total{category="high",status="scored"}' in text
        assert 'iqa_fetches_total{outcome="fetched",scheme="http"} 1.0' in text
        assert "process_resident_memory_bytes" in text
        assert 'iqa_stage_seconds_count{stage="quality"} 1.0' in text
        assert get(worker, "/else")[0] == 404


def test_before_it_runs_it_is_live_and_not_ready(stack: Stack) -> None:
    """Loading engines takes a while: no restart for that, and no traffic either."""
    worker = Worker(stack.settings())
    try:
        assert get(worker, "/livez")[0] == 200
        status, told = get(worker, "/readyz")
        assert status == 503
        assert json.loads(told)["started"] is False
    finally:
        worker._close()


def test_stop_finishes_what_runs_and_leaves_the_rest(stack: Stack, wait_until: Wait) -> None:
    """One thread is in a fetch, eleven events wait behind it: the one is published, the eleven are the next worker's."""
    arrived, answer = threading.Event(), threading.Event()

    def slow(connection: Any, over: threading.Event) -> None:
        arrived.set()
        answer.wait()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(GOOD), GOOD))

    settings = stack.settings(worker={"threads": 1, "drain_timeout_s": PATIENCE_S}, fetch={"total_timeout_s": PATIENCE_S})
    ids = [f"i{n}" for n in range(12)]
    with raw_server(slow) as url:
        with running(settings) as worker:
            send_events(settings, [make_event(f"{url}/a.jpg", name) for name in ids])
            assert arrived.wait(PATIENCE_S)
            ledger = worker._uploads.ledger
            wait_until(lambda: ledger.count == 12)
            worker.stop()
            wait_until(lambda: sum(e.state.name == "CANCELLED" for lane in ledger._lanes.values() for e in lane.entries) == 11)
            answer.set()
        assert len(verdicts(read_all(settings, settings.topics.verdicts))) == 1
        with running(settings):
            found = verdicts(read(settings, settings.topics.verdicts, 12, "second"))
    assert set(found) == set(ids)
    assert len(read_all(settings, settings.topics.verdicts)) == 12
    assert committed(settings) == 12


def test_what_outlasts_the_budget_is_not_committed(stack: Stack) -> None:
    """A host that hangs cannot hold up a shutdown; its event is read again by whoever comes next."""
    hang, arrived = threading.Event(), threading.Event()

    def behave(connection: Any, over: threading.Event) -> None:
        arrived.set()
        if not hang.is_set():
            over.wait()
            return
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    settings = stack.settings(worker={"drain_timeout_s": 0.3}, fetch={"total_timeout_s": PATIENCE_S})
    with raw_server(behave) as url:
        with running(settings):
            send_events(settings, [make_event(f"{url}/a.jpg", "slow")])
            assert arrived.wait(PATIENCE_S)
        assert committed(settings) == 0
        hang.set()
        with running(settings):
            found = verdicts(read(settings, settings.topics.verdicts, 1))
    assert set(found) == {"slow"}


def test_without_redis_verdicts_still_reach_the_topic(stack: Stack) -> None:
    """Redis is a convenience for readers, and never in the way."""
    settings = stack.settings(redis={"url": "redis://127.0.0.1:1/0", "timeout_s": 0.2})
    with running(settings):
        send(stack, settings, good="good.jpg", again="good.jpg")
        found = verdicts(read(settings, settings.topics.verdicts, 2))
    assert {name: verdict.status for name, verdict in found.items()} == {"good": "scored", "again": "scored"}


def test_a_missing_broker_is_named(stack: Stack) -> None:
    """One line, not a loop of warnings."""
    settings = stack.settings(kafka={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1.*IQA_KAFKA__BOOTSTRAP_SERVERS"), running(settings):
        pass
