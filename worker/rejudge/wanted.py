"""Which events are judged again, and which of those keep the verdict that they have."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import QualityVerdict

__all__ = ["Rate", "Wanted", "group_of", "is_already", "is_of", "is_superseded"]


@dataclass(frozen=True)
class Wanted:
    """Events that were written to the topic from ``since`` on, before ``until``, of ``services`` (none: of all)."""

    since: datetime
    until: datetime | None = None
    services: frozenset[str] = frozenset()

    @property
    def since_ms(self) -> int:
        """Milliseconds since 1970, as records have them."""
        return int(self.since.timestamp() * 1000)

    @property
    def until_ms(self) -> int | None:
        """Milliseconds since 1970; ``None`` if there is no bound."""
        return None if self.until is None else int(self.until.timestamp() * 1000)

    def in_time(self, timestamp_ms: int) -> bool:
        """Whether a record of that time is meant. One without a time (negative) is: it lies between others that are."""
        if timestamp_ms < 0:
            return True
        return timestamp_ms >= self.since_ms and (self.until_ms is None or timestamp_ms < self.until_ms)

    def of_service(self, service: str | None) -> bool:
        """Whether events of ``service`` are meant."""
        return not self.services or service in self.services


def group_of(group_id: str, wanted: Wanted, fingerprints: Iterable[str], folder_id: str = "") -> str:
    """The consumer group whose committed offsets are the progress of one command; another command has another.

    Args:
        group_id: of the workers.
        wanted: which events.
        fingerprints: what they are judged by.
        folder_id: of the folder that rows are written to, if any.

    """
    until = wanted.until and wanted.until.timestamp()
    parts = [wanted.since.timestamp(), until, sorted(wanted.services), sorted(fingerprints), folder_id]
    return f"{group_id}.rejudge.{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]}"


def is_of(current: QualityVerdict | None, event: ImageUploaded) -> bool:
    """Whether ``current`` is the verdict on ``event`` itself."""
    return current is not None and current.event_id == event.event_id


def is_already(current: QualityVerdict | None, event: ImageUploaded, fingerprint: str) -> bool:
    """Whether ``event`` was judged by ``fingerprint`` before."""
    return current is not None and is_of(current, event) and current.fingerprint == fingerprint


def is_superseded(current: QualityVerdict | None, event: ImageUploaded) -> bool:
    """Whether the image has a verdict on a later upload, which must stay.

    Verdicts of older workers do not tell when their picture was uploaded. One that was produced before ``event`` was uploaded
    is of an earlier one; of any other it cannot be told, and it stays.
    """
    if current is None or is_of(current, event):
        return False
    return (current.uploaded_at or current.produced_at) > event.uploaded_at


class Rate:
    """Lets so many a second through, evenly. Thread-safe.

    Args:
        per_second: 0 for no limit.
        clock: monotonic seconds.

    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s = 1 / per_second if per_second > 0 else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()

    def reserve(self) -> float:
        """Seconds until the caller's turn, which is then taken."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._gap_s
            return turn - now

    def wait(self, stop: threading.Event) -> bool:
        """Wait for a turn; false if ``stop`` came first."""
        return not stop.wait(self.reserve()) if self._gap_s else not stop.is_set()
