"""Which events are meant, which verdicts stay, and how quick it may be."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.worker.helpers import NOW, event, verdict
from worker.rejudge.ranges import Range, left
from worker.rejudge.wanted import Rate, Wanted, group_of, is_already, is_superseded

SINCE, UNTIL = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
WANTED = Wanted(SINCE, UNTIL, frozenset({"housing"}))
LATER, EARLIER = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)


def milliseconds(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def test_what_is_meant() -> None:
    """From the beginning on, before the end; a record without a time lies between others."""
    assert [WANTED.in_time(milliseconds(SINCE) + more) for more in (-1, 0)] == [False, True]
    assert [WANTED.in_time(milliseconds(UNTIL) + more) for more in (-1, 0)] == [True, False]
    assert WANTED.in_time(-1)
    assert Wanted(SINCE).in_time(milliseconds(UNTIL))
    assert [WANTED.of_service(name) for name in ("housing", "used_cars", None)] == [True, False, False]
    assert Wanted(SINCE).of_service(None)


def test_another_command_has_another_place() -> None:
    """Whatever differs; the same time in another zone, and services in another order, are the same command."""
    two = replace(WANTED, services=frozenset({"a", "b"}))
    known = group_of("g", two, ["f1", "f2"])
    east = replace(two, since=SINCE.astimezone(timezone(timedelta(hours=8))), services=frozenset({"b", "a"}))
    assert known == group_of("g", east, ["f2", "f1"])
    others = {
        group_of("g", replace(two, since=UNTIL), ["f1", "f2"]),
        group_of("g", replace(two, until=None), ["f1", "f2"]),
        group_of("g", replace(two, services=frozenset()), ["f1", "f2"]),
        group_of("g", two, ["f1"]),
        group_of("g", two, ["f1", "f2"], "folder"),
        group_of("h", two, ["f1", "f2"]),
        known,
    }
    assert len(others) == 7
    assert known.startswith("g.rejudge.")


@pytest.mark.parametrize(
    ("more", "stays"),
    [
        ({"event_id": "other", "uploaded_at": LATER}, True),
        ({"event_id": "other", "uploaded_at": EARLIER}, False),
        ({"event_id": "other", "uploaded_at": NOW}, False),
        ({"uploaded_at": LATER}, False),
        ({"event_id": "other", "uploaded_at": None, "produced_at": LATER}, True),
        ({"event_id": "other", "uploaded_at": None, "produced_at": EARLIER}, False),
        ({"event_id": "other", "uploaded_at": EARLIER, "produced_at": LATER}, False),
    ],
)
def test_a_later_upload_stays(more: dict[str, Any], stays: bool) -> None:
    """By when it was uploaded; where that is not told, by when it was judged, in favour of what is there."""
    assert is_superseded(verdict(**more), event()) is stays


def test_what_has_this_verdict_already() -> None:
    """Of the same event: an earlier upload's tells nothing of this one."""
    assert is_already(verdict(fingerprint="f1"), event(), "f1")
    assert not is_already(verdict(fingerprint="f2"), event(), "f1")
    assert not is_already(verdict(fingerprint="f1", event_id="other"), event(), "f1")
    assert not is_already(None, event(), "f1")
    assert not is_superseded(None, event())


def test_turns_are_even() -> None:
    """Whoever comes late gets no more for it."""
    now = 100.0
    rate = Rate(4, lambda: now)
    assert [rate.reserve() for _ in range(3)] == [0, 0.25, 0.5]
    now = 200.0
    assert [rate.reserve() for _ in range(2)] == [0, 0.25]


def test_no_turn_once_it_ends() -> None:
    """At once, however long the turn would have been."""
    stop = threading.Event()
    slow, free = Rate(0.000_001), Rate(0)
    assert slow.wait(stop)
    assert free.wait(stop)
    stop.set()
    assert not slow.wait(stop)
    assert not free.wait(stop)


def test_what_is_left() -> None:
    """Between the group's places and the ends."""
    assert left({0: Range(5, 10), 1: Range(5, 10), 2: Range(5, 10), 3: Range(7, 7)}, {0: -1, 1: 8, 2: 12}) == 7
