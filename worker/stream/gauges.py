"""What a lane shows of itself: how old events are, how far its partitions are behind, when it last moved.

Where partitions end is asked of the broker without waiting for the answer: what the consumer knows of that stands still while a
partition is held. Where they are read next is kept here: the consumer forgets it when a record is put back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from worker.stream.asking import Answer, Asking, answered
from worker.stream.incoming import Record
from worker.stream.ledger import Entry, Ledger, Partition
from worker.telemetry.metrics import LaneMetrics

__all__ = ["LaneGauges"]

log = structlog.get_logger()

LOOK_S = 2.0
ALL = "all"
"""In place of a partition's number."""


@dataclass
class _Whole:
    """All partitions of a topic together: their lag, and the age of the oldest record of it in seconds."""

    records: int = 0
    seconds: float = 0.0

    def add(self, lag: int, age_s: float) -> None:
        """One partition more."""
        self.records += lag
        self.seconds = max(self.seconds, age_s)


class LaneGauges:
    """Used by the thread that consumes, but ``published``, which any may call.

    Args:
        consumer: knows positions.
        ledger: knows what is in flight.
        metrics: of the lane.
        asking: the broker; without it, what the consumer knows is taken, and a partition is begun at its beginning.
        latest: whether a group without a place in a partition begins at its end.
        delays_s: topics whose records wait, with the longest wait.
        clock: seconds since 1970.

    """

    def __init__(
        self,
        consumer: Consumer,
        ledger: Ledger,
        metrics: LaneMetrics,
        *,
        asking: Asking | None = None,
        latest: bool = False,
        delays_s: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._metrics = metrics
        self._asking = asking
        self._latest = latest
        self._delays_s = dict(delays_s or {})
        self._clock = clock
        self._looked = clock()
        self._asked: Answer | None = None
        self._told: dict[Partition, int] = {}
        self._anew: set[Partition] = set()
        """Partitions that were begun since it was asked for ends: the answer may be of a topic of before."""
        self._ends: dict[Partition, int] = {}
        self._asked_group: Answer | None = None
        self._starts: dict[Partition, int] = {}
        """Where the group was in partitions that have given no record yet; -1 if nowhere."""
        self._next: dict[Partition, int] = {}
        """The offset after the last record that was taken, or that of one that was put back."""
        self._held: dict[Partition, float] = {}
        """When the record that was put back was written."""
        self._since: dict[Partition, float] = {}
        """What is not read yet was written after this: the last record that was taken, or when there was nothing to read."""
        self._shown: set[Partition] = set()
        ledger.on_published = self.published

    def turn(self, assigned: Collection[Partition]) -> None:
        """The loop goes round."""
        now = self._clock()
        self._metrics.polled_at.set(now)
        self._metrics.in_flight.set(self._ledger.count)
        self._metrics.in_flight_bytes.set(self._ledger.bytes)
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._show_lag(assigned, now)

    def taken(self, record: Record) -> None:
        """An event was taken."""
        now, key = self._clock(), (record.topic, record.partition)
        self._metrics.events.inc()
        self._metrics.taken_at.set(now)
        if record.born_s is not None and self._metrics.taken_age is not None:
            self._metrics.taken_age.observe(max(0.0, now - record.born_s))
        self._next[key] = record.offset + 1
        self._held.pop(key, None)
        if record.written_s is not None:
            self._since[key] = record.written_s

    def put_back(self, record: Record) -> None:
        """It must wait, and is read again."""
        key = record.topic, record.partition
        if key not in self._held:
            self._next[key] = record.offset
            self._held[key] = record.written_s or self._clock()

    def published(self, entry: Entry) -> None:
        """All that came of an event is durable. Never raises: what is counted must not stop what is published."""
        now = self._clock()
        try:
            self._metrics.published_at.set(now)
            if entry.born_s is not None:
                exemplar = next((record.span.exemplar for record in entry.records if record.span), None)
                self._metrics.published_age.observe(max(0.0, now - entry.born_s), dict(exemplar) if exemplar else None)
            for record in entry.records:
                if record.note is not None:
                    record.note()
        except Exception as error:
            log.error("not_counted", exc_info=error)

    def moved(self, kind: str, partitions: Collection[Partition], assigned: int) -> None:
        """Partitions were ``assigned``, ``revoked`` or ``lost``; so many are ``assigned`` now."""
        self._metrics.note_move(kind, len(partitions))
        self._metrics.assigned.set(assigned)
        for key in partitions:
            self.begin(key)
            self._hide(key)

    def begin(self, key: Partition) -> None:
        """It is read from another place than before."""
        for places in (self._told, self._ends, self._starts, self._next):
            places.pop(key, None)
        self._anew.add(key)
        for times in (self._held, self._since):
            times.pop(key, None)

    def close(self) -> None:
        """Ask the broker no more."""
        if self._asking is not None:
            self._asking.close()

    def _show_lag(self, assigned: Collection[Partition], now: float) -> None:
        shared = self._metrics.shared
        lows = self._note_ends(assigned)
        whole = {topic: _Whole() for topic in {key[0] for key in assigned}.intersection(self._delays_s)}
        for key, place in self._places(assigned, lows).items():
            end = self._ends.get(key, -1)
            if end < 0:
                continue
            labels = self._metrics.lane, key[0], str(key[1])
            waiting, oldest_s = self._ledger.waiting(key)
            unread = max(0, end - place)
            if not unread:
                self._since[key] = now
            known = oldest_s if waiting else self._held.get(key) if unread else now
            # What was never read is as old as that was seen, at least.
            since = known if known is not None else self._since.setdefault(key, now)
            lag, age_s = unread + waiting, max(0.0, now - since)
            if key[0] in whole:
                whole[key[0]].add(lag, age_s)
                continue
            shared.end_offset.labels(*labels).set(end)
            shared.lag_records.labels(*labels).set(lag)
            shared.lag_seconds.labels(*labels).set(age_s)
            self._shown.add(key)
        for topic in self._delays_s:
            self._show_whole(topic, whole.get(topic, _Whole()))

    def _show_whole(self, topic: str, whole: _Whole) -> None:
        """A topic of retries: where its records wait nobody asks, and each partition would be three series more."""
        shared, labels = self._metrics.shared, (self._metrics.lane, topic, ALL)
        shared.lag_records.labels(*labels).set(whole.records)
        shared.lag_seconds.labels(*labels).set(whole.seconds)
        shared.retry_overdue.labels(topic).set(max(0.0, whole.seconds - self._delays_s[topic]) if whole.records else 0.0)

    def _note_ends(self, assigned: Collection[Partition]) -> dict[Partition, int]:
        """The ends that were answered, or what the consumer knows if that is more; gives the beginnings that it knows."""
        if self._asking is not None and assigned and (self._asked is None or self._asked.done()):
            found = answered(self._asked) or {}
            self._told |= {key: end for key, end in found.items() if key not in self._anew}
            self._anew.clear()
            self._asked = self._asking.ends(sorted(assigned))
        lows = {}
        for key in assigned:
            with suppress(KafkaException, RuntimeError):
                low, high = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True) or (-1, -1)
                lows[key] = low
                self._ends[key] = max(high, self._told.get(key, -1))
        return lows

    def _places(self, assigned: Collection[Partition], lows: Mapping[Partition, int]) -> dict[Partition, int]:
        """Where each partition is read next. Retention may have taken what lies there."""
        places: dict[Partition, int] = {}
        unknown: list[Partition] = []
        with suppress(KafkaException, RuntimeError):
            for found in self._consumer.position([TopicPartition(*key) for key in assigned]):
                key = (found.topic, found.partition)
                place = self._next.get(key, -1)
                if key not in self._held:
                    # Markers of transactions lie between the last record and the position.
                    place = max(place, found.offset)
                if place < 0 and self._asking is not None:
                    if key not in self._starts:
                        unknown.append(key)
                        continue
                    place = self._starts[key]
                    if place < 0 and self._latest:
                        # Where the partition ended when this was asked is where it is read from.
                        place = self._starts[key] = self._ends.get(key, -1)
                places[key] = max(place, lows.get(key, -1))
        self._ask_for(unknown)
        return places

    def _ask_for(self, unknown: list[Partition]) -> None:
        """Where the group is in partitions that have given no record yet."""
        if self._asked_group is not None and self._asked_group.done():
            self._starts |= answered(self._asked_group) or {}
            self._asked_group = None
        left = [key for key in unknown if key not in self._starts]
        if left and self._asking is not None and self._asked_group is None:
            self._asked_group = self._asking.group(left)

    def _hide(self, key: Partition) -> None:
        """It is another worker's to show."""
        if key not in self._shown:
            return
        self._shown.discard(key)
        shared = self._metrics.shared
        for gauge in (shared.end_offset, shared.lag_records, shared.lag_seconds):
            with suppress(KeyError):
                gauge.remove(self._metrics.lane, key[0], str(key[1]))
