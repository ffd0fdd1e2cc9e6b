"""Events are taken in every form that the contract allows, and refused with a code otherwise."""

from __future__ import annotations

import base64
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
ENVELOPE: dict[str, Any] = {"specversion": "1.0", "type": EVENT_TYPE}
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


REST = {"image_id": "a1", "url": "https://example.com/a.jpg"}
NOON = "2026-01-02T12:00:00Z"


def test_attributes_fill_what_the_body_leaves_out() -> None:
    """As every CloudEvents library writes them: id, time and subject are said once, outside the data."""
    attributes = {"id": "e9", "time": NOON, "subject": "a9"}
    binary = CE | {f"ce_{name}": value for name, value in attributes.items()}
    envelope = {"specversion": "1.0", "type": EVENT_TYPE, "source": "/app", **attributes}
    for data in ({"url": "u"}, {"url": "u", "event_id": None, "image_id": None, "uploaded_at": None}):
        for body, headers in ((data, binary), ({**envelope, "data": data}, STRUCTURED)):
            parsed = parse_event(json.dumps(body).encode(), headers)
            assert (parsed.event_id, parsed.image_id, parsed.uploaded_at.hour) == ("e9", "a9", 12)


def test_a_field_in_the_body_wins_over_an_attribute() -> None:
    """Senders that say both were always taken by the body."""
    other = {"id": "e9", "time": NOON, "subject": "a9"}
    binary = CE | {f"ce_{name}": value for name, value in other.items()}
    envelope = {"specversion": "1.0", "type": EVENT_TYPE, "source": "/app", **other, "data": BODY}
    assert parse_event(json.dumps(BODY).encode(), binary) == parse_event(json.dumps(BODY).encode(), {})
    assert parse_event(json.dumps(envelope).encode(), STRUCTURED) == parse_event(json.dumps(BODY).encode(), {})


def test_without_cloudevents_nothing_is_filled() -> None:
    """``id``, ``time`` and ``subject`` of a plain body are somebody's own fields."""
    with pytest.raises(EventError, match="event_id: Field required; uploaded_at: Field required"):
        parse_event(json.dumps({**REST, "id": "e9", "time": NOON}).encode(), {})


def test_all_that_is_wrong_is_named_at_once() -> None:
    """In one line of bounded length, with the attribute where the value came from."""
    with pytest.raises(EventError) as caught:
        parse_event(b'{"image_id": "", "sha256": "x", "service": 1}', CE | {"ce_time": "yesterday"})
    for said in ("uploaded_at (attribute time): ", "image_id: ", "url: Field required", "sha256: ", "service: "):
        assert said in caught.value.detail
    with pytest.raises(EventError) as caught:
        parse_event(json.dumps({**BODY, "image_id": "x" * 100_000, "uploaded_at": "y" * 100_000}).encode(), {})
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    ("body", "headers", "code", "said"),
    [
        ({**ENVELOPE, "data": BODY}, {}, "invalid_event", "application/cloudevents+json"),
        ({"specversion": "1.0", "data_base64": "e30="}, {"content-type": "x"}, "invalid_event", "structured CloudEvent"),
        ([BODY], {}, "invalid_event", "one event a record"),
        ([BODY], {"content-type": "application/cloudevents-batch+json"}, "unsupported_cloudevents", "one event a record"),
        (BODY, {"content-type": "application/cloudevents+avro"}, "unsupported_cloudevents", "application/cloudevents+json"),
        (json.dumps(BODY), {}, "invalid_event", "encode it once"),
        ({"schema": {}, "payload": BODY}, {}, "invalid_event", "schemas.enable=false"),
        ({**ENVELOPE, "data": [BODY]}, STRUCTURED, "invalid_event", "one event a record"),
        ({**ENVELOPE, "data": "<a/>", "datacontenttype": "text/xml"}, STRUCTURED, "invalid_event", "text/xml"),
        ({**ENVELOPE, "data_base64": "%"}, STRUCTURED, "invalid_event", "not Base64"),
        ({**ENVELOPE, "data_base64": 1}, STRUCTURED, "invalid_event", "not Base64"),
        (ENVELOPE, STRUCTURED, "invalid_event", "image_id: Field required; url: Field required"),
        ({"specversion": "1.0", "type": "x" * 100_000}, STRUCTURED, "unexpected_type", "type must be image.uploaded.v1"),
        (REST, CE | {"ce_id": "\ufffd"}, "invalid_event", "attribute id is not UTF-8"),
        ({**BODY, "service": "a\nb"}, {}, "invalid_event", "service: "),
        ({**BODY, "service": "x" * 257}, {}, "invalid_event", "service: "),
        ({**BODY, "uploaded_at": "0001-01-01T00:00:00+14:00"}, {}, "invalid_event", "in UTC it is not within the years"),
        ({**BODY, "content_type": "a\x00b"}, {}, "invalid_event", "content_type: "),
    ],
)  # fmt: skip
def test_other_wrappings_are_named(body: Any, headers: dict[str, str], code: str, said: str) -> None:
    """With what to change; the codes are the old ones, since a program can do nothing else about them."""
    with pytest.raises(EventError) as caught:
        parse_event(json.dumps(body).encode(), headers)
    assert caught.value.code == code
    assert said in caught.value.detail
    assert len(caught.value.detail) <= 1000


def test_what_senders_did_is_still_taken() -> None:
    """Bounds and hints must not break whoever sends today."""
    taken: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({**BODY, "service": ""}, {}),
        ({**BODY, "service": "招聘 / housing"}, {}),
        ({**BODY, "uploaded_at": "0001-01-01T00:00:00Z"}, {}),
        ({**BODY, "specversion": "1.0", "data": {}, "type": "x"}, {}),
        (BODY, {"content-type": "text/plain"}),
        (BODY, CE | {"ce_dataschema": "https://registry.example/1", "ce_subject": "other", "ce_time": "nonsense"}),
    ]
    for body, headers in taken:
        assert parse_event(json.dumps(body).encode(), headers).event_id == "e1"


def test_data_in_base64_is_read() -> None:
    """The JSON format allows it for any data."""
    encoded = base64.b64encode(json.dumps(BODY).encode()).decode()
    envelope = {"specversion": "1.0", "type": EVENT_TYPE, "data_base64": encoded, "dataschema": "urn:x"}
    assert parse_event(json.dumps(envelope).encode(), STRUCTURED).event_id == "e1"


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
