"""The same bytes are judged once: one inference for all who ask at the same time, and a short memory for those who ask next.

Redis knows what was judged some seconds ago, on any worker; what was judged just now it does not know yet.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from worker.contracts.verdicts import AssessmentRecord

__all__ = ["Repeats"]

REMEMBERED = 2000
"""Assessments kept, a kilobyte or two each."""

Key = tuple[str, str]
"""Fingerprint, and SHA-256 of the bytes."""


class Repeats:
    """Thread-safe."""

    def __init__(self, remembered: int = REMEMBERED, on_known: Callable[[str], object] = lambda _: None) -> None:
        """``on_known`` is told ``remembered`` or ``joined`` where ``assess`` was not called."""
        self._on_known = on_known
        self._remembered = remembered
        self._lock = threading.Lock()
        self._running: dict[Key, Future[AssessmentRecord]] = {}
        self._known: OrderedDict[Key, AssessmentRecord] = OrderedDict()

    def get(self, fingerprint: str, sha256: str, assess: Callable[[], AssessmentRecord]) -> AssessmentRecord:
        """The assessment of these bytes: known, being made, or made now by ``assess``.

        Raises:
            Exception: whatever ``assess`` raised, here or in the thread that was waited for.

        """
        key = (fingerprint, sha256)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                self._on_known("remembered")
                return self._known[key]
            running = self._running.get(key)
            if running is None:
                mine = self._running[key] = Future[AssessmentRecord]()
        if running is not None:
            self._on_known("joined")
            return running.result()
        try:
            found = assess()
        except BaseException as error:
            with self._lock:
                del self._running[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._running[key]
            self._known[key] = found
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
        mine.set_result(found)
        return found
