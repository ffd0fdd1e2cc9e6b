"""How much is taken: each partition's share of what may be unfinished and of the bytes, and the bound on all bytes.

A share is never less than keeps all threads busy: with many partitions few may have anything, and each of those works alone.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog

from worker.settings import WorkerSettings
from worker.stream.ledger import Ledger, Partition
from worker.stream.pauses import Pauses
from worker.telemetry.metrics import LaneMetrics

__all__ = ["Pressure"]

log = structlog.get_logger()

BATCH = 100
LEAST_BYTES = 1_000_000
"""Of a partition's share: some hundred results that wait behind a slow one."""


class Pressure:
    """Used by the thread that consumes, and by no other."""

    def __init__(self, ledger: Ledger, pauses: Pauses, settings: WorkerSettings, metrics: LaneMetrics) -> None:
        self._ledger = ledger
        self._pauses = pauses
        self._settings = settings
        self._metrics = metrics
        self._largest = settings.max_in_flight_bytes // 10
        """A guess at how large the next records may be, so that a batch does not go far beyond the bound on bytes."""

    def note(self, size: int) -> None:
        """A record of ``size`` bytes was taken."""
        self._largest = max(size, int(0.9 * self._largest))

    def wait(self, timeout_s: float) -> None:
        """Wait for room, if there is none and partitions are not held for it yet."""
        self._ledger.wait_for_room(self._settings.max_in_flight_bytes, 0 if self._pauses.holds_all("bytes") else timeout_s)

    def batch(self, assigned: Collection[Partition]) -> int:
        """How many records to ask for: no more than the fullest partition that is read has room for, by count and by bytes."""
        share, _ = self._shares(len(assigned))
        read = set(assigned) - self._pauses.held("crowded")
        room = min((share - self._ledger.load(key).unfinished for key in read), default=BATCH)
        affordable = (self._settings.max_in_flight_bytes - self._ledger.bytes) // max(1, self._largest)
        return max(1, min(BATCH, room, affordable))

    def relieve(self, assigned: Collection[Partition], *, breaker: bool) -> None:
        """Hold partitions whose share is used up, until half of it is free again; all of them, if there is no room at all."""
        share, share_bytes = self._shares(len(assigned))
        loads = {key: self._ledger.load(key) for key in assigned}
        full = [key for key, load in loads.items() if load.unfinished >= share or load.bytes >= share_bytes]
        free = [key for key, load in loads.items() if load.unfinished <= share // 2 and load.bytes <= share_bytes // 2]
        self._pauses.hold("crowded", full)
        self._pauses.release("crowded", free)
        most = self._settings.max_in_flight_bytes
        # Half of all bytes may stay with partitions that wait: going on must not take that half to be free.
        bound = most * 3 // 4 if self._pauses.holds_all("bytes") else most
        for reason, holds in (("bytes", self._ledger.bytes >= bound), ("breaker", breaker)):
            if holds and not self._pauses.holds_all(reason):
                if reason == "breaker":
                    log.error("breaker_open", told="most events fail in this worker: it takes none for now; see event_failed")
                self._pauses.hold_all(reason, assigned)
                log.info("paused", reason=reason, in_flight=self._ledger.count)
            elif not holds and self._pauses.holds_all(reason):
                self._pauses.release_all(reason, assigned)
                log.info("resumed", reason=reason, in_flight=self._ledger.count)
        self._metrics.crowded.set(len(self._pauses.held("crowded").intersection(assigned)))
        self._metrics.paused.set(int(self._pauses.holds_all("bytes") or self._pauses.holds_all("breaker")))

    def _shares(self, partitions: int) -> tuple[int, int]:
        """What one partition may hold: unfinished events, and bytes. All shares of bytes together are half of what there is."""
        count, settings = max(1, partitions), self._settings
        share = max(1, min(settings.threads, settings.max_in_flight), settings.max_in_flight // count)
        least = min(LEAST_BYTES, settings.max_in_flight_bytes // 2)
        return share, max(1, least, settings.max_in_flight_bytes // (2 * count))
