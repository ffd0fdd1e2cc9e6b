"""Records that a worker publishes: verdicts and dead letters."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog

from worker.contracts.cloudevents import verdict_headers
from worker.contracts.trace_context import TraceContext
from worker.contracts.verdicts import OMISSIBLE, QualityVerdict, without
from worker.stream.clients import MAX_RECORD_BYTES
from worker.stream.incoming import PREFIX, Header, Record
from worker.stream.ledger import Outgoing

__all__ = ["Blame", "dead_letter", "fitting_verdict", "noted", "software_version", "verdict_record"]

log = structlog.get_logger()

KEPT_BODY = 64_000
"""Bytes of the body that a dead letter keeps if it cannot keep all: enough to see what it is."""

MOST_KEY = 1_000


def _installed() -> str:
    try:
        return version("iqa-fleet")
    except PackageNotFoundError:
        return "unknown"


_VERSION = _installed()
"""Read once, at the start: a process that has no file left to open must still be able to write a dead letter."""


def software_version() -> str:
    """Version of this package, as installed."""
    return _VERSION


def noted(told: dict[str, Any]) -> list[Header]:
    """Headers of our own, with what they say."""
    return [(f"{PREFIX}{name}", str(value).encode("utf-8", "replace")) for name, value in told.items()]


def verdict_record(verdict: QualityVerdict, topic: str, source: str, context: TraceContext | None = None) -> Outgoing:
    """A verdict, keyed by image so that a compacted topic keeps the latest of each; its headers carry ``context`` on."""
    headers = [*verdict_headers(verdict, source), *(context.headers if context else ())]
    return Outgoing(topic, verdict.image_id.encode(), verdict.model_dump_json().encode(), headers)


def fitting_verdict(
    verdict: QualityVerdict, topic: str, source: str, limit: int, context: TraceContext | None = None
) -> Outgoing | None:
    """A verdict of at most ``limit`` bytes: whole, or without what makes it too large, which it then says.

    ``None`` if it is too large even so. ``context`` is the trace that it belongs to.
    """
    published = verdict_record(verdict, topic, source, context)
    for part in OMISSIBLE:
        if published.size <= limit:
            break
        verdict = without(verdict, part)
        log.warning("verdict_too_large", omitted=verdict.omitted, bytes=published.size, limit=limit)
        published = verdict_record(verdict, topic, source, context)
    return published if published.size <= limit else None


@dataclass(frozen=True)
class Blame:
    """Why an event is a dead letter: a code for programs, a detail for people, the class of the error."""

    code: str
    detail: str
    error: str = ""


def dead_letter(
    record: Record, topic: str, *, group_id: str, blame: Blame, limit: int = MAX_RECORD_BYTES, bare: bool = False
) -> Outgoing:
    """The original record, key, body and headers untouched, with ``iqa_`` headers that say why and where it came from.

    One that would be larger than ``limit`` bytes keeps the first part of its body; ``iqa_body_bytes`` and ``iqa_body_sha256``
    tell the whole one's length and SHA-256. If its headers or key are too large by themselves they go too
    (``iqa_headers_bytes``, ``iqa_key_bytes``). A ``bare`` one has nothing but ``iqa_`` headers, as short as they can be.
    """
    told: dict[str, Any] = {
        "reason": blame.code,
        "detail": blame.detail[: 100 if bare else 1000],
        "error": blame.error,
        **record.origin,
        "failed_at": int(time.time() * 1000),
        "group": group_id,
        "attempts": record.attempt + 1,
        "version": software_version(),
        **record.replays,
    }
    key, body, headers = record.some_key, record.value, record.sender_headers
    whole = Outgoing(topic, key, body, [*headers, *noted(told)])
    if whole.size <= limit and not bare:
        return whole
    headers_bytes = sum(len(name) + len(value or b"") for name, value in headers)
    if bare or headers_bytes > limit // 4:
        headers, told["headers_bytes"] = [], headers_bytes
    if bare or len(key) > MOST_KEY:
        key, told["key_bytes"] = key[:MOST_KEY], len(key)
    told |= {"body_bytes": len(body or b""), "body_sha256": hashlib.sha256(body or b"").hexdigest()}
    cut = Outgoing(topic, key, b"", [*headers, *noted(told)])
    room = 0 if bare else max(0, min(KEPT_BODY, limit - cut.size))
    return replace(cut, value=(body or b"")[:room])
