"""The threads that carry events, and how many of them may wait for one host.

A host that hangs holds each thread that asks it for the whole time-out. Without a bound forty such pictures hold all threads;
with one they hold their host's share, and everybody else goes on (a bulkhead, as in Nygard, "Release It!").

Promises: work for one host begins in the order in which it was handed in; hosts take turns; work without a host goes first,
since it only finds out which host an event needs.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog

__all__ = ["HostPool", "Leave", "host_of", "share_of"]

log = structlog.get_logger()

Leave = Callable[[], None]
"""Says that a piece of work needs its host no longer; may be called more than once."""


def share_of(threads: int, per_host: int) -> int:
    """Threads that may wait for one host: as set, else a quarter of them, two at least."""
    return min(threads, per_host or max(2, threads // 4))


def host_of(url: str) -> str:
    """What a URL has to wait for: its scheme and host, or nothing that is known, if it cannot be parsed."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}"
    except ValueError:
        return ""


class HostPool:
    """A fixed number of threads. They are daemons: one that hangs keeps no process from ending."""

    def __init__(self, threads: int, per_host: int) -> None:
        self._per_host = per_host
        self._first: deque[Callable[[], None]] = deque()
        self._queued: dict[str, deque[Callable[[Leave], None]]] = {}
        self._hosts: deque[str] = deque()
        """Hosts with work that waits, the next one's turn first."""
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._over = False
        self._threads = threads
        self._idle = 0
        for number in range(threads):
            threading.Thread(target=self._run, name=f"event-{number}", daemon=True).start()

    @property
    def busy(self) -> int:
        """Threads that have work now."""
        return self._threads - self._idle

    @property
    def idle(self) -> int:
        """Threads that have none."""
        return self._idle

    @property
    def queued(self) -> int:
        """Pieces of work that wait for a thread, or for their host's share."""
        with self._changed:
            return len(self._first) + sum(map(len, self._queued.values()))

    def submit(self, work: Callable[[], None]) -> None:
        """Hand in work that waits for no host."""
        with self._changed:
            self._first.append(work)
            self._changed.notify()

    def submit_to(self, host: str, work: Callable[[Leave], None]) -> None:
        """Hand in work that waits for ``host`` until it calls what it is given, or is over."""
        with self._changed:
            if host not in self._queued:
                self._queued[host] = deque()
                self._hosts.append(host)
            self._queued[host].append(work)
            self._changed.notify()

    def shutdown(self) -> None:
        """Begin nothing more; what runs is not waited for."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _run(self) -> None:
        while (work := self._take()) is not None:
            try:
                work()
            except Exception:  # a thread less would be a thread less for ever
                log.exception("event_thread_failed")

    def _take(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            try:
                while not self._over:
                    if self._first:
                        return self._first.popleft()
                    if (found := self._next_host()) is not None:
                        return found
                    self._changed.wait()
            finally:
                self._idle -= 1
        return None

    def _next_host(self) -> Callable[[], None] | None:
        for _ in range(len(self._hosts)):
            host = self._hosts.popleft()
            if self._busy[host] >= self._per_host:
                self._hosts.append(host)
                continue
            work = self._queued[host].popleft()
            if self._queued[host]:
                self._hosts.append(host)
            else:
                del self._queued[host]
            self._busy[host] += 1
            return lambda: self._work(host, work)
        return None

    def _work(self, host: str, work: Callable[[Leave], None]) -> None:
        left = False

        def leave() -> None:
            nonlocal left
            with self._changed:
                if left:
                    return
                left = True
                self._busy[host] -= 1
                if not self._busy[host]:
                    del self._busy[host]
                self._changed.notify()

        try:
            work(leave)
        finally:
            leave()
