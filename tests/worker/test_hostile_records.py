"""Only the worker's own failures open the circuit breaker: whatever a sender writes is an ``EventError`` or gets a verdict.

Everything goes the whole way: headers, body, URL, fetch, verdict, its JSON and its headers.
"""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.worker.helpers import LOCAL, FakeAssessor
from tests.worker.intake.test_urls import FILES, HOSTILE
from worker.contracts.cloudevents import Headers, header_map, parse_event, verdict_headers
from worker.contracts.events import EVENT_TYPE
from worker.contracts.verdicts import QualityVerdict
from worker.errors import EventError
from worker.intake.sources import Fetcher
from worker.pipeline import Pipeline
from worker.services import Assessors

EVENT: dict[str, Any] = {"event_id": "e1", "image_id": "a1", "url": "http://[::1", "uploaded_at": "2026-01-02T03:04:05Z"}
STRUCTURED = {"specversion": "1.0", "type": EVENT_TYPE, "source": "/", "id": "e1", "data": EVENT}
BINARY: Headers = [("ce_specversion", b"1.0"), ("ce_type", EVENT_TYPE.encode())]
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, 10**99, "", " ", "\x00", "a\nb", "\u2028", "\U0001f4a9", "%", "x" * 100_000, [], {}, [[]],
    {"": {}}, "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "1e400", "2026-02-30T00:00:00Z", "Z" * 64,
    "{}", "image/\r",
)  # fmt: skip
HEADERS: dict[str, Headers] = {
    "none": [],
    "null values": [("ce_id", None), ("content-type", None), ("", None)],
    "no text": [("ce_specversion", b"\xff\xfe"), ("ce_type", b"\x00"), ("\x00", b"\x00")],
    "binary": BINARY,
    "binary, attributes that are no text": [*BINARY, ("ce_id", b"\xff"), ("ce_subject", b"\x00"), ("ce_time", b"\xff")],
    "binary, large attributes": [*BINARY, ("ce_id", b"x" * 900_000), ("ce_subject", b"y" * 900_000), ("ce_time", b"1" * 5000)],
    "binary, odd times": [*BINARY, ("CE_TIME", b"253402300800"), ("ce_time", b"-1e18")],
    "structured": [("Content-Type", b"application/cloudevents+json; charset=\xff")],
    "batch": [("content-type", b"application/cloudevents-batch+json")],
    "unknown": [("content-type", b"application/cloudevents" + b"+" * 100_000)],
    "many": [(f"ce_{number}", b"") for number in range(10_000)],
    "our own": [("iqa_attempt", b"9" * 5000), ("iqa_reason", b"\xff")],
}
BODIES: dict[str, bytes | None] = {
    "null": None,
    "empty": b"",
    "blank": b" \n",
    "brackets": b"[" * 1_000_000,
    "deep": json.dumps(EVENT)[:-1].encode() + b', "metadata": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}",
    "infinite": json.dumps(EVENT)[:-1].encode() + b', "metadata": {"x": 1e999}}',
    "surrogate": json.dumps(EVENT)[:-1].encode() + b', "metadata": {"\\udfff": "\\ud800"}}',
    "nothing": b"{}",
    "an event": json.dumps(EVENT).encode(),
    "structured": json.dumps(STRUCTURED).encode(),
    "UTF-16": json.dumps(EVENT).encode("utf-16"),
    "framed": b"\x00\x00\x00\x00\x01" + json.dumps(EVENT).encode(),
    "Avro": b"Obj\x01" + bytes(100),
    "zeros": bytes(1000),
    "compressed": b"\x1f\x8b" + bytes(100),
}


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """Fetches in earnest, though no name is looked up."""

    def nobody(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("not from a test")

    fetcher, assessors = Fetcher(LOCAL), cast("Assessors", FakeAssessor())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", nobody)
        yield Pipeline(fetcher.fetch, assessors)
    fetcher.close()


def answer(pipeline: Pipeline, body: bytes | None, headers: Headers) -> QualityVerdict | None:
    """The verdict as a reader gets it, or ``None`` for an event that is a dead letter; anything else is a failure of ours."""
    try:
        event = parse_event(body, header_map(headers))
    except EventError as error:
        assert 0 < len(error.detail) <= 1000
        return None
    verdict = pipeline.judge(event)
    assert verdict_headers(verdict, "/test")
    read = QualityVerdict.model_validate_json(verdict.model_dump_json())
    assert read == verdict
    return read


@pytest.mark.parametrize("name", HEADERS)
def test_headers_and_bodies(pipeline: Pipeline, name: str) -> None:
    """Each body under each set of headers."""
    for body in BODIES.values():
        answer(pipeline, body, HEADERS[name])


@pytest.mark.parametrize("field", [*EVENT, "service", "content_type", "sha256", "metadata"])
def test_fields(pipeline: Pipeline, field: str) -> None:
    """Each field with each odd value, in every mode; attributes too."""
    for value, wrapped in itertools.product(ODD, (False, True)):
        data = {**EVENT, field: value}
        body = {**STRUCTURED, "id": value, "time": value, "subject": value, "data": data} if wrapped else data
        answer(pipeline, json.dumps(body).encode(), HEADERS["structured" if wrapped else "none"])


@pytest.mark.parametrize("url", [*HOSTILE, *FILES], ids=lambda url: repr(url[:30]))
def test_urls(pipeline: Pipeline, url: str) -> None:
    """A verdict that says so, unless the URL is longer than an event's may be, or empty."""
    verdict = answer(pipeline, json.dumps({**EVENT, "url": url}).encode(), [])
    if verdict is None:
        assert not 1 <= len(url) <= 8192
    else:
        assert verdict.reason is not None
        assert verdict.reason.code in {"invalid_url", "unsupported_scheme", "file_refused"}
