"""Shares of what may be in flight: enough for all threads, and never so that those who wait hold up those who could go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from confluent_kafka import Consumer

from tests.worker.helpers import make_settings
from worker.stream.ledger import Entry, Ledger, Outgoing, Partition
from worker.stream.pauses import Pauses
from worker.stream.pressure import BATCH, LEAST_BYTES, Pressure
from worker.telemetry.metrics import Metrics


class Silent:
    """A consumer that is paused and resumed."""

    def pause(self, _: object) -> None:
        pass

    resume = pause


def made(partitions: int, **worker: Any) -> tuple[Pressure, Ledger, Pauses, list[Partition]]:
    ledger, pauses = Ledger(), Pauses(cast("Consumer", Silent()))
    pressure = Pressure(ledger, pauses, make_settings(worker=worker).worker, Metrics().lanes["uploads"])
    return pressure, ledger, pauses, [("t", number) for number in range(partitions)]


def fill(ledger: Ledger, key: Partition, count: int, size: int = 1) -> list[Entry]:
    return [ledger.add(key, offset, size) for offset in range(count)]


def finish(ledger: Ledger, entries: Sequence[Entry], size: int) -> None:
    for entry in entries:
        assert ledger.begin(entry)
        ledger.finish(entry, [Outgoing("v", b"", b"v" * size, [])])


@pytest.mark.parametrize(("partitions", "share"), [(1, 256), (4, 64), (120, 16)])
def test_a_share_keeps_all_threads_busy(partitions: int, share: int) -> None:
    """Of 120 partitions a single one may have anything: it is worked on by all 16 threads."""
    pressure, ledger, pauses, keys = made(partitions)
    fill(ledger, keys[0], share - 1)
    pressure.relieve(keys, breaker=False)
    assert pauses.held("crowded") == set()
    assert pressure.batch(keys) == 1
    ledger.add(keys[0], 1_000, 1)
    pressure.relieve(keys, breaker=False)
    assert pauses.held("crowded") == {keys[0]}


def test_half_of_a_share_must_be_free_again() -> None:
    """Pausing throws away what was fetched: not for every event."""
    pressure, ledger, pauses, keys = made(4)
    entries = fill(ledger, keys[0], 64)
    pressure.relieve(keys, breaker=False)
    finish(ledger, entries[:31], 1)
    pressure.relieve(keys, breaker=False)
    assert pauses.held("crowded") == {keys[0]}
    finish(ledger, entries[31:32], 1)
    pressure.relieve(keys, breaker=False)
    assert pauses.held("crowded") == set()


def test_results_that_wait_are_bounded_by_bytes() -> None:
    """Behind a slow one, a partition holds its share of half of all bytes; no less than some hundred results."""
    for partitions, share in ((4, 4_000_000), (120, LEAST_BYTES)):
        pressure, ledger, pauses, keys = made(partitions)
        entries = fill(ledger, keys[0], 10)
        finish(ledger, entries[1:], share // 10)
        pressure.relieve(keys, breaker=False)
        assert pauses.held("crowded") == set()
        ledger.add(keys[0], 10, share // 5)
        pressure.relieve(keys, breaker=False)
        assert pauses.held("crowded") == {keys[0]}


def test_those_who_wait_never_hold_up_the_others_for_ever() -> None:
    """Nine of twelve partitions are held back with full shares; one batch too many comes; the others go on after it."""
    pressure, ledger, pauses, keys = made(12)
    for key in keys[:9]:
        fill(ledger, key, 1, 32_000_000 // 24)
    pressure.relieve(keys, breaker=False)
    assert pauses.held("crowded") == set(keys[:9])
    (large,) = fill(ledger, keys[9], 1, 24_000_000)
    pressure.relieve(keys, breaker=False)
    assert pauses.holds_all("bytes")
    finish(ledger, [large], 1)
    ledger.mark_published(large)
    ledger.confirm(ledger.published())
    pressure.relieve(keys, breaker=False)
    assert not pauses.holds_all("bytes")


def test_a_batch_is_no_larger_than_what_there_is_room_for() -> None:
    """By count and, since records may be large, by bytes; it grows as small ones come."""
    pressure, ledger, _, keys = made(1)
    assert pressure.batch(keys) == 10
    for _ in range(200):
        pressure.note(1_000)
    assert pressure.batch(keys) == BATCH
    pressure.note(4_000_000)
    assert pressure.batch(keys) == 8
    fill(ledger, keys[0], 1, 31_000_000)
    assert pressure.batch(keys) == 1


def test_the_breaker_holds_everything() -> None:
    """As long as it is open."""
    pressure, _, pauses, keys = made(3)
    pressure.relieve(keys, breaker=True)
    assert pauses.holds_all("breaker")
    pressure.relieve(keys, breaker=False)
    assert not pauses.holds_all("breaker")
