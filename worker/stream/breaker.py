"""A circuit breaker: when most events fail in the worker itself, it stops taking more, and says so.

Only failures of our own count, engines above all. A partition full of malformed events is the sender's fault: those go to the
dead letters as they should, however many.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["CircuitBreaker"]

WINDOW = 40
"""Events that are looked back on."""
SHARE = 0.5
"""Of them failed: open."""
COOL_S = 30.0
"""Closed for a trial after so long; half a window of failures opens it again."""


class CircuitBreaker:
    """Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: deque[bool] = deque(maxlen=WINDOW)
        self._opened: float | None = None

    def note(self, *, failed: bool) -> None:
        """One event is over."""
        with self._lock:
            self._seen.append(failed)
            if self._opened is None and len(self._seen) >= WINDOW // 2 and sum(self._seen) > SHARE * len(self._seen):
                self._opened = self._clock()

    @property
    def open(self) -> bool:
        """Whether nothing more should be taken now."""
        with self._lock:
            if self._opened is not None and self._clock() - self._opened >= COOL_S:
                self._opened = None
                self._seen.clear()
            return self._opened is not None
