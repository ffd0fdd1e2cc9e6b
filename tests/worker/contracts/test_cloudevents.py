"""Events are taken in every form that the contract allows, and refused with a code otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.helpers import event, verdict
from worker.contracts.cloudevents import event_headers, header_map, parse_event, verdict_headers
from worker.contracts.events import EVENT_TYPE
from worker.errors import EventError

BODY: dict[str, Any] = {
    "event_id": "e1",
    "image_id": "a1",
    "url": "https://example.com/a.jpg",
    "uploaded_at": "2026-01-02T03:04:05Z",
}
CE = {"ce_specversion": "1.0", "ce_type": EVENT_TYPE, "ce_id": "e1", "ce_source": "/app", "content-type": "application/json"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}


def test_binary_structured_and_plain_give_the_same_event() -> None:
    """Headers, an envelope, or nothing around the body."""
    envelope = {"specversion": "1.0", "type": EVENT_TYPE, "id": "e1", "source": "/app", "data": BODY}
    plain = parse_event(json.dumps(BODY).encode(), {})
    assert parse_event(json.dumps(BODY).encode(), CE) == plain
    assert parse_event(json.dumps(envelope).encode(), STRUCTURED) == plain
    assert plain.image_id == "a1"


def test_unknown_fields_are_ignored_and_metadata_is_kept() -> None:
    """Producers may know more than we do."""
    parsed = parse_event(json.dumps({**BODY, "new": 1, "metadata": {"team": "x", "deep": [1, {"y": None}]}}).encode(), {})
    assert parsed.metadata == {"team": "x", "deep": [1, {"y": None}]}
    assert not hasattr(parsed, "new")


@pytest.mark.parametrize("field", sorted(BODY))
def test_missing_fields_are_named(field: str) -> None:
    """Each of the four that are required."""
    with pytest.raises(EventError, match=f"invalid_event: {field}: Field required"):
        parse_event(json.dumps({k: v for k, v in BODY.items() if k != field}).encode(), {})


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (None, {}, "empty_body"),
        (b"", {}, "empty_body"),
        (b"{", {}, "not_json"),
        (b"\xff\xfe", {}, "not_json"),
        (b'{"event_id": "\\ud800"}', {}, "not_json"),
        (b'{"event_id": NaN}', {}, "not_json"),
        (b"[" * 100_000, {}, "not_json"),
        (b"[1]", {}, "invalid_event"),
        (b"null", {}, "invalid_event"),
        (b"[]", STRUCTURED, "invalid_event"),
        (json.dumps(BODY).encode(), CE | {"ce_type": "image.deleted.v1"}, "unexpected_type"),
        (json.dumps(BODY).encode(), CE | {"ce_specversion": "0.3"}, "unsupported_cloudevents"),
        (json.dumps({**BODY, "image_id": ""}).encode(), {}, "invalid_event"),
        (json.dumps({**BODY, "image_id": "a\nb"}).encode(), {}, "invalid_event"),
        (json.dumps({**BODY, "uploaded_at": "2026-01-02T03:04:05"}).encode(), {}, "invalid_event"),
        (json.dumps({**BODY, "sha256": "xyz"}).encode(), {}, "invalid_event"),
    ],
)
def test_anything_else_is_refused_with_a_code(body: bytes | None, headers: dict[str, str], code: str) -> None:
    """The code is what dead letters are counted by."""
    with pytest.raises(EventError) as caught:
        parse_event(body, headers)
    assert caught.value.code == code


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()),
    )
)
def test_no_body_raises_anything_else(body: bytes) -> None:
    """Nothing that arrives on the topic stops the worker."""
    with pytest.raises(EventError):
        parse_event(body, {})


def test_headers_are_read_leniently() -> None:
    """Names in any case, values as bytes or text, null ones skipped, the last one counts."""
    headers: list[tuple[str, str | bytes | None]] = [("CE_Type", b"a"), ("ce_type", "b"), ("x", None), ("y", b"\xff")]
    assert header_map(headers) == {"ce_type": "b", "y": "\ufffd"}
    assert header_map(None) == {}


def test_what_is_sent_can_be_read() -> None:
    """Events carry the required attributes; a verdict's id follows from its event's."""
    sent = event("图1")
    assert parse_event(sent.model_dump_json().encode(), header_map(event_headers(sent, "/test"))) == sent
    headers = header_map(verdict_headers(verdict("a1"), "/iqa/worker"))
    assert headers["ce_type"] == "image.quality.judged.v1"
    assert (headers["ce_subject"], headers["ce_source"], headers["ce_specversion"]) == ("a1", "/iqa/worker", "1.0")
    assert headers["ce_dataschema"] == "urn:iqa-fleet:schema:image.quality.judged.v1"
    assert headers["ce_id"] == verdict_headers(verdict("a1"), "/other")[2][1].decode()  # type: ignore[union-attr]
