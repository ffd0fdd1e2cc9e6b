"""Keeps track of what is in flight, so that only a finished prefix of each partition is ever committed.

Events finish in any order; offsets are committed in theirs. An entry leaves the ledger when everything before it in its
partition is finished, its own records are published, and its offset is committed. Entries of a partition that was taken away
are forgotten: whoever finishes one of them later changes nothing. Entries of a topic that was made anew under the same name are
orphans: their records are published, their offsets mean nothing any more.

What is not finished is counted by partition, so that one slow picture fills its own partition's bound and nobody else's; what
is finished and waits for those before it costs bytes only.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from worker.stream.outgoing import Outgoing

__all__ = ["Entry", "Ledger", "Load", "Outgoing", "Partition", "Prefix", "Refit"]

Partition = tuple[str, int]
"""Topic and partition number."""


Refit = Callable[[str, int], Sequence[Outgoing]]
"""Makes other records for an entry whose records the broker refuses for good: given the broker's words, and how often it has
refused this entry by now."""


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
    refit: Refit | None = None
    refusals: int = 0
    commits: bool = True
    """Whether its offset still means something: false once its topic was made anew."""
    since: float = field(default_factory=time.monotonic)
    """When it came into its state (monotonic seconds)."""
    added: float = field(default_factory=time.monotonic)
    born_s: float | None = None  # when the event was first written to a topic (seconds since 1970)
    written_s: float | None = None  # when this record was
    origin: object = None  # where its sender made it, for the span of its commit; of whatever traces

    def enter(self, state: _State) -> None:
        """Go over to ``state``, now."""
        self.state, self.since = state, time.monotonic()

    @property
    def is_published(self) -> bool:
        """Whether its records are durable."""
        return self.state is _State.PUBLISHED


@dataclass(frozen=True)
class Prefix:
    """The published beginnings of all partitions: their entries, and the next offset to read of each."""

    entries: tuple[Entry, ...] = ()
    offsets: dict[Partition, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """What a partition holds: events that are not finished, and bytes of all."""

    unfinished: int = 0
    bytes: int = 0


class _Lane:
    """The entries of one partition, in the order of their offsets."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.entries: deque[Entry] = deque()
        self.unfinished = 0
        self.bytes = 0
        self.orphaned = False


