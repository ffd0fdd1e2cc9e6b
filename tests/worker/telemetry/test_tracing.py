"""Spans by the conventions, and what carries them on; nothing that goes wrong with them touches an event."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.patience import PATIENCE_S
from tests.worker.helpers import FakeAssessor, event, make_settings
from tests.worker.stream.records import as_read
from tests.worker.stream.test_ledger import RECORD
from tests.worker.stream.test_transactions import Broker, failure
from worker.errors import BrokerError, FetchFailedError, SettingsError
from worker.pipeline import Pipeline
from worker.stream.dead_letters import as_dead_letter
from worker.stream.handler import EventHandler
from worker.stream.incoming import Header, Record
from worker.stream.ledger import Entry, Ledger, Outgoing
from worker.stream.replay import _sent
from worker.stream.transactions import TransactionalPublisher
from worker.telemetry.metrics import Metrics
from worker.telemetry.traces import NO_TRACING, LaneTracing, make_tracing
from worker.telemetry.tracing import OtelTracing

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
SENDER: tuple[Header, ...] = (("traceparent", PARENT.encode()), ("tracestate", b"v=1"))
BODY = event().model_dump_json().encode()
DOWN = FetchFailedError("http_server_error", "503", transient=True)


class Traced:
    """A lane, and the spans that it has told of."""

    def __init__(self, **settings: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self._tracing = OtelTracing(make_settings(**settings), self.exporter)
        self.lane = self._tracing.lane("g")

    def spans(self) -> dict[str, ReadableSpan]:
        """By name, once all are exported; each name once."""
        self._tracing.close(PATIENCE_S)
        found = {span.name: span for span in self.exporter.get_finished_spans()}
        assert len(found) == len(self.exporter.get_finished_spans())
        return found


@pytest.fixture
def traced() -> Iterator[Callable[..., Traced]]:
    """Makes one; logging is as before in the end."""
    logger = logging.getLogger("opentelemetry")
    before = logger.handlers[:], logger.propagate
    yield Traced
    logger.handlers[:], logger.propagate = before


def record(*headers: Header, value: bytes | None = BODY, key: bytes | None = b"a1", topic: str = "image.uploads") -> Record:
    return Record(topic, 3, 7, key, value, headers, 1)


def handled(lane: LaneTracing, given: Record, fails: Exception | None = None) -> Entry:
    """The entry that one event leaves."""

    def fetch(_: str) -> bytes:
        if fails:
            raise fails
        return b"bytes"

    ledger = Ledger()
    entry = ledger.add(("image.uploads", 3), 7, 1)
    pipeline = Pipeline(fetch, FakeAssessor())  # type: ignore[arg-type]
    EventHandler(pipeline, ledger, make_settings(), Metrics(), tracing=lane)(given, entry)
    return entry


def carried(sent: Outgoing) -> list[str]:
    return [
        (value.decode() if isinstance(value, bytes) else value or "")
        for name, value in sent.headers
        if name in {"traceparent", "tracestate"}
    ]


def parent_header(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"


@pytest.mark.parametrize("parent", [False, True])
def test_the_senders_span_is_linked_to_and_the_parent_if_that_is_set(traced: Callable[..., Traced], *, parent: bool) -> None:
    """By default a trace of its own; else all is one trace, and the sender's state goes on."""
    found = traced(tracing={"parent": parent})
    (verdict,) = handled(found.lane, record(*SENDER)).records
    sending = found.lane.send(verdict)
    sending.end(None, None)
    spans = found.spans()
    process, send = spans["process image.uploads"], spans["send image.quality.verdicts"]
    (link,) = process.links
    assert (link.context.trace_id, link.context.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    assert (process.kind, send.kind) == (SpanKind.CONSUMER, SpanKind.PRODUCER)
    assert (process.parent == link.context) is parent
    assert (process.parent is None) is not parent
    assert process.context is not None
    assert send.parent is not None
    assert send.parent.span_id == process.context.span_id
    # Before it is sent, a record carries the span that made it; then that of its sending.
    assert carried(verdict)[0] == parent_header(process)
    sent = Outgoing(verdict.topic, verdict.key, verdict.value, sending.headers)
    assert carried(sent) == [parent_header(send), *(["v=1"] if parent else [])]
    assert sent.size == verdict.size


def test_all_that_is_told_of_one_record(traced: Callable[..., Traced]) -> None:
    """Names, kinds and attributes as the conventions have them."""
    found = traced(kafka={"bootstrap_servers": "SSL://k.example.org:9093", "properties": {"client_id": "pod-1"}})
    with found.lane.poll() as polling:
        polling.add(record(value=None))
    spans = found.spans()
    poll = spans["poll image.uploads"]
    assert poll.kind == SpanKind.CLIENT
    assert poll.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "poll",
        "messaging.operation.type": "receive",
        "messaging.destination.name": "image.uploads",
        "messaging.destination.partition.id": "3",
        "messaging.consumer.group.name": "g",
        "messaging.client.id": "pod-1",
        "messaging.kafka.offset": 7,
        "messaging.kafka.message.key": "a1",
        "messaging.kafka.message.tombstone": True,
        "messaging.batch.message_count": 1,
        "server.address": "k.example.org",
        "server.port": 9093,
    }


