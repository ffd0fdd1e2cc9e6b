"""Records that a worker publishes: verdicts and dead letters."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from worker.contracts.cloudevents import verdict_headers
from worker.contracts.verdicts import QualityVerdict
from worker.stream.incoming import PREFIX, Header, Record
from worker.stream.ledger import Outgoing

__all__ = ["dead_letter", "noted", "software_version", "verdict_record"]


def software_version() -> str:
    """Version of this package, as installed."""
    try:
        return version("iqa-fleet")
    except PackageNotFoundError:
        return "unknown"


def noted(told: dict[str, Any]) -> list[Header]:
    """Headers of our own, with what they say."""
    return [(f"{PREFIX}{name}", str(value).encode("utf-8", "replace")) for name, value in told.items()]


def verdict_record(verdict: QualityVerdict, topic: str, source: str) -> Outgoing:
    """A verdict, keyed by image so that a compacted topic keeps the latest of each."""
    return Outgoing(topic, verdict.image_id.encode(), verdict.model_dump_json().encode(), verdict_headers(verdict, source))


def dead_letter(record: Record, topic: str, *, group_id: str, code: str, detail: str, error: str) -> Outgoing:
    """The original record, key, body and headers untouched, with ``iqa_`` headers that say why and where it came from."""
    told: dict[str, Any] = {
        "reason": code,
        "detail": detail[:1000],
        "error": error,
        **record.origin,
        "failed_at": int(time.time() * 1000),
        "group": group_id,
        "attempts": record.attempt + 1,
        "version": software_version(),
    }
    if "replays" in record.own:
        told["replays"] = record.own["replays"]
    return Outgoing(topic, record.some_key, record.value, [*record.sender_headers, *noted(told)])
