"""Traces by OpenTelemetry's conventions for messaging and Kafka, version 1.44.0: the only module that imports OpenTelemetry.

| span | kind | what it covers |
| --- | --- | --- |
| ``poll {topic}`` | CLIENT | a call for records that gave some |
| ``process {topic}`` | CONSUMER | the work on one event, from its thread's first step to its last |
| ``send {topic}`` | PRODUCER | one verdict, retry or dead letter, until the broker has it; a child of ``process`` |
| ``commit {topic}`` | CLIENT | offsets on their way, by a transaction or without |

Spans are tied to what senders made by links; the work on an event also by its parent, if that is set. Nothing here may harm
the work: no method raises, spans wait in a bounded queue, and what cannot be exported is dropped and told of once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from os import environ
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import structlog
from confluent_kafka import KafkaError, Message
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_SPAN_LINK_COUNT_LIMIT
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from worker.contracts.events import ImageUploaded
from worker.contracts.trace_context import NAMES, TraceContext
from worker.contracts.verdicts import QualityVerdict
from worker.errors import SettingsError
from worker.settings import Settings
from worker.stream.incoming import Record
from worker.stream.ledger import Entry
from worker.stream.outgoing import Outgoing
from worker.stream.records import software_version
from worker.telemetry.complaints import Complaints
from worker.telemetry.messaging import (
    DESTINATION,
    OFFSET,
    PARTITION,
    Attributes,
    Told,
    client,
    common,
    identity,
    judged,
    kind_of,
    operation,
)
from worker.telemetry.traces import NO_TRACING, Committing, Headers, LaneTracing, Polling, Sending, Work

__all__ = ["OtelTracing"]

log = structlog.get_logger()

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
MOST_LINKS = 1_000
"""Of one span, unless OpenTelemetry's own variable says otherwise. A commit may be about more records than that."""

P = ParamSpec("P")
R = TypeVar("R")

_complaints = Complaints()


class _Tamed(logging.Handler):
    """What OpenTelemetry logs becomes a line of ours, once a minute: a receiver that is away is told of at every try."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on."""
        _complaints.say("opentelemetry", record.getMessage()[:500], told="spans may be lost, events are not touched")


def _tame_logs() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_Tamed(logging.WARNING)]
    logger.propagate = False
    logging.getLogger("urllib3").setLevel(logging.WARNING)