def test_a_batch_of_several_topics_tells_of_each_by_its_link(traced: Callable[..., Traced]) -> None:
    """What all have in common is the span's, the rest the links'; of servers to begin with, none is the one that answered."""
    found = traced(kafka={"bootstrap_servers": "k1:9092,k2:9092"})
    with found.lane.poll() as polling:
        for number, key in enumerate((b"a1", b"\xff", None), 1):
            polling.add(record(*SENDER, topic=f"r.{number}", key=key))
        polling.add(record(topic="r.1"))
    poll = found.spans()["poll"]
    assert poll.attributes is not None
    assert poll.attributes["messaging.batch.message_count"] == 4
    assert poll.attributes["messaging.kafka.offset"] == 7
    assert not {"messaging.destination.name", "server.address", "messaging.kafka.message.key"} & poll.attributes.keys()
    assert [dict(link.attributes or {}) for link in poll.links] == [
        {"messaging.destination.name": "r.1", "messaging.kafka.message.key": "a1"},
        {"messaging.destination.name": "r.2"},
        {"messaging.destination.name": "r.3"},
    ]


def test_polls_that_give_nothing_leave_no_span(traced: Callable[..., Traced]) -> None:
    """Ten a second; the end of a partition is nothing either, and an error is something."""
    found = traced()
    with found.lane.poll():
        pass
    with found.lane.poll() as polling:
        polling.fail(KafkaError(KafkaError._PARTITION_EOF))
    with found.lane.poll() as polling:
        polling.fail(KafkaError(KafkaError._TRANSPORT))
    (poll,) = found.spans().values()
    assert poll.attributes is not None
    assert (poll.name, poll.attributes["error.type"], poll.status.status_code) == ("poll", "_TRANSPORT", StatusCode.ERROR)


@pytest.mark.parametrize(
    ("given", "fails", "kind", "topic"),
    [
        (record(), None, None, "image.quality.verdicts"),
        (record(), FetchFailedError("http_not_found", "404"), None, "image.quality.verdicts"),
        (record(), DOWN, "http_server_error", "image.uploads.retry.1"),
        (record(value=b"x"), None, "not_json", "image.uploads.dlq"),
        (record(), ZeroDivisionError(), "ZeroDivisionError", "image.uploads.dlq"),
        (record(("iqa_attempt", b"3")), DOWN, "http_server_error", "image.quality.verdicts"),
    ],
)
def test_what_a_failure_is(
    traced: Callable[..., Traced], given: Record, fails: Exception | None, kind: str | None, topic: str
) -> None:
    """What goes to a retry topic or to the dead letters; a picture that is bad is none."""
    found = traced()
    records = handled(found.lane, given, fails).records
    process = found.spans()["process image.uploads"]
    assert process.attributes is not None
    assert records[0].topic == topic
    assert process.attributes.get("error.type") == kind
    assert process.status.status_code == (StatusCode.ERROR if kind else StatusCode.UNSET)
    assert {parent for each in records for parent in carried(each)} == {parent_header(process)}
    assert all(each.span is not None for each in records)


