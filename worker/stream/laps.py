"""Where a thread's time goes: everything since the last lap is put down to what was done in it."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Laps"]


class Laps:
    """Used by one thread. ``note`` is told what was done and for how many seconds; ``clock`` gives monotonic seconds."""

    def __init__(self, note: Callable[[str, float], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._note = note
        self._clock = clock
        self._last = clock()

    def lap(self, doing: str) -> None:
        """All since the last lap was ``doing``."""
        now = self._clock()
        self._note(doing, now - self._last)
        self._last = now
