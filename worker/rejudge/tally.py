"""What has become of the events that one process took, and what to do with those that fail in the process itself."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from worker.stream.breaker import SHARE, WINDOW, CircuitBreaker
from worker.stream.ledger import Entry

__all__ = ["GONE", "Doubts", "Tally"]

GONE = "gone"
"""Of pictures that could not be fetched."""


class Tally:
    """Counts what is durable: an event that is given away unfinished is another process's to count. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counter[str]()
        self._gone = Counter[str]()
        self._expected = WeakKeyDictionary[Entry, tuple[str, str]]()

    def add(self, what: str) -> None:
        """One more of these."""
        with self._lock:
            self._counts[what] += 1

    def expect(self, entry: Entry, what: str, code: str = "") -> None:
        """Count ``entry`` as ``what`` once its offset goes with what is published; as gone with a reason ``code``."""
        with self._lock:
            self._expected[entry] = (what, code)

    def settle(self, entry: Entry) -> None:
        """``entry`` is durable."""
        with self._lock:
            what, code = self._expected.pop(entry, ("", ""))
            if what == GONE:
                self._gone[code] += 1
            elif what:
                self._counts[what] += 1

    def __getitem__(self, what: str) -> int:
        return self._counts[what]

    @property
    def gone(self) -> dict[str, int]:
        """Pictures that could not be fetched, by reason code."""
        with self._lock:
            return dict(self._gone)

    def told(self) -> dict[str, object]:
        """All counts, for a line of the log."""
        with self._lock:
            return {**self._counts, GONE: dict(self._gone)}


class Doubts:
    """Holds events that failed in the process itself until it is clear whether the process or the picture is to blame.

    The rule is the circuit breaker's: of the last 40 events more than half. If the process is to blame it ends, and what is
    held is not given up: the next one takes it again. Else, once 40 events have come after it, a failed one is given up, and
    its image keeps the verdict that it has. Thread-safe.

    Args:
        breaker: is told of every event.
        on_broken: called when the process is to blame; it may be called again.

    """

    def __init__(self, breaker: CircuitBreaker, on_broken: Callable[[], None]) -> None:
        self._breaker = breaker
        self._on_broken = on_broken
        self._lock = threading.Lock()
        self._seen: deque[bool] = deque(maxlen=WINDOW)
        self._count = 0
        self._held: deque[tuple[int, Callable[[], None]]] = deque()
        self._broken = False

    @property
    def held(self) -> int:
        """Events that are neither done nor given up."""
        return len(self._held)

    def good(self) -> None:
        """An event was worked on, whatever came of its picture."""
        self._note(None)

    def failed(self, give_up: Callable[[], None]) -> None:
        """An event failed in the process itself; ``give_up`` finishes it without a verdict."""
        self._note(give_up)

    def settle(self) -> None:
        """No more events will come: give up those that are held, unless most of the last ones failed."""
        with self._lock:
            self._broken = self._broken or sum(self._seen) > SHARE * len(self._seen)
            broken, over = self._broken, [] if self._broken else [give_up for _, give_up in self._held]
            if not broken:
                self._held.clear()
        self._end(broken=broken, over=over)

    def _note(self, give_up: Callable[[], None] | None) -> None:
        self._breaker.note(failed=give_up is not None)
        over = []
        with self._lock:
            self._count += 1
            self._seen.append(give_up is not None)
            if give_up is not None:
                self._held.append((self._count, give_up))
            self._broken = self._broken or self._breaker.open
            while not self._broken and self._held and self._count - self._held[0][0] >= WINDOW:
                over.append(self._held.popleft()[1])
            broken = self._broken
        self._end(broken=broken, over=over)

    def _end(self, *, broken: bool, over: list[Callable[[], None]]) -> None:
        for give_up in over:
            give_up()
        if broken:
            self._on_broken()