def test_what_takes_the_place_of_a_refused_record_carries_it_too(traced: Callable[..., Traced]) -> None:
    """But for a dead letter that must be as short as can be."""
    found = traced()
    entry = handled(found.lane, record(*SENDER))
    assert entry.refit is not None
    (letter,), (bare,) = entry.refit("no", 2), entry.refit("no", 3)
    headers = {each.key: found.lane.send(each).headers for each in (letter,)}
    assert len(carried(letter)) == 1
    assert headers[letter.key] != letter.headers
    assert carried(bare) == []
    assert found.lane.send(bare).headers == bare.headers


def test_without_traces_the_senders_own_is_carried_on() -> None:
    """In verdicts, and in what has the sender's headers anyhow."""
    for given, fails in ((record(*SENDER), None), (record(*SENDER), DOWN), (record(*SENDER, value=b"x"), None)):
        (made,) = handled(NO_TRACING.lane("g"), given, fails).records
        assert carried(made) == [PARENT, "v=1"]
        assert NO_TRACING.send(made).headers == made.headers


def test_a_replay_carries_the_dead_letters_on(traced: Callable[..., Traced]) -> None:
    """Whoever works on it again is linked to what made the letter."""
    found = traced()
    (letter,) = handled(found.lane, record(*SENDER, value=b"x")).records
    sending = found.lane.send(letter)
    sent = Outgoing(letter.topic, letter.key, letter.value, sending.headers)
    assert carried(_sent(as_dead_letter(as_read(sent)), "image.uploads")) == carried(sent)


@pytest.mark.parametrize(("call", "kind"), [("", None), ("offsets", "_ALL_BROKERS_DOWN"), ("commit", "_ALL_BROKERS_DOWN")])
def test_a_commit_ends_as_its_transaction_does(traced: Callable[..., Traced], call: str, kind: str | None) -> None:
    """Committed, or refused by name; its span links to where each event was made."""
    found, broker, ledger = traced(), Broker(), Ledger()
    broker.failures = {call: [failure(abort=True)]} if call else {}
    with found.lane.poll() as polling:
        entry = ledger.add(("image.uploads", 0), 0, 1)
        entry.origin = polling.add(record(*SENDER))
    ledger.begin(entry)
    ledger.finish(entry, [RECORD])
    make: Any = broker.producer
    publisher = TransactionalPublisher(make, lambda: broker.generation, broker.committed, ledger, tracing=found.lane)
    if kind is None:
        publisher.publish([entry])
    else:
        with pytest.raises(BrokerError):
            publisher.publish([entry])
    commit = found.spans()["commit image.uploads"]
    assert commit.attributes is not None
    assert commit.attributes.get("error.type") == kind
    assert commit.attributes["messaging.operation.type"] == "settle"
    assert commit.attributes["messaging.batch.message_count"] == 1
    assert [link.context.span_id for link in commit.links] == [int("b" * 16, 16)]


