"""Traces over the wire: a real Kafka, worker processes, and a receiver of OTLP over HTTP in a process of its own."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from tests.integration.fleet import Fleet, WorkerProcess
from tests.integration.looking import lines
from tests.integration.otlp_receiver import Receiver, Seen
from tests.integration.test_delivery import pictures, send
from tests.integration.web import answering
from tests.patience import PATIENCE_S
from tests.worker.stack import read
from worker.contracts.cloudevents import event_headers
from worker.contracts.trace_context import TraceContext
from worker.embedded.picture_server import PictureServer
from worker.embedded.redis_server import free_port
from worker.send import make_event
from worker.stream.clients import CLIENT_ID, make_admin, make_producer
from worker.stream.incoming import Record, read_record

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]
ON = {"IQA_TRACING__ENABLED": "true", "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
ONCE = {"IQA_FETCH__ATTEMPTS": "1", "IQA_RETRY__DELAYS_S": "1"}
OLD_NAMES = {
    "messaging.kafka.consumer.group",
    "messaging.kafka.partition",
    "messaging.kafka.message.offset",
    "messaging.operation",
    "messaging.destination",
    "messaging.url",
}


def context(number: int) -> TraceContext:
    """That of a sender."""
    return TraceContext(f"00-{number:032x}-{number:016x}-01", f"sender={number}")


@contextmanager
def host(files: dict[str, bytes], *, fails: bool) -> Iterator[str]:
    """Serves pictures; where it ``fails``, says 503 to the first request for each."""
    asked: set[str] = set()

    def answer(name: str) -> tuple[int, bytes]:
        down = fails and name not in asked
        asked.add(name)
        return (503, b"") if down else (200, files[name])

    with answering(answer) as port:
        yield f"http://127.0.0.1:{port}"


def send_all(fleet: Fleet, server: str) -> None:
    """Events with their traces in headers, in CloudEvents' binary mode and in structured mode; and a record that is none."""
    producer, topic = make_producer(fleet.settings.kafka), fleet.settings.topics.uploads
    for number, name in enumerate(("plain", "binary", "structured"), 1):
        event, given = make_event(f"{server}/{number}.jpg", name), context(number)
        headers = event_headers(event, "/test")
        body = event.model_dump_json()
        if name == "plain":
            headers = [*given.headers]
        elif name == "binary":
            headers += [(f"ce_{key}", value) for key, value in given.headers]
        else:
            headers = [("content-type", b"application/cloudevents+json")]
            told = {"specversion": "1.0", "type": "image.uploaded.v1", "id": event.event_id, "source": "/test"}
            body = json.dumps({**told, "data": json.loads(body), "traceparent": given.parent, "tracestate": given.state})
        producer.produce(topic, body, name, headers=headers)
    producer.produce(topic, b"no event", b"poison", headers=[*context(4).headers])
    assert producer.flush(PATIENCE_S) == 0


def records(fleet: Fleet, topic: str, enough: int) -> dict[str, Record]:
    """What lies on ``topic``, by key."""
    found: list[Message] = read(fleet.settings, topic, enough, f"{fleet.settings.kafka.group_id}.test")
    return {(message.key() or b"").decode(): read_record(message) for message in found}


def parent_of(record: Record) -> tuple[str, str]:
    """The trace and the span that made a record."""
    ((_, told),) = [header for header in record.headers if header[0] == "traceparent"]
    _, trace, span, flags = (told or b"").decode().split("-")
    assert int(flags, 16) & 1
    return trace, span


def one(spans: list[Seen], name: str, key: str) -> Seen:
    (found,) = [span for span in spans if span.name == name and span.attributes.get("messaging.kafka.message.key") == key]
    return found


def exemplars(worker: WorkerProcess) -> set[str]:
    """Trace ids beside the ages of published events, as Prometheus asks for them."""
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port}/metrics", headers=wanted)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        page = answer.read().decode()
    return set(
        re.findall(r'^iqa_event_age_seconds_bucket\{at="published",.* # \{.*trace_id="([0-9a-f]{32})"', page, re.MULTILINE)
    )


