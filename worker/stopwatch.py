"""Times the stages of one event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Stopwatch"]


class Stopwatch:
    """Wall-clock milliseconds per stage; stages that did not run are absent. One per event, one thread."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside, also if it raises; a stage that runs twice takes as long as both."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._stages[name] = round(self._stages.get(name, 0.0) + 1000 * (time.perf_counter() - began), 1)

    def reading(self) -> dict[str, float]:
        """Milliseconds per stage so far, and in ``total``."""
        return {**self._stages, "total": round(1000 * (time.perf_counter() - self._began), 1)}