class OtelTracing:
    """See ``Tracing``. Exports by OTLP over HTTP, in a thread of its own.

    Args:
        settings: of the worker.
        exporter: where spans go; by default where OpenTelemetry's variables say.

    Raises:
        SettingsError: the variables ask for a protocol that is not spoken here.

    """

    def __init__(self, settings: Settings, exporter: SpanExporter | None = None) -> None:
        for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if (asked := environ.get(name, "").strip()) not in {"", "http/protobuf"}:
                raise SettingsError(f"{name}: {asked[:40]} is not spoken here; unset it, or set http/protobuf")
        _tame_logs()
        self._settings = settings
        limits = SpanLimits(max_links=None if environ.get(OTEL_SPAN_LINK_COUNT_LIMIT) else MOST_LINKS)
        # Nobody waits for it when Python ends: ``close`` has waited long enough.
        self._provider = TracerProvider(resource=_resource(), span_limits=limits, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("iqa-fleet", software_version(), SCHEMA)

    def lane(self, group_id: str) -> LaneTracing:
        """See ``Tracing``."""
        return _LaneTracing(self._tracer, self._settings, group_id)

    def close(self, timeout_s: float) -> None:
        """See ``Tracing``. A receiver that does not answer would be waited for half a minute by the library's own bounds."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(max(0.0, timeout_s))
        if closing.is_alive():
            log.warning("traces_left_behind", told="the receiver does not answer; the last spans are dropped")


def _resource() -> Resource:
    """What sends the spans; the environment wins."""
    own = {
        "service.name": "iqa-worker",
        "service.version": software_version(),
        "service.instance.id": str(uuid.uuid4()),
    }
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})


def _or(fallback: Callable[..., R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """What is called where a method fails: events are worked on, whatever is wrong with their spans."""

    def guard(method: Callable[P, R]) -> Callable[P, R]:
        @wraps(method)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return method(*args, **kwargs)
            except Exception as error:
                _complaints.say("tracing_failed", f"{type(error).__name__}: {error}"[:500])
                return fallback(*args[1:])

        return guarded

    return guard


def _nothing(*_: object) -> Any:
    """Gives nothing."""


class _LaneTracing:
    """See ``LaneTracing``."""

    def __init__(self, tracer: Tracer, settings: Settings, group_id: str) -> None:
        self._tracer = tracer
        self._parent = settings.tracing.parent
        self._common = client(settings)
        self._of_group = {**self._common, "messaging.consumer.group.name": group_id}

    @_or(_nothing)
    def begin(self, cluster_id: Callable[[], str | None]) -> None:
        if found := cluster_id():
            for attributes in (self._common, self._of_group):
                attributes["messaging.kafka.cluster.id"] = found

    def poll(self) -> Polling:
        return _Polling(self._tracer, self._of_group)

    @_or(NO_TRACING.process)
    def process(self, record: Record) -> Work:
        message = Told.of(record)
        attributes = {**self._of_group, **operation("process", "process"), **message.attributes}
        links = [Link(_made(message))] if message.made else []
        # By links alone unless it is asked for: there is no trace of our own that the work would be taken out of.
        parent = set_span_in_context(NonRecordingSpan(links[0].context), Context()) if links and self._parent else Context()
        span = self._tracer.start_span(f"process {record.topic}", parent, SpanKind.CONSUMER, attributes, links)
        return _Work(span, record)

    @_or(NO_TRACING.send)
    def send(self, record: Outgoing) -> Sending:
        attributes = {**self._common, **operation("send", "send"), DESTINATION: record.topic}
        attributes |= identity(record.key, tombstone=record.value is None)
        parent = record.span.context if isinstance(record.span, _Made) else Context()
        return _Sending(self._tracer.start_span(f"send {record.topic}", parent, SpanKind.PRODUCER, attributes), record)

    @_or(NO_TRACING.commit)
    def commit(self, entries: Sequence[Entry]) -> Committing:
        settled = [entry for entry in entries if entry.commits]
        messages = [entry.origin for entry in settled if isinstance(entry.origin, Told)]
        attributes = {**self._of_group, **operation("commit", "settle")}
        if len(topics := {entry.partition[0] for entry in settled}) == 1:
            # Also where it is about no event, but about the marks of senders' transactions.
            attributes |= {DESTINATION: topics.pop()}
        return _Open(_start_batch(self._tracer, "commit", attributes, messages))


class _Polling:
    """See ``Polling``. A span is made once it is known that there is something to tell."""

    def __init__(self, tracer: Tracer, of_group: Attributes) -> None:
        self._tracer = tracer
        self._of_group = of_group
        self._began = time.time_ns()
        self._ended = 0
        self._messages: list[Told] = []
        self._error: KafkaError | None = None

    @_or(_nothing)
    def add(self, record: Record) -> object:
        self._ended = self._ended or time.time_ns()
        message = Told.of(record)
        self._messages.append(message)
        return message

    def fail(self, error: KafkaError) -> None:
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's own name
            self._ended = self._ended or time.time_ns()
            self._error = self._error or error

    def __enter__(self) -> Self:
        return self

    @_or(_nothing)
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._ended:
            return
        attributes = {**self._of_group, **operation("poll", "receive")}
        span = _start_batch(self._tracer, "poll", attributes, self._messages, self._began)
        if self._error is not None:
            _fail(span, self._error.name(), self._error.str())
        span.end(self._ended)


class _Made:
    """See ``Span``."""

    def __init__(self, span: OtelSpan) -> None:
        self._found = span.get_span_context()
        self.context = set_span_in_context(NonRecordingSpan(self._found), Context())

    @property
    def exemplar(self) -> Mapping[str, str] | None:
        """See ``Span``."""
        if not self._found.trace_flags.sampled:
            return None
        return {"trace_id": f"{self._found.trace_id:032x}", "span_id": f"{self._found.span_id:016x}"}


class _Work:
    """See ``Work``."""

    def __init__(self, span: OtelSpan, record: Record) -> None:
        self._span = span
        found = span.get_span_context()
        self.record = record.traced(_carried(found), _Made(span))
        self.logged: Mapping[str, str] = {"trace_id": f"{found.trace_id:032x}"}

    @_or(_nothing)
    def end(self, event: ImageUploaded | None, verdict: QualityVerdict | None, fault: str | None) -> None:
        span = self._span
        if span.is_recording():
            if event is not None:
                span.set_attribute("cloudevents.event_id", event.event_id)
            if verdict is not None:
                span.set_attributes(judged(verdict))
            if fault is not None:
                _fail(span, fault)
        span.end()


class _Sending:
    """See ``Sending``."""

    def __init__(self, span: OtelSpan, record: Outgoing) -> None:
        self._span = span
        self.headers: Headers = list(record.headers)
        # A dead letter that had to be as short as can be has none, and gets none.
        if any(name == "traceparent" for name, _ in self.headers):
            self.headers = [*_without(self.headers), *_carried(span.get_span_context()).headers]

    @_or(_nothing)
    def end(self, error: KafkaError | None, message: Message | None) -> None:
        if error is not None:
            _fail(self._span, error.name(), error.str())
        elif message is not None:
            self._span.set_attribute(PARTITION, str(message.partition()))
            if (offset := message.offset()) is not None:
                self._span.set_attribute(OFFSET, offset)
        self._span.end()


class _Open:
    """See ``Committing``."""

    def __init__(self, span: OtelSpan) -> None:
        self._span: OtelSpan | None = span

    @_or(_nothing)
    def end(self, error: BaseException | KafkaError | None = None) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        if error is not None:
            _fail(span, kind_of(error), str(error))
        span.end()


def _start_batch(
    tracer: Tracer, name: str, attributes: Attributes, messages: Sequence[Told], began: int | None = None
) -> OtelSpan:
    """A span about many records: what they have in common is told by it, what not by their links."""
    told = [message.place if name == "commit" else message.attributes for message in messages]
    shared = common(told)
    attributes = {**attributes, **shared, "messaging.batch.message_count": len(messages)}
    topic = attributes.get(DESTINATION)
    return tracer.start_span(
        f"{name} {topic}" if topic else name,
        Context(),
        SpanKind.CLIENT,
        attributes,
        [_link(message, each, shared) for message, each in zip(messages, told, strict=True) if message.made],
        began,
    )


def _link(message: Told, told: Attributes, shared: Attributes) -> Link:
    """To where a record was made, with what its neighbours do not have in common with it."""
    return Link(_made(message), {key: value for key, value in told.items() if key not in shared})


def _fail(span: OtelSpan, kind: str, detail: str | None = None) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, detail[:500] if detail else None)


def _made(message: Told) -> SpanContext:
    assert message.made is not None  # noqa: S101 - asked before
    _, trace, span, flags = message.made.parent.split("-")[:4]
    state = TraceState.from_header([message.made.state]) if message.made.state else None
    return SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)), trace_state=state)


def _carried(found: SpanContext) -> TraceContext:
    parent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
    return TraceContext(parent, found.trace_state.to_header())


def _without(headers: Headers) -> Headers:
    return [header for header in headers if header[0].lower() not in NAMES]
