"""What a lane shows of itself: how old events are, how far its partitions are behind, when it last moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress

from confluent_kafka import Consumer, KafkaException, TopicPartition

from worker.stream.incoming import Record
from worker.stream.ledger import Entry, Ledger, Partition
from worker.telemetry.metrics import LaneMetrics

__all__ = ["LaneGauges"]

LOOK_S = 2.0
ASK_S = 1.0
"""For the broker to say what is committed, in one question for all partitions that it is not known of yet."""


class LaneGauges:
    """Used by the thread that consumes, but ``published``, which any may call.

    Args:
        consumer: knows positions and ends, without asking the broker.
        ledger: knows what is in flight.
        metrics: of the lane.
        latest: whether a group without a place in a partition begins at its end.
        clock: seconds since 1970.

    """

    def __init__(
        self,
        consumer: Consumer,
        ledger: Ledger,
        metrics: LaneMetrics,
        *,
        latest: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._metrics = metrics
        self._latest = latest
        self._clock = clock
        self._looked = clock()
        self._starts: dict[Partition, int] = {}
        """Where the group was in partitions that have given no record yet; -1 if nowhere."""
        self._last: dict[Partition, float] = {}
        """When the last record that was taken of each partition was written (seconds since 1970)."""
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
        now = self._clock()
        self._metrics.events.inc()
        self._metrics.taken_at.set(now)
        if record.born_s is not None:
            self._metrics.taken_age.observe(max(0.0, now - record.born_s))
        if record.written_s is not None:
            self._last[record.topic, record.partition] = record.written_s

    def published(self, entry: Entry) -> None:
        """All that came of an event is durable."""
        now = self._clock()
        self._metrics.published_at.set(now)
        if entry.born_s is not None:
            self._metrics.published_age.observe(max(0.0, now - entry.born_s))

    def moved(self, kind: str, partitions: Collection[Partition], assigned: int) -> None:
        """Partitions were ``assigned``, ``revoked`` or ``lost``; so many are ``assigned`` now."""
        self._metrics.note_move(kind, len(partitions))
        self._metrics.assigned.set(assigned)
        for key in partitions:
            self._starts.pop(key, None)
            self._last.pop(key, None)
            self._hide(key)

    def _show_lag(self, assigned: Collection[Partition], now: float) -> None:
        shared = self._metrics.shared
        for key, place in self._positions(assigned).items():
            with suppress(KafkaException, RuntimeError):
                marks = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
                if not marks or marks[1] < 0:
                    continue
                # What retention took is no lag; and where the group has no place yet, it begins at one of both ends.
                position = marks[1] if place < 0 and self._latest else max(place, marks[0])
                labels = self._metrics.lane, key[0], str(key[1])
                waiting, oldest_s = self._ledger.waiting(key)
                unread = max(0, marks[1] - position)
                since = oldest_s if waiting else self._last.get(key) if unread else now
                shared.end_offset.labels(*labels).set(marks[1])
                shared.lag_records.labels(*labels).set(unread + waiting)
                # What was never read has an age that nobody knows: as long as that is so, nothing is said.
                if since is not None:
                    shared.lag_seconds.labels(*labels).set(max(0.0, now - since))
                self._shown.add(key)

    def _positions(self, assigned: Collection[Partition]) -> dict[Partition, int]:
        """Where each partition is read next; before its first record, where the group is."""
        with suppress(KafkaException, RuntimeError):
            places = self._consumer.position([TopicPartition(*key) for key in assigned])
            found = {(place.topic, place.partition): place.offset for place in places}
            asked = [key for key, offset in found.items() if offset < 0 and key not in self._starts]
            if asked:
                committed = self._consumer.committed([TopicPartition(*key) for key in asked], timeout=ASK_S)
                self._starts |= {(place.topic, place.partition): max(-1, place.offset) for place in committed}
            return {key: offset if offset >= 0 else self._starts.get(key, -1) for key, offset in found.items()}
        return {}

    def _hide(self, key: Partition) -> None:
        """It is another worker's to show."""
        if key not in self._shown:
            return
        self._shown.discard(key)
        shared = self._metrics.shared
        for gauge in (shared.end_offset, shared.lag_records, shared.lag_seconds):
            with suppress(KeyError):
                gauge.remove(self._metrics.lane, key[0], str(key[1]))