def client_of(fleet: Fleet) -> dict[str, Any]:
    """What every span tells."""
    server, _, port = fleet.settings.kafka.bootstrap_servers.partition(":")
    cluster = make_admin(fleet.settings.kafka).list_topics(timeout=PATIENCE_S).cluster_id
    client = {"messaging.system": "kafka", "messaging.client.id": CLIENT_ID, "messaging.kafka.cluster.id": cluster}
    return {**client, "server.address": server, "server.port": int(port)}


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_from_senders_to_verdicts_retries_and_dead_letters(
    fleet: Fleet, wait_until: Wait, tmp_path: Path, delivery: str
) -> None:
    """Every span by the conventions; every record carries the one that sent it; links lead back to the senders."""
    fleet.create_topics()
    names = fleet.settings.topics
    with Receiver(tmp_path) as receiver, host(pictures(4), fails=True) as server:
        to = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret"}
        worker = fleet.start(IQA_KAFKA__DELIVERY=delivery, **ON, **ONCE, **to)
        send_all(fleet, server)
        letters = records(fleet, names.dead_letters, 1)
        retries = records(fleet, f"{names.retry}.1", 3)
        verdicts = records(fleet, names.verdicts, 3)
        wait_until(lambda: exemplars(worker), what="an exemplar")
        shown = exemplars(worker)
        assert worker.terminate() == 0
        spans = receiver.seen
    assert verdicts.keys() == retries.keys() == {"plain", "binary", "structured"}
    for number, key in enumerate(("plain", "binary", "structured"), 1):
        check_hops(fleet, spans, number, key, retries[key], verdicts[key])
    # CloudEvents' extension is the event's own, and stays what it was.
    assert ("ce_traceparent", context(2).parent.encode()) in retries["binary"].headers
    assert not [name for name, _ in verdicts["plain"].headers if name == "tracestate"]
    poison = one(spans, f"process {names.uploads}", "poison")
    letter = one(spans, f"send {names.dead_letters}", "poison")
    assert (poison.status, poison.attributes["error.type"], poison.linked) == ("error", "not_json", [f"{4:016x}"])
    assert parent_of(letters["poison"]) == (letter.trace, letter.span)
    assert letter.parent == poison.span
    check_batches(spans, names.uploads, fleet.settings.kafka.group_id, client_of(fleet))
    check_all(spans)
    traces = {span.trace for span in spans}
    judged = lines(worker, "judged")
    assert {line["trace_id"] for line in judged} == {parent_of(verdict)[0] for verdict in verdicts.values()}
    assert shown <= traces


def check_hops(fleet: Fleet, spans: list[Seen], number: int, key: str, retry: Record, verdict: Record) -> None:
    """From a sender over the retry topic to the verdict."""
    names, group, everywhere = fleet.settings.topics, fleet.settings.kafka.group_id, client_of(fleet)
    first, again = one(spans, f"process {names.uploads}", key), one(spans, f"process {names.retry}.1", key)
    sent_on, sent = one(spans, f"send {names.retry}.1", key), one(spans, f"send {names.verdicts}", key)
    assert [link[:2] for link in first.links] == [(f"{number:032x}", f"{number:016x}")]
    assert (first.parent, again.parent) == ("", "")
    # The event went on by the retry topic: each hop is linked to the one before it, and made by a child of it.
    assert (sent_on.trace, sent_on.parent) == (first.trace, first.span)
    assert parent_of(retry) == (sent_on.trace, sent_on.span)
    assert [link[:2] for link in again.links] == [(sent_on.trace, sent_on.span)]
    assert (sent.trace, sent.parent) == (again.trace, again.span)
    assert parent_of(verdict) == (sent.trace, sent.span)
    assert (first.kind, sent.kind) == ("CONSUMER", "PRODUCER")
    assert (first.status, first.attributes["error.type"]) == ("error", "http_server_error")
    assert (again.status, "error.type" in again.attributes) == ("unset", False)
    assert again.attributes["iqa.status"] == "scored"
    assert again.attributes["iqa.latency_ms.quality"] > 0
    assert sent.attributes == {
        **everywhere,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": names.verdicts,
        "messaging.destination.partition.id": str(verdict.partition),
        "messaging.kafka.offset": verdict.offset,
        "messaging.kafka.message.key": key,
    }
    assert {name: value for name, value in again.attributes.items() if not name.startswith(("iqa.", "cloudevents."))} == {
        **everywhere,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": f"{names.retry}.1",
        "messaging.destination.partition.id": str(retry.partition),
        "messaging.consumer.group.name": f"{group}.retry",
        "messaging.kafka.offset": retry.offset,
        "messaging.kafka.message.key": key,
    }


