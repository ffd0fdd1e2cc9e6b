"""Places for what needs a whole core: decoding and inference."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Slots"]


class Slots:
    """So many may be busy at once; others wait. Thread-safe.

    Args:
        count: how many.
        on_wait: told for how long each waited, in seconds.

    """

    def __init__(self, count: int, on_wait: Callable[[float], object] = lambda _: None) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._on_wait = on_wait
        self._lock = threading.Lock()
        self.busy = 0
        """Those that have a place now."""
        self.waiting = 0
        """Those that wait for one now."""

    def __enter__(self) -> Self:
        began = time.monotonic()
        self._count(waiting=1)
        try:
            self._free.acquire()
        except BaseException:
            self._count(waiting=-1)
            raise
        self._count(waiting=-1, busy=1)
        self._on_wait(time.monotonic() - began)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._count(busy=-1)
        self._free.release()

    def _count(self, *, waiting: int = 0, busy: int = 0) -> None:
        with self._lock:
            self.waiting += waiting
            self.busy += busy
