"""The trace that a record belongs to, as its sender tells it: W3C Trace Context, level 1.

Told in the headers ``traceparent`` and ``tracestate``, or by CloudEvents' extension for distributed tracing: the attributes of
the same names, which are the headers ``ce_traceparent`` and ``ce_tracestate`` in binary mode and stand in the JSON object in
structured mode. The headers win: the extension tells where an event began, they tell who wrote this record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.contracts.json_bodies import load_json
from worker.errors import EventError

__all__ = ["NAMES", "TraceContext", "find_context", "without_context"]

NAMES = ("traceparent", "tracestate")
STRUCTURED = "application/cloudevents+json"

MOST_BODY = 64_000
"""Bytes of a structured event that is read for this alone; a larger one's extension is not looked for."""

MOST_STATE = 512
"""Characters of a tracestate that is carried on, as the W3C asks for; a longer one is left out whole."""

_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,200})?")
_STATE = re.compile(r"[ -~\t]+")


@dataclass(frozen=True)
class TraceContext:
    """Where a record was made.

    Attributes:
        parent: a valid ``traceparent``, such as ``00-<32 hexadecimal digits>-<16>-01``.
        state: what tracing systems added for themselves; "" if nothing.

    """

    parent: str
    state: str = ""

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """As Kafka headers."""
        found: list[tuple[str, bytes | None]] = [(NAMES[0], self.parent.encode())]
        return [*found, (NAMES[1], self.state.encode())] if self.state else found


def find_context(headers: Mapping[str, str], body: bytes | None) -> TraceContext | None:
    """What a record tells of its trace; ``None`` if that is nothing, or nothing valid. Never raises.

    ``headers`` have names in lower case, as ``header_map`` gives them.
    """
    told = _valid(*map(headers.get, NAMES)) or _valid(*(headers.get(f"ce_{name}") for name in NAMES))
    if told is None and headers.get("content-type", "").partition(";")[0].strip().lower() == STRUCTURED:
        event = _read(body)
        told = _valid(*map(event.get, NAMES))
    return told


def without_context(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """``headers`` without those of the same names; CloudEvents' extension is the event's own, and stays."""
    return [header for header in headers if header[0].lower() not in NAMES]


def _valid(parent: object, state: object) -> TraceContext | None:
    found = _PARENT.fullmatch(parent.strip()) if isinstance(parent, str) else None
    # Later versions begin as this one does, and may have more parts.
    if found is None or (found[1] == "00" and found[2]):
        return None
    kept = state.strip() if isinstance(state, str) and len(state) <= MOST_STATE and _STATE.fullmatch(state) else ""
    return TraceContext(found[0], kept)


def _read(body: bytes | None) -> Mapping[str, Any]:
    if not body or len(body) > MOST_BODY:
        return {}
    try:
        found = load_json(body)
    except EventError:  # it becomes a dead letter, for that reason
        return {}
    return found if isinstance(found, dict) else {}
