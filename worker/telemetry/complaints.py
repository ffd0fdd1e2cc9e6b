"""Says the same thing once a minute, and how often it has come meanwhile: what lasts is neither silent nor a flood."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable

import structlog

__all__ = ["EVERY_S", "Complaints"]

log = structlog.get_logger()

EVERY_S = 60.0
MOST_KINDS = 1_000


class Complaints:
    """Thread-safe. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str], float] = {}
        self._unsaid: Counter[tuple[str, str]] = Counter()

    def say(self, event: str, error: str, **context: object) -> None:
        """Log ``event`` as a warning, unless the same, numbers apart, was said within the last minute."""
        # Times and ports differ from one line to the next, and say nothing new.
        kind, now = (event, re.sub(r"[0-9]+", "#", error)), self._clock()
        with self._lock:
            if now - self._said.get(kind, -EVERY_S) < EVERY_S:
                self._unsaid[kind] += 1
                return
            if len(self._said) >= MOST_KINDS:
                self._said.clear()
                self._unsaid.clear()
            self._said[kind] = now
            again = self._unsaid.pop(kind, 0)
        log.warning(event, error=error, again=again, **context)
