"""Records that a worker publishes: verdicts and dead letters."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from confluent_kafka import Message

from worker.contracts.cloudevents import verdict_headers
from worker.contracts.verdicts import QualityVerdict
from worker.stream.ledger import Outgoing

__all__ = [
    "dead_letter",
    "header_list",
    "message_bytes",
    "message_key",
    "number_header",
    "origin",
    "own_headers",
    "software_version",
    "verdict_record",
    "without_own_headers",
]

PREFIX = "iqa_"
"""Of headers that workers add; a sender's own of that name would be taken for them."""
MOST_DIGITS = 14


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
    known = own_headers(message)
    told: dict[str, Any] = {
        "reason": code,
        "detail": detail[:1000],
        "error": error,
        **origin(message),
        "failed_at": int(time.time() * 1000),
        "group": group_id,
        "attempts": number_header(message, "attempt") + 1,
        "version": software_version(),
    }
    if "replays" in known:
        told["replays"] = known["replays"]
    headers = without_own_headers(message)
    headers += [(f"iqa_{name}", str(value).encode("utf-8", "replace")) for name, value in told.items()]
    return Outgoing(topic, message_key(message), message_bytes(message.value()), headers)


def origin(message: Message) -> dict[str, Any]:
    """Topic, partition, offset and time that a record first had, retries and replays notwithstanding."""
    known = own_headers(message)
    here = {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1],
    }
    return {name: known.get(name, value) for name, value in here.items()}


def header_list(message: Message) -> list[tuple[str, str | bytes | None]]:
    """A record's headers as pairs, in order; none is an empty list."""
    found = message.headers() or []
    return list(found.items()) if isinstance(found, dict) else list(found)


def own_headers(message: Message) -> dict[str, str]:
    """What workers have noted on a record: ``iqa_`` headers, without that prefix."""
    return {
        name.removeprefix(PREFIX): message_bytes(value).decode("utf-8", "replace")
        for name, value in header_list(message)
        if name.startswith(PREFIX)
    }


def number_header(message: Message, name: str, default: int = 0) -> int:
    """A number that workers have noted. Anybody may send headers: no plain number of up to 14 digits is as good as none."""
    value = own_headers(message).get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS else default


def without_own_headers(message: Message) -> list[tuple[str, str | bytes | None]]:
    """The headers that the sender gave."""
    return [(name, value) for name, value in header_list(message) if not name.startswith(PREFIX)]


def message_key(message: Message) -> bytes:
    """The key, or where the record lies: a key is never empty."""
    where = f"{message.topic()}/{message.partition()}/{message.offset()}"
    return message_bytes(message.key()) or where.encode()


def message_bytes(value: str | bytes | None) -> bytes:
    """A key, a body or a header's value as bytes."""
    return value.encode() if isinstance(value, str) else value or b""