def check_all(spans: list[Seen]) -> None:
    """What holds for every span."""
    assert not any(OLD_NAMES & span.attributes.keys() for span in spans)
    assert {span.request["authorization"] for span in spans} == {"secret"}
    assert {span.resource["service.name"] for span in spans} == {"iqa-worker"}
    assert {tuple(span.scope) for span in spans} == {("iqa-fleet", "https://opentelemetry.io/schemas/1.44.0")}
    assert len({span.span for span in spans}) == len(spans)


def check_batches(spans: list[Seen], uploads: str, group: str, everywhere: dict[str, Any]) -> None:
    """Polls and commits: each event in one of them, with a link to where it was made."""
    for name, kind in (("poll", "receive"), ("commit", "settle")):
        found = [span for span in spans if span.name == f"{name} {uploads}"]
        assert sum(span.attributes["messaging.batch.message_count"] for span in found) == 4
        assert sorted(link for span in found for link in span.linked) == [f"{number:016x}" for number in (1, 2, 3, 4)]
        for span in found:
            assert (span.kind, span.parent, span.status) == ("CLIENT", "", "unset")
            wanted = {
                **everywhere,
                "messaging.operation.name": name,
                "messaging.operation.type": kind,
                "messaging.destination.name": uploads,
                "messaging.consumer.group.name": group,
            }
            assert wanted.items() <= span.attributes.items()
            for _, _, attributes in span.links:
                # What the records of one call do not have in common is told by their links.
                each = {"messaging.kafka.offset", "messaging.destination.partition.id"}
                each |= {"messaging.kafka.message.key"} if name == "poll" else set()
                assert each <= attributes.keys() | span.attributes.keys()
        retried = [span for span in spans if span.name.startswith(f"{name} ") and span.name != f"{name} {uploads}"]
        assert {span.attributes["messaging.consumer.group.name"] for span in retried} == {f"{group}.retry"}


@pytest.mark.parametrize("receiver", ["away", "silent", "refusing"])
def test_a_receiver_that_is_no_use_holds_up_nothing(fleet: Fleet, wait_until: Wait, receiver: str) -> None:
    """All events are judged once, the drain keeps to its budget, and the log has a line a minute, not one a try."""
    fleet.create_topics()
    with socket.socket() as listening, PictureServer(pictures(5)) as server:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        silent = f"http://127.0.0.1:{listening.getsockname()[1]}"
        url = {"away": f"http://127.0.0.1:{free_port()}", "silent": silent, "refusing": server.url("")}[receiver]
        to = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_MAX_QUEUE_SIZE": "20"}
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once", **{**ON, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"}, **to)
        wanted = send(fleet, server, 60, 5)
        wait_until(lambda: fleet.read() >= 60, what="all verdicts")
        assert worker.terminate() == 0
        fleet.read()
    assert set(fleet.seen) == wanted
    assert fleet.duplicates == 0
    told = lines(worker)
    assert not [line for line in told if line["event"] in {"stop_overdue", "drain_incomplete", "tracing_failed"}]
    kinds = [line["error"] for line in told if line["event"] == "opentelemetry"]
    assert kinds
    assert len(kinds) == len({re.sub(r"[0-9]+", "#", kind) for kind in kinds})
    assert "Traceback" not in worker.log.read_text()


def test_without_traces_the_senders_is_carried_on_and_nothing_is_imported(fleet: Fleet) -> None:
    """A fleet that does not trace breaks nobody's chain, and a worker of it has no module of OpenTelemetry's."""
    fleet.create_topics()
    with host(pictures(4), fails=False) as server:
        worker = fleet.start(program="tests.integration.telling_modules", **ONCE)
        send_all(fleet, server)
        verdicts = records(fleet, fleet.settings.topics.verdicts, 3)
        letters = records(fleet, fleet.settings.topics.dead_letters, 1)
        assert worker.terminate() == 0
    for number, key in enumerate(("plain", "binary", "structured"), 1):
        carried = [header for header in verdicts[key].headers if header[0].startswith("trace")]
        assert carried == context(number).headers
    assert [header for header in letters["poison"].headers if header[0].startswith("trace")] == context(4).headers
    (modules,) = [line["modules"] for line in lines(worker) if "modules" in line]
    assert "redis" in modules
    assert not [name for name in modules if name.startswith("opentelemetry")]
    assert not [line for line in lines(worker) if "trace_id" in line]
