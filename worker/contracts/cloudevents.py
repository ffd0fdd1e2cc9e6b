"""CloudEvents 1.0 over Kafka (protocol binding 1.0.2): binary and structured mode in, binary mode out.

A plain JSON body without any ``ce_`` header is an event too: many producers begin that way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from worker.contracts.events import EVENT_TYPE, ImageUploaded
from worker.contracts.verdicts import VERDICT_TYPE, QualityVerdict
from worker.errors import EventError

__all__ = ["Headers", "event_headers", "header_map", "parse_event", "schema_uri", "verdict_headers"]

Headers = list[tuple[str, str | bytes | None]]

STRUCTURED = "application/cloudevents+json"
JSON = b"application/json; charset=utf-8"


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

    Raises:
        EventError: with the code ``empty_body``, ``not_json``, ``unexpected_type``, ``unsupported_cloudevents`` or
            ``invalid_event``.

    """
    if not body:
        raise EventError("empty_body", "the record has no body")
    data = _load_json(body)
    if headers.get("content-type", "").lower().startswith(STRUCTURED):
        if not isinstance(data, dict):
            raise EventError("invalid_event", "a structured CloudEvent must be a JSON object")
        _check_attributes(data.get("specversion"), data.get("type"))
        data = data.get("data")
    elif any(name.startswith("ce_") for name in headers):
        _check_attributes(headers.get("ce_specversion"), headers.get("ce_type"))
    try:
        return ImageUploaded.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise EventError("invalid_event", f"{where}: {first['msg']}") from error


def _load_json(body: bytes) -> Any:
    try:
        data = json.loads(body, parse_constant=_refuse_constant)
        # Lone surrogates pass json.loads but cannot be written again, not even into a dead letter's headers.
        json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise EventError("not_json", f"the body is not JSON: {type(error).__name__}") from error
    return data


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _check_attributes(version: object, kind: object) -> None:
    if version != "1.0":
        raise EventError("unsupported_cloudevents", f"specversion must be 1.0, not {version!r}")
    if kind != EVENT_TYPE:
        raise EventError("unexpected_type", f"type must be {EVENT_TYPE}, not {kind!r}")


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
