"""Retries that do not block: what failed for a passing reason waits in a topic of its own, a longer one each time.

The record keeps its key, body and headers; ``iqa_`` headers beside them say which attempt comes next, not before when, and
where the record first came from.
"""

from __future__ import annotations

import time
from typing import Any

from worker.settings import Settings
from worker.stream.incoming import Record
from worker.stream.ledger import Outgoing
from worker.stream.records import noted

__all__ = ["PASSING_CODES", "due_in_s", "retry_record"]

PASSING_CODES = frozenset(
    {"fetch_timeout", "host_not_found", "connect_failed", "connection_broken", "http_server_error", "store_failed"}
)
"""Reason codes of failures that may pass by themselves."""


def due_in_s(record: Record, longest_s: float, now_s: float | None = None) -> float:
    """Seconds until a record may be tried, 0 or less if it may be now.

    Clocks of machines differ, and some jump: never more than ``longest_s``, its tier's delay. That it waits so long only
    once is for ``WaitingRoom`` to see to.
    """
    not_before = record.number("not_before")
    wait = not_before / 1000 - (time.time() if now_s is None else now_s)
    return min(wait, longest_s)


def retry_record(record: Record, settings: Settings, *, code: str, detail: str) -> Outgoing:
    """``record`` for the next retry topic."""
    attempt = record.attempt + 1
    delay_s = settings.retry.delays_s[attempt - 1]
    told: dict[str, Any] = {
        **record.origin,
        "attempt": attempt,
        "not_before": int((time.time() + delay_s) * 1000),
        "reason": code,
        "detail": detail[:1000],
        "group": settings.kafka.group_id,
        **record.replays,
    }
    return Outgoing(settings.retry_topics[attempt - 1], record.some_key, record.value, [*record.sender_headers, *noted(told)])
