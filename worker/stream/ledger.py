"""Keeps track of what is in flight, so that only a finished prefix of each partition is ever committed.

Events finish in any order; offsets are committed in theirs. An entry leaves the ledger when everything before it in its
partition is finished, its own records are published, and its offset is committed. Entries of a partition that was taken away
are forgotten: whoever finishes one of them later changes nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

__all__ = ["Entry", "Ledger", "Outgoing", "Partition", "Prefix"]

Partition = tuple[str, int]
"""Topic and partition number."""


@dataclass(frozen=True)
class Outgoing:
    """A record to publish. The key is never empty: a compacted topic refuses that."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, str | bytes | None]]


class _State(Enum):
    QUEUED = auto()
    RUNNING = auto()
    DONE = auto()
    PUBLISHED = auto()
    CANCELLED = auto()


@dataclass(eq=False)
class Entry:
    """One event in flight."""

    partition: Partition
    offset: int
    size: int
    state: _State = _State.QUEUED
    records: tuple[Outgoing, ...] = ()


@dataclass(frozen=True)
class Prefix:
    """The published beginnings of all partitions: their entries, and the next offset to read of each."""

    entries: tuple[Entry, ...] = ()
    offsets: dict[Partition, int] = field(default_factory=dict)


class Ledger:
    """Thread-safe; every method returns at once but ``wait_idle`` and ``wait_for_room``.

    The life of an entry: ``add``, ``begin``, ``finish``, ``mark_published``, ``confirm``.
    """

    def __init__(self) -> None:
        self._lanes: dict[Partition, deque[Entry]] = {}
        self._changed = threading.Condition()
        self._count = 0
        self._bytes = 0

    @property
    def count(self) -> int:
        """Events in flight."""
        return self._count

    @property
    def bytes(self) -> int:
        """Their size as records."""
        return self._bytes

    def add(self, partition: Partition, offset: int, size: int) -> Entry:
        """Take an event in. Offsets of a partition must rise.

        Raises:
            ValueError: they do not.

        """
        with self._changed:
            lane = self._lanes.setdefault(partition, deque())
            if lane and lane[-1].offset >= offset:
                raise ValueError(f"offset {offset} of {partition} comes after {lane[-1].offset}")
            entry = Entry(partition, offset, size)
            lane.append(entry)
            self._count += 1
            self._bytes += size
            return entry

    def begin(self, entry: Entry) -> bool:
        """Whether work on ``entry`` should start; false if it was cancelled or forgotten meanwhile."""
        with self._changed:
            if entry.state is not _State.QUEUED:
                return False
            entry.state = _State.RUNNING
            return True

    def finish(self, entry: Entry, records: Iterable[Outgoing]) -> None:
        """Work on ``entry`` is over; ``records`` are what it gave."""
        with self._changed:
            if entry.state is _State.RUNNING:
                entry.records = tuple(records)
                entry.state = _State.DONE
                self._changed.notify_all()

    def finished(self, partitions: Iterable[Partition] | None = None) -> list[Entry]:
        """What may be published: finished entries of ``partitions`` (default: all) with nothing unfinished before them."""
        with self._changed:
            ready: list[Entry] = []
            for partition in self._lanes if partitions is None else partitions:
                for entry in self._lanes.get(partition, ()):
                    if entry.state is _State.DONE:
                        ready.append(entry)
                    elif entry.state is not _State.PUBLISHED:
                        break
            return ready

    def mark_published(self, entry: Entry) -> None:
        """All records of ``entry`` are durable."""
        with self._changed:
            if entry.state is _State.DONE:
                entry.state = _State.PUBLISHED

    def published(self, partitions: Iterable[Partition] | None = None) -> Prefix:
        """What may be committed: the published beginning of each of ``partitions`` (default: all). See ``confirm``."""
        with self._changed:
            entries: list[Entry] = []
            offsets: dict[Partition, int] = {}
            for partition in self._lanes if partitions is None else partitions:
                for entry in self._lanes.get(partition, ()):
                    if entry.state is not _State.PUBLISHED:
                        break
                    entries.append(entry)
                    offsets[partition] = entry.offset + 1
            return Prefix(tuple(entries), offsets)

    def confirm(self, prefix: Prefix) -> None:
        """The prefix was handed over to be committed: let go of it. Entries forgotten meanwhile are passed over."""
        with self._changed:
            for entry in prefix.entries:
                lane = self._lanes.get(entry.partition)
                if lane and lane[0] is entry:
                    lane.popleft()
                    self._release(entry)
            self._changed.notify_all()

    def cancel_queued(self, partitions: Iterable[Partition] | None = None) -> None:
        """Do not start what waits for a thread; what runs goes on."""
        with self._changed:
            for partition in self._lanes if partitions is None else partitions:
                for entry in self._lanes.get(partition, ()):
                    if entry.state is _State.QUEUED:
                        entry.state = _State.CANCELLED
            self._changed.notify_all()

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop everything of ``partitions``, finished or not."""
        with self._changed:
            for partition in partitions:
                for entry in self._lanes.pop(partition, ()):
                    entry.state = _State.CANCELLED
                    self._release(entry)
            self._changed.notify_all()

    def wait_idle(self, timeout_s: float, partitions: Iterable[Partition] | None = None) -> bool:
        """Wait until nothing of ``partitions`` (default: all) runs or waits to run; false when time is up."""
        chosen = None if partitions is None else tuple(partitions)
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy(chosen), timeout_s)

    def wait_for_room(self, count: int, size: int, timeout_s: float) -> bool:
        """Wait until fewer than ``count`` events and fewer than ``size`` bytes are in flight; false when time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count < count and self._bytes < size, timeout_s)

    def _busy(self, partitions: tuple[Partition, ...] | None) -> bool:
        chosen = self._lanes if partitions is None else partitions
        active = {_State.QUEUED, _State.RUNNING}
        return any(entry.state in active for partition in chosen for entry in self._lanes.get(partition, ()))

    def _release(self, entry: Entry) -> None:
        self._count -= 1
        self._bytes -= entry.size
