"""CloudEvents 1.0 over Kafka (protocol binding 1.0.2): binary and structured mode in, binary mode out.

A plain JSON body without any ``ce_`` header is an event too: many producers begin that way.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from worker.contracts.events import EVENT_TYPE, ImageUploaded
from worker.contracts.json_bodies import load_json
from worker.contracts.verdicts import VERDICT_TYPE, QualityVerdict
from worker.errors import EventError

__all__ = ["Headers", "event_headers", "header_map", "parse_event", "schema_uri", "verdict_headers"]

Headers = list[tuple[str, str | bytes | None]]

FILLED_BY = {"event_id": "id", "uploaded_at": "time", "image_id": "subject"}
"""Fields of an event, and the attributes that fill them."""

STRUCTURED = "application/cloudevents+json"
JSON = b"application/json; charset=utf-8"
MOST_DETAIL = 1000
_NAMES = {
    list: "a JSON array (send one event a record)",
    str: "a string (encode it once)",
    type(None): "null",
    bool: "a boolean",
}


def schema_uri(kind: str) -> str:
    """The name of an event type's JSON Schema: its ``$id``, and the attribute ``dataschema``. No address: nothing is there."""
    return f"urn:iqa-fleet:schema:{kind}"


def header_map(headers: Sequence[tuple[str, str | bytes | None]] | None) -> dict[str, str]:
    """Kafka headers as text, names in lower case; of repeated names the last one counts."""
    found = {}
    for name, value in headers or ():
        if value is not None:
            found[name.lower()] = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return found


def parse_event(body: bytes | None, headers: Mapping[str, str]) -> ImageUploaded:
    """The upload event in a record.

    Attributes fill what the body leaves out or null: ``id`` is the ``event_id``, ``time`` is ``uploaded_at``, ``subject`` is
    the ``image_id``. A field in the body wins: CloudEvents says nothing of ``data``, and what senders already say stays.

    Raises:
        EventError: with the code ``empty_body``, ``not_json``, ``unexpected_type``, ``unsupported_cloudevents`` or
            ``invalid_event``.

    """
    if not body:
        raise EventError("empty_body", "the record has no body")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type.startswith("application/cloudevents") and media_type != STRUCTURED:
        raise EventError(
            "unsupported_cloudevents", f"content-type {_shown(media_type)}: send one event a record, as {STRUCTURED}"
        )
    data = load_json(body)
    attributes: Mapping[str, Any] = {}
    if media_type == STRUCTURED:
        if not isinstance(data, dict):
            raise EventError("invalid_event", "a structured CloudEvent must be a JSON object")
        _check_attributes(data.get("specversion"), data.get("type"))
        data, attributes = _data_of(data), data
    elif any(name.startswith("ce_") for name in headers):
        _check_attributes(headers.get("ce_specversion"), headers.get("ce_type"))
        attributes = {name: headers.get(f"ce_{name}") for name in FILLED_BY.values()}
    try:
        return _event(data, attributes)
    except EventError as error:
        if not attributes and any(name.startswith("ce-") for name in headers):
            raise EventError(
                error.code, f"{error.detail}; in Kafka the headers of a CloudEvent begin with ce_, not ce-"
            ) from error
        raise


def _data_of(envelope: dict[str, Any]) -> Any:
    """What a structured CloudEvent carries; nothing is an empty object, since attributes may say it all but the URL."""
    if (encoded := envelope.get("data_base64")) is not None and envelope.get("data") is None:
        try:
            return load_json(b64decode(encoded, validate=True))
        except (ValueError, TypeError) as error:
            raise EventError("invalid_event", "data_base64: not Base64") from error
    data = envelope.get("data")
    kind = envelope.get("datacontenttype")
    if isinstance(data, str) and kind is not None and "json" not in str(kind).lower():
        raise EventError("invalid_event", f"datacontenttype {_shown(kind)}: only JSON data is read")
    return {} if data is None else data


def _event(data: Any, attributes: Mapping[str, Any]) -> ImageUploaded:
    if not isinstance(data, dict):
        raise EventError("invalid_event", f"the event is {_NAMES.get(type(data), 'a number')}, not a JSON object")
    filled = {name: attributes.get(by) for name, by in FILLED_BY.items() if data.get(name) is None}
    filled = {name: value for name, value in filled.items() if value is not None}
    for name, value in filled.items():
        if "\ufffd" in str(value):
            # header_map puts that where bytes are no text: ids of different events would become one.
            raise EventError("invalid_event", f"{name}: the attribute {FILLED_BY[name]} is not UTF-8")
    try:
        return ImageUploaded.model_validate({**data, **filled})
    except ValidationError as error:
        raise EventError("invalid_event", _envelope_hint(data) or _all_that_is_wrong(error, filled)) from error


def _envelope_hint(data: dict[str, Any]) -> str | None:
    """What an object is that is no event, if it is another wrapping of one."""
    if "specversion" in data and not data.keys().isdisjoint({"data", "data_base64", "source", "type"}):
        return f"looks like a structured CloudEvent; send content-type: {STRUCTURED}"
    if data.keys() == {"schema", "payload"}:
        return "looks like Kafka Connect's JSON with a schema; set value.converter.schemas.enable=false"
    return None


def _all_that_is_wrong(error: ValidationError, filled: Mapping[str, Any]) -> str:
    """Every field that is missing or wrong, in one line of bounded length."""
    told = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        field = str(found["loc"][0]) if found["loc"] else "body"
        told.append(f"{field}{f' (attribute {FILLED_BY[field]})' if field in filled else ''}: {found['msg']}")
    return "; ".join(told)[:MOST_DETAIL]


def _check_attributes(version: object, kind: object) -> None:
    if version != "1.0":
        raise EventError("unsupported_cloudevents", f"specversion must be 1.0, not {_shown(version)}")
    if kind != EVENT_TYPE:
        raise EventError("unexpected_type", f"type must be {EVENT_TYPE}, not {_shown(kind)}")


def _shown(value: object) -> str:
    """A sender's value as it may stand in a line."""
    return repr(value)[:80]


def event_headers(event: ImageUploaded, source: str) -> Headers:
    """Binary-mode headers of an upload event."""
    return _headers(event.event_id, source, EVENT_TYPE, event.image_id, event.uploaded_at.isoformat())


def verdict_headers(verdict: QualityVerdict, source: str) -> Headers:
    """Binary-mode headers of a verdict. Its id is derived from the event's, so that a repeat carries the same id."""
    return _headers(f"{verdict.event_id}.verdict", source, VERDICT_TYPE, verdict.image_id, verdict.produced_at.isoformat())


def _headers(identity: str, source: str, kind: str, subject: str, time: str) -> Headers:
    attributes = {"specversion": "1.0", "id": identity, "source": source, "type": kind, "subject": subject, "time": time}
    attributes["dataschema"] = schema_uri(kind)
    return [("content-type", JSON), *((f"ce_{name}", value.encode()) for name, value in attributes.items())]
