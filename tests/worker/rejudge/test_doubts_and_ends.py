"""What fails is given up or taken again; what lies behind the end is left alone; what was replaced is not published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from confluent_kafka import Consumer

from tests.worker.helpers import NOW, event, verdict
from tests.worker.stream.test_pauses import A, B, Consuming
from worker.contracts.events import ImageUploaded
from worker.errors import BrokerError, CacheError
from worker.rejudge.checking import CheckingPublisher
from worker.rejudge.handler import Judged
from worker.rejudge.loop import Ends
from worker.rejudge.tally import Doubts, Tally
from worker.stream.breaker import WINDOW, CircuitBreaker
from worker.stream.incoming import Record
from worker.stream.ledger import Entry, Ledger
from worker.stream.pauses import Pauses


class Doubted:
    """Doubts, with what was given up, and how often it was told to be broken."""

    def __init__(self) -> None:
        self.over: list[int] = []
        self.broken = 0
        self.doubts = Doubts(CircuitBreaker(lambda: 0.0), self._on_broken)

    def _on_broken(self) -> None:
        self.broken += 1

    def fail(self, number: int) -> None:
        self.doubts.failed(lambda: self.over.append(number))

    def succeed(self, count: int) -> None:
        for _ in range(count):
            self.doubts.good()


def test_a_picture_is_to_blame() -> None:
    """Once as many events as are looked back on came after it, and went well."""
    stage = Doubted()
    stage.fail(1)
    stage.succeed(WINDOW - 1)
    assert (stage.over, stage.doubts.held) == ([], 1)
    stage.succeed(1)
    assert (stage.over, stage.doubts.held, stage.broken) == ([1], 0, 0)


def test_the_process_is_to_blame() -> None:
    """It is told, and nothing is given up any more: neither later nor at the end."""
    stage = Doubted()
    stage.fail(0)
    for number in range(1, WINDOW // 2):
        stage.fail(number)
    assert stage.broken == 1
    stage.succeed(2 * WINDOW)
    stage.doubts.settle()
    assert stage.over == []


def test_few_events_tell_too() -> None:
    """At the end: most of them failed, or one of several."""
    few, one = Doubted(), Doubted()
    for number in range(3):
        few.fail(number)
    few.doubts.settle()
    assert (few.over, few.broken) == ([], 1)
    one.succeed(3)
    one.fail(7)
    one.doubts.settle()
    assert (one.over, one.broken) == ([7], 0)


def record(offset: int, partition: int = 0) -> Record:
    return Record("t", partition, offset)


def test_what_lies_behind_the_end_is_put_back() -> None:
    """The partition gives nothing more, and its end is committed once all before it is done."""
    consumer, ledger = Consuming(), Ledger()
    client = cast("Consumer", consumer)
    ends = Ends(client, Pauses(client), ledger, {A: 5})
    entry = ledger.add(A, 3, 1)
    assert not ends.keeps(record(3))
    assert not ends.owes(A)
    # Offset 4 is a transaction's mark, 5 one more.
    assert ends.keeps(record(6))
    assert ends.keeps(record(7))
    assert (consumer.paused, ends.owes(A)) == ({A}, True)
    ends.release()
    assert ledger.begin(entry)
    ledger.finish(entry, ())
    ledger.mark_published(entry)
    ledger.confirm(ledger.published())
    ends.release()
    ends.release()
    (made_up,) = ledger.finished()
    ledger.mark_published(made_up)
    assert ledger.published().offsets == {A: 6}


def test_partitions_that_were_added_are_left_alone() -> None:
    """They hold nothing that was there at the start. One that comes back is read again."""
    client = cast("Consumer", Consuming())
    ends = Ends(client, Pauses(client), Ledger(), {A: 5})
    assert ends.keeps(record(0, 1))
    assert ends.keeps(record(9))
    ends.forget([A])
    assert (ends.owes(A), ends.owes(B)) == (False, True)
    assert not ends.keeps(record(3))


class Inner:
    """Takes what it is given."""

    commits_offsets = True

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def prepare(self) -> None:
        """Nothing."""

    def publish(self, entries: Sequence[Entry]) -> None:
        self.seen += [(entry.offset, len(entry.records)) for entry in entries]


def entries(*events: ImageUploaded) -> list[Entry]:
    made = [Entry(A, offset, 1) for offset in range(len(events))]
    for entry, each in zip(made, events, strict=True):
        entry.records = (Judged(topic="v", key=b"k", value=b"", headers=(), event=each),)
    return made


def test_what_was_uploaded_again_meanwhile_is_not_published() -> None:
    """Its offset is, with those around it; all are asked for in one question."""
    inner, tally, asked = Inner(), Tally(), list[Sequence[str]]()
    later = verdict("a2", event_id="other", uploaded_at=NOW + timedelta(hours=1))

    def find(images: Sequence[str]) -> dict[str, Any]:
        asked.append(images)
        return {"a1": verdict("a1"), "a2": later, "a3": None}

    sent = entries(event("a1"), event("a2"), event("a3"))
    CheckingPublisher(inner, find, tally).publish(sent)
    for entry in sent:
        tally.settle(entry)
    assert inner.seen == [(0, 1), (1, 0), (2, 1)]
    assert asked == [["a1", "a2", "a3"]]
    assert tally["superseded"] == 1


def test_nothing_is_published_while_redis_is_away() -> None:
    """Nobody knows what was uploaded again: it is tried later."""
    inner = Inner()

    def find(_: Sequence[str]) -> dict[str, Any]:
        raise CacheError("away")

    with pytest.raises(BrokerError, match="away"):
        CheckingPublisher(inner, find, Tally()).publish(entries(event("a1")))
    assert inner.seen == []