class Ledger:
    """Thread-safe; every method returns at once but ``wait_idle`` and ``wait_for_room``.

    The life of an entry: ``add``, ``begin``, ``finish``, ``mark_published``, ``confirm``.
    """

    def __init__(self) -> None:
        self._lanes: dict[Partition, _Lane] = {}
        self._orphans: list[_Lane] = []
        self._changed = threading.Condition()
        self._count = 0
        self._bytes = 0
        self.on_published: Callable[[Entry], object] = lambda _: None  # told of every event whose records are durable

    @property
    def count(self) -> int:
        """Events taken and not yet published and committed."""
        return self._count

    @property
    def bytes(self) -> int:
        """Their size, and that of what came of them."""
        return self._bytes

    def load(self, partition: Partition) -> Load:
        """What ``partition`` holds."""
        with self._changed:
            lane = self._lanes.get(partition)
            return Load(lane.unfinished, lane.bytes) if lane else Load()

    def is_idle(self, partition: Partition) -> bool:
        """Whether nothing of ``partition`` is in flight."""
        with self._changed:
            lane = self._lanes.get(partition)
            orphans = any(orphan.partition == partition for orphan in self._orphans)
            return not (lane and lane.entries) and not orphans

    def waiting(self, partition: Partition) -> tuple[int, float | None]:
        """Events of ``partition`` that nothing was published for, and when the first of them was written."""
        with self._changed:
            lane = self._lanes.get(partition)
            left = [entry for entry in lane.entries if entry.size and not entry.is_published] if lane else []
            return len(left), left[0].written_s if left else None

    def add(
        self, partition: Partition, offset: int, size: int, born_s: float | None = None, written_s: float | None = None
    ) -> Entry:
        """Take an event in. Offsets of a partition must rise, see ``goes_back``.

        Raises:
            ValueError: they do not.

        """
        with self._changed:
            lane = self._lanes.setdefault(partition, _Lane(partition))
            if lane.entries and lane.entries[-1].offset >= offset:
                raise ValueError(f"offset {offset} of {partition} comes after {lane.entries[-1].offset}")
            entry = Entry(partition, offset, size, born_s=born_s, written_s=written_s)
            lane.entries.append(entry)
            lane.unfinished += 1
            self._count += 1
            self._grow(lane, size)
            return entry

    def mark(self, partition: Partition, offset: int) -> None:
        """Have ``offset`` committed as the next to read, in order with all else: only transactions' markers lie before it."""
        with self._changed:
            lane = self._lanes.setdefault(partition, _Lane(partition))
            if not lane.entries:
                lane.entries.append(Entry(partition, offset - 1, 0, _State.DONE))
                self._count += 1

    def goes_back(self, partition: Partition, offset: int) -> bool:
        """Whether ``offset`` lies before what was taken last: its topic was made anew, or its log was cut."""
        with self._changed:
            lane = self._lanes.get(partition)
            return bool(lane and lane.entries and lane.entries[-1].offset >= offset)

    def orphan(self, partitions: Iterable[Partition]) -> int:
        """Their topic was made anew: publish what is in flight, commit none of it. Returns how many events that concerns."""
        count = 0
        with self._changed:
            for partition in partitions:
                lane = self._lanes.pop(partition, None)
                if lane is None or not lane.entries:
                    continue
                lane.orphaned = True
                self._orphans.append(lane)
                count += len(lane.entries)
                for entry in lane.entries:
                    entry.commits = False
        return count

    def begin(self, entry: Entry) -> bool:
        """Whether work on ``entry`` should start; false if it was cancelled or forgotten meanwhile."""
        with self._changed:
            if entry.state is not _State.QUEUED:
                return False
            entry.enter(_State.RUNNING)
            return True

    def finish(self, entry: Entry, records: Iterable[Outgoing], refit: Refit | None = None) -> None:
        """Work on ``entry`` is over; ``records`` are what it gave, ``refit`` gives others should the broker refuse them."""
        with self._changed:
            if entry.state is not _State.RUNNING:
                return
            entry.records, entry.refit = tuple(records), refit
            entry.enter(_State.DONE)
            lane = self._lane_of(entry)
            if lane is not None:
                lane.unfinished -= 1
                size = sum(record.size for record in entry.records)
                entry.size += size
                self._grow(lane, size)
            self._changed.notify_all()

    def finished(
        self,
        partitions: Iterable[Partition] | None = None,
        closed: Collection[str] = (),
        *,
        only_closed: bool = False,
        without: Collection[Partition] = (),
    ) -> list[Entry]:
        """What may be published: finished entries of ``partitions`` (default: all) with nothing unfinished before them.

        Of each partition, no more than what comes before the first record for one of the ``closed`` topics; with
        ``only_closed`` just the partitions whose first entry has such a record. Nothing of the partitions ``without``.
        """
        with self._changed:
            ready: list[Entry] = []
            for lane in self._chosen(partitions):
                if lane.partition in without:
                    continue
                first = True
                for entry in lane.entries:
                    if entry.state is _State.PUBLISHED:
                        continue
                    if entry.state is not _State.DONE:
                        break
                    shut = any(record.topic in closed for record in entry.records)
                    if shut != only_closed and (shut or first):
                        break
                    ready.append(entry)
                    first = False
            return ready

    def mark_published(self, *entries: Entry) -> None:
        """All records of ``entries`` are durable. No commit falls between those of one partition."""
        with self._changed:
            done = [entry for entry in entries if entry.state is _State.DONE]
            for entry in done:
                entry.enter(_State.PUBLISHED)
        for entry in done:
            if entry.size:  # else it was made up, to have a place committed
                self.on_published(entry)

    def published(self, partitions: Iterable[Partition] | None = None) -> Prefix:
        """What may be committed: the published beginning of each of ``partitions`` (default: all). See ``confirm``."""
        with self._changed:
            entries: list[Entry] = []
            offsets: dict[Partition, int] = {}
            for lane in self._chosen(partitions):
                for entry in lane.entries:
                    if entry.state is not _State.PUBLISHED:
                        break
                    entries.append(entry)
                    if not lane.orphaned:
                        offsets[lane.partition] = entry.offset + 1
            return Prefix(tuple(entries), offsets)

    def confirm(self, prefix: Prefix) -> None:
        """The prefix was handed over to be committed: let go of it. Entries forgotten meanwhile are passed over."""
        with self._changed:
            for entry in prefix.entries:
                lane = self._lane_of(entry)
                if lane and lane.entries and lane.entries[0] is entry:
                    lane.entries.popleft()
                    self._release(lane, entry)
            self._orphans = [lane for lane in self._orphans if lane.entries]
            self._changed.notify_all()

    def cancel_queued(self, partitions: Iterable[Partition] | None = None) -> None:
        """Do not start what waits for a thread; what runs goes on, and so do orphans: nobody else will read them."""
        with self._changed:
            for lane in self._owned(partitions):
                for entry in lane.entries:
                    if entry.state is _State.QUEUED:
                        entry.enter(_State.CANCELLED)
                        lane.unfinished -= 1
            self._changed.notify_all()

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop everything of ``partitions``, finished or not."""
        with self._changed:
            for partition in partitions:
                lane = self._lanes.pop(partition, None)
                if lane is not None:
                    self._drop(lane)
            self._changed.notify_all()

    def forget_all(self) -> None:
        """Drop everything: somebody else reads it again."""
        with self._changed:
            for lane in self._chosen(None):
                self._drop(lane)
            self._lanes, self._orphans = {}, []
            self._changed.notify_all()

    def wait_idle(self, timeout_s: float, partitions: Iterable[Partition] | None = None) -> bool:
        """Wait until nothing of ``partitions`` (default: all) runs or waits to run; false when time is up."""
        chosen = None if partitions is None else tuple(partitions)
        with self._changed:
            # Orphans are not given up with their partition, but they are waited for when all ends.
            lanes = self._chosen if chosen is None else self._owned
            return self._changed.wait_for(lambda: not any(lane.unfinished for lane in lanes(chosen)), timeout_s)

    def wait_for_room(self, size: int, timeout_s: float) -> bool:
        """Wait until fewer than ``size`` bytes are in flight; false when time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: self._bytes < size, timeout_s)

    @property
    def begun(self) -> int:
        """Events on which work has begun, neither published nor given up; and orphans, which nobody reads again."""
        with self._changed:
            entries = [entry for lane in self._chosen(None) for entry in lane.entries]
            return sum(_is_owed(entry) for entry in entries)

    def oldest_s(self) -> float:
        """Seconds since the oldest event in flight was taken; 0 if there is none."""
        with self._changed:
            return self._age(entry.added for lane in self._chosen(None) for entry in lane.entries)

    def running_s(self) -> float:
        """Seconds since work began on the event that is worked on the longest; 0 if there is none."""
        with self._changed:
            entries = (entry for lane in self._chosen(None) for entry in lane.entries)
            return self._age(entry.since for entry in entries if entry.state is _State.RUNNING)

    def unpublished_s(self) -> float:
        """Seconds since the oldest entry could have been published that was not; 0 if there is none."""
        with self._changed:
            heads = (next((e for e in lane.entries if e.state is not _State.PUBLISHED), None) for lane in self._chosen(None))
            return self._age(entry.since for entry in heads if entry and entry.state is _State.DONE)

    @staticmethod
    def _age(times: Iterable[float]) -> float:
        return max(0.0, time.monotonic() - min(times, default=time.monotonic()))

    def _chosen(self, partitions: Iterable[Partition] | None) -> Iterator[_Lane]:
        """Lanes in which order matters: orphans first, since what comes after the topic's new beginning is later."""
        wanted = None if partitions is None else set(partitions)
        for lane in (*self._orphans, *self._lanes.values()):
            if wanted is None or lane.partition in wanted:
                yield lane

    def _owned(self, partitions: Iterable[Partition] | None) -> Iterator[_Lane]:
        """The same without orphans: what goes to somebody else with its partition."""
        return (lane for lane in self._chosen(partitions) if not lane.orphaned)

    def _lane_of(self, entry: Entry) -> _Lane | None:
        if entry.commits:
            return self._lanes.get(entry.partition)
        return next((lane for lane in self._orphans if lane.partition == entry.partition and entry in lane.entries), None)

    def _grow(self, lane: _Lane, size: int) -> None:
        lane.bytes += size
        self._bytes += size

    def _drop(self, lane: _Lane) -> None:
        for entry in lane.entries:
            entry.enter(_State.CANCELLED)
            self._release(lane, entry)

    def _release(self, lane: _Lane, entry: Entry) -> None:
        self._count -= 1
        self._grow(lane, -entry.size)


def _is_owed(entry: Entry) -> bool:
    """Whether work would be lost with it, or done twice. One that only waits is read again by its next owner, if it has one."""
    done = entry.state is _State.DONE and bool(entry.records)
    return entry.state is _State.RUNNING or done or (entry.state is _State.QUEUED and not entry.commits)
