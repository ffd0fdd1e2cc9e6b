"""Records that a worker publishes: verdicts and dead letters."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from confluent_kafka import Message

from worker.contracts.cloudevents import verdict_headers
from worker.contracts.verdicts import QualityVerdict
from worker.stream.ledger import Outgoing

__all__ = ["dead_letter", "header_list", "software_version", "verdict_record"]


def software_version() -> str:
    """Version of this package, as installed."""
    try:
        return version("iqa-fleet")
    except PackageNotFoundError:
        return "unknown"


def verdict_record(verdict: QualityVerdict, topic: str, source: str) -> Outgoing:
    """A verdict, keyed by image so that a compacted topic keeps the latest of each."""
    return Outgoing(topic, verdict.image_id.encode(), verdict.model_dump_json().encode(), verdict_headers(verdict, source))


def dead_letter(message: Message, topic: str, *, group_id: str, code: str, detail: str, error: str) -> Outgoing:
    """The original record, key, body and headers untouched, with ``iqa_`` headers that say why and where it came from."""
    told: dict[str, Any] = {
        "reason": code,
        "detail": detail[:1000],
        "error": error,
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
        "failed_at": int(time.time() * 1000),
        "group": group_id,
        "attempts": 1,
        "version": software_version(),
    }
    headers = header_list(message)
    headers += [(f"iqa_{name}", str(value).encode("utf-8", "replace")) for name, value in told.items()]
    where = f"{message.topic()}/{message.partition()}/{message.offset()}"
    return Outgoing(topic, _bytes(message.key()) or where.encode(), _bytes(message.value()), headers)


def header_list(message: Message) -> list[tuple[str, str | bytes | None]]:
    """A record's headers as pairs, in order; none is an empty list."""
    found = message.headers() or []
    return list(found.items()) if isinstance(found, dict) else list(found)


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