def test_what_is_not_sampled_is_carried_on_and_shown_nowhere(
    traced: Callable[..., Traced], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By OpenTelemetry's own variables; a trace id that nobody finds is no exemplar."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    found = traced()
    (verdict,) = handled(found.lane, record(*SENDER)).records
    assert verdict.span is not None
    assert verdict.span.exemplar is None
    assert int(carried(verdict)[0][-2:], 16) & 1 == 0
    assert found.spans() == {}


def test_spans_that_cannot_be_made_touch_no_event(traced: Callable[..., Traced], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with the library."""
    found = traced()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(found.lane._tracer, "start_span", broken)  # type: ignore[attr-defined]
    with structlog.testing.capture_logs() as lines, found.lane.poll() as polling:
        origin = polling.add(record(*SENDER))
        entry = handled(found.lane, record(*SENDER))
    entry.origin = origin
    found.lane.commit([entry]).end()
    assert carried(entry.records[0]) == [PARENT, "v=1"]
    assert found.lane.send(entry.records[0]).headers == entry.records[0].headers
    assert [line["error"] for line in lines if line["event"] == "tracing_failed"] == ["RuntimeError: broken"]


def test_lines_of_the_log_have_the_trace(traced: Callable[..., Traced]) -> None:
    """All that are about the event."""
    found, seen = traced(), list[Any]()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, partial(_keep, seen)])
    handled(found.lane, record(*SENDER))
    process = found.spans()["process image.uploads"]
    assert process.context is not None
    assert {line["trace_id"] for line in seen if line["event"] == "judged"} == {f"{process.context.trace_id:032x}"}


def _keep(seen: list[Any], logger: object, method: str, line: Any) -> Any:
    seen.append(dict(line))
    raise structlog.DropEvent


def test_what_opentelemetry_logs_is_said_once(traced: Callable[..., Traced]) -> None:
    """A receiver that is away is told of at every try."""
    traced()
    with structlog.testing.capture_logs() as lines:
        for number in range(20):
            logging.getLogger("opentelemetry.exporter.some").warning("refused %d at :4318", number)
    assert [line["event"] for line in lines].count("opentelemetry") == 1


def test_a_protocol_that_is_not_spoken_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans would go to a port that speaks another one."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_PROTOCOL: grpc"):
        make_tracing(make_settings(tracing={"enabled": True}))


def test_opentelemetry_can_be_switched_off_by_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is made, and the sender's trace is carried on as it is."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert make_tracing(make_settings(tracing={"enabled": True})) is NO_TRACING


def test_without_the_packages_the_start_stops_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """That says what to install."""
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; sys.argv = ['iqa', 'worker', 'run']\n"
        "from worker.entry import main; main()"
    )
    monkeypatch.setenv("IQA_TRACING__ENABLED", "true")
    monkeypatch.setenv("IQA_HTTP__PORT", "0")
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert found.returncode == 2
    assert "IQA_TRACING__ENABLED: needs packages that are not installed" in found.stderr
    assert "pip install 'iqa-fleet[otel]'" in found.stderr
    assert "Traceback" not in found.stderr


def test_off_nothing_of_it_is_imported() -> None:
    """As the command line begins, redis-py included, which imports it by itself where it is installed."""
    program = (
        "import sys; from worker.redis_alone import import_redis; import_redis(); import worker.cli, worker.app\n"
        "from worker.settings import Settings; from worker.telemetry.traces import make_tracing; make_tracing(Settings())\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert found.stdout.strip() == "[]"


def test_a_commit_of_no_event_is_told_too(traced: Callable[..., Traced]) -> None:
    """Of the place behind the marks of senders' transactions; and nothing of a topic that was made anew."""
    found = traced()
    ledger, old = Ledger(), Entry(("old", 0), 3, 1, commits=False)
    ledger.mark(("image.uploads", 0), 9)
    found.lane.commit([*ledger.finished(), old]).end()
    commit = found.spans()["commit image.uploads"]
    assert commit.attributes is not None
    assert commit.attributes["messaging.batch.message_count"] == 0


def test_a_cluster_that_cannot_be_asked_is_not_told(traced: Callable[..., Traced]) -> None:
    """And the lane begins all the same."""
    found = traced()

    def away() -> str:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    found.lane.begin(away)
    found.lane.process(record()).end(None, None, None)
    found.lane.begin(lambda: "c1")
    found.lane.send(RECORD).end(None, None)
    spans = found.spans()
    assert "messaging.kafka.cluster.id" not in (spans["process image.uploads"].attributes or {})
    assert (spans["send v"].attributes or {})["messaging.kafka.cluster.id"] == "c1"
