"""Retries that do not block: what failed for a passing reason waits in a topic of its own, a longer one each time.

The record keeps its key, body and headers; ``iqa_`` headers beside them say which attempt comes next, not before when, and
where the record first came from.
"""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Message

from worker.settings import Settings
from worker.stream.ledger import Outgoing
from worker.stream.records import message_bytes, message_key, number_header, origin, own_headers, without_own_headers

__all__ = ["PASSING_CODES", "attempt_of", "due_in_s", "retry_record"]

PASSING_CODES = frozenset(
    {"fetch_timeout", "host_not_found", "connect_failed", "connection_broken", "http_server_error", "store_failed"}
)
"""Reason codes of failures that may pass by themselves."""


def attempt_of(message: Message) -> int:
    """How often the event was tried before: 0 for one from the uploads topic."""
    return number_header(message, "attempt")


def due_in_s(message: Message, longest_s: float, now_s: float | None = None) -> float:
    """Seconds until a record may be tried, 0 or less if it may be now.

    Clocks of machines differ, and some jump: never more than ``longest_s``, its tier's delay. That it waits so long only
    once is for ``WaitingRoom`` to see to.
    """
    not_before = number_header(message, "not_before")
    wait = not_before / 1000 - (time.time() if now_s is None else now_s)
    return min(wait, longest_s)


def retry_record(message: Message, settings: Settings, *, code: str, detail: str) -> Outgoing:
    """``message`` for the next retry topic."""
    attempt = attempt_of(message) + 1
    delay_s = settings.retry.delays_s[attempt - 1]
    told: dict[str, Any] = {
        **origin(message),
        "attempt": attempt,
        "not_before": int((time.time() + delay_s) * 1000),
        "reason": code,
        "detail": detail[:1000],
        "group": settings.kafka.group_id,
    }
    replays = own_headers(message).get("replays")
    if replays is not None:
        told["replays"] = replays
    headers = without_own_headers(message)
    headers += [(f"iqa_{name}", str(value).encode("utf-8", "replace")) for name, value in told.items()]
    return Outgoing(settings.retry_topics[attempt - 1], message_key(message), message_bytes(message.value()), headers)
