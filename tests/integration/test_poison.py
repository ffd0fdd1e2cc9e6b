"""One bad record stops nobody: what no client should send, and some do, on a real Kafka."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from tests.hostile.raw_producer import RawProducer
from tests.integration.fleet import PARTITIONS, Fleet, WorkerProcess
from tests.integration.looking import answer, bound_records, counted, letters, lines
from tests.integration.test_delivery import pictures, send
from tests.patience import PATIENCE_S
from tests.worker.intake.servers import head, raw_server, reply
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import free_port
from worker.send import make_event, send_events
from worker.stream.clients import make_producer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
WAYS = ("exactly_once", "at_least_once")
KAFKAS_OWN = 1_048_588
"""``max.message.bytes`` of a topic that was made without a word about it."""


def body(url: str, image_id: str, metadata: str) -> bytes:
    """An event whose metadata are that JSON, whatever it is."""
    whole = make_event(url, image_id).model_dump_json(exclude={"metadata"})
    return f'{whole[:-1]}, "metadata": {metadata}}}'.encode()


def put(fleet: Fleet, *bodies: bytes, compression: str = "none") -> None:
    """Records as they are, from a producer that bounds nothing."""
    extra = {"compression.type": compression, "message.max.bytes": 100_000_000}
    producer = make_producer(fleet.settings.kafka, **extra)
    for number, value in enumerate(bodies):
        producer.produce(fleet.settings.topics.uploads, value, f"poison-{number}", number % PARTITIONS)
    assert producer.flush(PATIENCE_S) == 0


def noise(size: int) -> str:
    """JSON that compresses to no less than three quarters."""
    return json.dumps({"note": base64.b64encode(random.Random(7).randbytes(size * 3 // 4)).decode()})


def is_well(worker: WorkerProcess, wait_until: Wait) -> None:
    """It has nothing in flight, lives, and says so."""
    wait_until(lambda: counted(worker, "iqa_in_flight_events") == 0, what="nothing in flight")
    wait_until(lambda: answer(worker)[0] == 200, what="readiness")
    assert answer(worker, "/livez")[0] == 200
    assert "Traceback" not in worker.log.read_text()
    assert worker.terminate() == 0


@pytest.mark.parametrize("delivery", WAYS)
def test_header_names_that_are_no_text(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """In every partition and in a retry topic: dead letters with key and body as they were; the others are answered."""
    fleet.create_topics()
    names, retry = fleet.settings.topics, fleet.settings.retry_topics[0]
    bad = [(b"trace", b"1"), (b"\xff\xfe", b"x"), (b"more", b"2")]
    with PictureServer(pictures(5)) as server, RawProducer(fleet.settings.kafka.bootstrap_servers) as raw:
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery, IQA_RETRY__DELAYS_S="0.5,0.5,0.5")
        wanted = send(fleet, server, 20, 5)
        for number in range(40):
            raw.send(names.uploads, b"\x00body-%d" % number, b"\xffkey-%d" % number, bad, number % PARTITIONS)
        raw.send(retry, b"waited", b"key-retry", bad, 0)
        send_events(fleet.settings, [make_event(server.url("1.jpg"), "last")])
        wait_until(lambda: fleet.read() >= 21, what="a verdict on every good image")
        wait_until(lambda: len(letters(fleet)) >= 41, what="all dead letters")
        is_well(worker, wait_until)
        fleet.read()
    found = {letter.record.key: letter for letter in letters(fleet)}
    assert {letter.reason for letter in found.values()} == {"unreadable_headers"}
    expected = {b"\xffkey-%d" % number: b"\x00body-%d" % number for number in range(40)} | {b"key-retry": b"waited"}
    assert {key: letter.record.value for key, letter in found.items()} == expected
    assert found[b"key-retry"].origin == f"{retry}/0/0"
    assert set(fleet.seen) == wanted | {"last"}
    assert fleet.duplicates == 0


@pytest.mark.parametrize("delivery", WAYS)
def test_events_larger_than_a_verdict_may_be(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """5 MB that compress well, as an event and as no JSON: a verdict without metadata, and a dead letter that is cut."""
    fleet.create_topics()
    with PictureServer(pictures(5)) as server:
        large = body(server.url("0.jpg"), "large", json.dumps({"note": "a" * 5_000_000}))
        put(fleet, large, b"x" * 5_000_000, compression="gzip")
        wanted = send(fleet, server, 50, 5)
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery)
        wait_until(lambda: fleet.read() >= 51, what="a verdict on every image")
        (letter,) = wait_until(lambda: letters(fleet), what="a dead letter")
        assert worker.metric("iqa_publish_failures_total") == 0
        is_well(worker, wait_until)
        fleet.read()
    assert set(fleet.seen) == wanted | {"large"}
    assert fleet.duplicates == 0
    assert (fleet.latest["large"].status, fleet.latest["large"].omitted) == ("scored", ["metadata"])
    assert (letter.reason, letter.is_cut, letter.record.own["body_bytes"]) == ("not_json", True, "5000000")
    assert 0 < letter.size < 100_000


@pytest.mark.parametrize("delivery", WAYS)
def test_topics_with_the_bound_of_kafkas_own(fleet: Fleet, delivery: str, wait_until: Wait) -> None:
    """Events that just fit get verdicts that would not, and retries that would not; then the bound sinks while it runs."""
    fleet.create_topics()
    names = fleet.settings.topics
    bound_records(fleet, KAFKAS_OWN, names.uploads, names.verdicts, names.dead_letters, *fleet.settings.retry_topics)
    with PictureServer(pictures(5)) as server:
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery, IQA_FETCH__ATTEMPTS="1")
        nowhere = f"http://127.0.0.1:{free_port()}/a.jpg"
        fits = body(server.url("0.jpg"), "fits", noise(1_047_600))
        waits = body(nowhere, "waits", noise(1_047_600))
        assert 1_047_800 < len(fits) < KAFKAS_OWN - 200
        put(fleet, fits, waits, b"x" + fits)
        wanted = send(fleet, server, 50, 5)
        wait_until(lambda: fleet.read() >= 52, what="a verdict on every image")
        (letter,) = wait_until(lambda: letters(fleet), what="a dead letter")
        assert [counted(worker, f"iqa_{name}_total") for name in ("publish_failures", "refused_records")] == [0, 0]
        assert len(lines(worker, "retry_too_large")) == 1
        assert (fleet.latest["fits"].status, fleet.latest["fits"].omitted) == ("scored", ["metadata"])
        assert fleet.latest["waits"].reason
        assert fleet.latest["waits"].reason.code == "connect_failed"
        assert (letter.reason, letter.is_cut) == ("not_json", True)

        bound_records(fleet, 20_000, names.verdicts)
        put(fleet, body(server.url("1.jpg"), "refused", noise(100_000)))
        send_events(fleet.settings, [make_event(server.url(f"{n % 5}.jpg"), f"after-{n}") for n in range(50)])
        wait_until(lambda: fleet.read() >= 103, what="a verdict on every image again")
        assert counted(worker, "iqa_refused_records_total", code="MSG_SIZE_TOO_LARGE") >= 1
        is_well(worker, wait_until)
        fleet.read()
    assert (fleet.latest["refused"].status, fleet.latest["refused"].omitted) == ("scored", ["metadata"])
    assert set(fleet.seen) == wanted | {"fits", "waits", "refused", *(f"after-{n}" for n in range(50))}
    assert fleet.duplicates == 0


LOCATIONS = ("http://[::1", "http://a:b/", "http://xn--a/", "http://x\x01y/", "http://h/" + "x" * 70_000)


def test_senders_and_hosts_open_no_breaker(fleet: Fleet, wait_until: Wait) -> None:
    """Forty of each: metadata nested too deep or no number, redirects to what is no URL. None of it is the worker's fault."""
    fleet.create_topics()
    with PictureServer(pictures(5)) as server, ExitStack() as hosts:
        deep = [f"{'[' * depth}{']' * depth}" for depth in (220, 985)]
        odd = [*(f'{{"a": {nested}}}' for nested in deep), '{"a": 1e400}', '{"a": NaN}']
        put(fleet, *(body(server.url("0.jpg"), f"odd-{n}", odd[n % len(odd)]) for n in range(40 * len(odd))))
        led = [hosts.enter_context(raw_server(reply(head("302 Found", Location=place)))) for place in LOCATIONS]
        astray = [f"{url}/a.jpg" for url in led] + ["http://xn--zz--/a.jpg"]
        send_events(fleet.settings, [make_event(url, f"astray-{n}-{k}") for n, url in enumerate(astray) for k in range(40)])
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once", IQA_FETCH__ATTEMPTS="1")
        total = 40 * len(astray)
        wait_until(lambda: fleet.read() >= total, what="a verdict on each that was led astray")
        wait_until(lambda: len(letters(fleet)) >= 40 * len(odd), what="all dead letters")
        wanted = send(fleet, server, 20, 5)
        wait_until(lambda: fleet.read() >= total + 20, what="verdicts on the good ones")
        assert counted(worker, "iqa_breaker_open") == 0
        is_well(worker, wait_until)
    assert lines(worker, "breaker_open", "event_failed") == []
    assert Counter(letter.reason for letter in letters(fleet)) == {"invalid_event": 120, "not_json": 40}
    codes = {verdict.reason.code for name, verdict in fleet.latest.items() if name not in wanted and verdict.reason}
    assert codes == {"invalid_url"}
