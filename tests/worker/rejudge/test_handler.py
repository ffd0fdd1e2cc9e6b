"""Every entry is finished, and what is not judged again leaves no record."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engines.errors import EngineError
from tests.worker.helpers import NOW, FakeAssessor, event, make_settings, verdict
from worker.contracts.verdicts import QualityVerdict
from worker.errors import FetchFailedError
from worker.pipeline import Pipeline
from worker.rejudge.handler import Judged, RejudgeHandler
from worker.rejudge.rows import RowOutgoing
from worker.rejudge.tally import Doubts, Tally
from worker.rejudge.wanted import Rate, Wanted
from worker.stream.breaker import CircuitBreaker
from worker.stream.incoming import Record
from worker.stream.ledger import Entry, Ledger
from worker.stream.pool import HostPool, Leave
from worker.stream.sizes import RecordSizes

SETTINGS = make_settings(worker={"max_event_bytes": 3_000})
P = ("image.uploads", 0)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
IN_TIME = int(NOW.timestamp() * 1000)


class AtOnce(HostPool):
    """No threads: what is handed in is done."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def submit_to(self, host: str, work: Any) -> None:
        leave: Leave = lambda: None  # noqa: E731
        work(leave)


class Stage:
    """One handler with its ledger."""

    def __init__(self, current: QualityVerdict | None = None, **more: Any) -> None:
        self.ledger, self.tally, self.stop = Ledger(), Tally(), threading.Event()
        self.ledger.on_published = self.tally.settle
        self.fails: Exception | None = more.pop("fetch", None)
        answer = more.pop("answer", None)
        pipeline = Pipeline(self._fetch, FakeAssessor(answer))  # type: ignore[arg-type]
        bounds = {"image.quality.verdicts": more.pop("bound", None)}
        sizes = RecordSizes(lambda: bounds)
        sizes.refresh()
        self.doubts = Doubts(CircuitBreaker(), lambda: None)
        wanted = Wanted(SINCE, services=frozenset(more.pop("services", ())))
        self.handler = RejudgeHandler(
            wanted,
            pipeline,
            lambda _: "f1",
            lambda _: current,
            Rate(0),
            SETTINGS,
            AtOnce(),
            self.ledger,
            sizes,
            self.tally,
            self.doubts,
            self.stop,
            **more,
        )

    def _fetch(self, _: str) -> bytes:
        if self.fails:
            raise self.fails
        return b"bytes"

    def take(self, body: bytes | None = None, timestamp_ms: int = IN_TIME, unreadable: str | None = None) -> Entry:
        entry = self.ledger.add(P, 7, 1)
        value = event().model_dump_json().encode() if body is None else body
        self.handler(Record(*P, 7, b"a1", value, (), timestamp_ms, unreadable), entry)
        return entry

    @property
    def counts(self) -> dict[str, object]:
        return {name: count for name, count in self.tally.told().items() if count}


def done(stage: Stage) -> tuple[Any, ...]:
    """What an entry leaves; it is durable then, and counted, and not before."""
    (entry,) = stage.ledger.finished()
    assert stage.counts == {}
    stage.ledger.mark_published(entry)
    return entry.records


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ({"timestamp_ms": IN_TIME - 86_400_000 * 10}, "out_of_range"),
        ({"body": b"no event"}, "no_event"),
        ({"body": b" " * 4_000}, "no_event"),
        ({"unreadable": "bad header"}, "no_event"),
    ],
)
def test_passed_over(taken: dict[str, Any], told: str) -> None:
    """Counted, and out of the way."""
    stage = Stage()
    stage.take(**taken)
    assert (done(stage), stage.counts) == ((), {told: 1})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"services": ["housing"]}, {"other_service": 1}),
        ({"current": verdict(fingerprint="f1")}, {"already": 1}),
        ({"current": verdict(event_id="other", uploaded_at=NOW + timedelta(hours=1))}, {"superseded": 1}),
        ({"fetch": FetchFailedError("http_not_found", "404")}, {"gone": {"http_not_found": 1}}),
        ({"fetch": FetchFailedError("fetch_timeout", "10 s", transient=True)}, {"gone": {"fetch_timeout": 1}}),
    ],
)
def test_the_verdict_that_is_there_stays(more: dict[str, Any], told: dict[str, Any]) -> None:
    """Nothing is published, whatever the reason."""
    stage = Stage(**more)
    stage.take()
    assert (done(stage), stage.counts) == ((), told)


def test_too_large() -> None:
    """Even without all that may be left out."""
    stage = Stage(bound=1_200)
    stage.take(event("a" * 400).model_dump_json().encode())
    assert (done(stage), stage.counts) == ((), {"too_large": 1})


def test_judged_again() -> None:
    """Counted once it is durable; other bytes than before are counted too."""
    stage = Stage(verdict(fingerprint="old", category="low"))
    stage.take()
    (record,) = done(stage)
    assert isinstance(record, Judged)
    assert (record.event.event_id, record.topic, record.key) == ("e-a1", "image.quality.verdicts", b"a1")
    assert QualityVerdict.model_validate_json(record.value or b"").fingerprint == "f1"
    assert stage.counts == {}
    assert record.note is not None
    record.note()
    assert stage.counts == {"judged": 1, "changed": 1, "other_category": 1}


def test_refused_by_the_broker() -> None:
    """Once more as it is; then the old verdict stays."""
    stage = Stage()
    entry = stage.take()
    assert entry.refit is not None
    assert list(entry.refit("too large", 1)) == list(entry.records)
    assert list(entry.refit("too large", 2)) == []
    done(stage)
    assert stage.counts == {"refused": 1}


def test_a_mistake_before_it_is_judged_is_not_done_either() -> None:
    """Nothing that happens on the way leaves an entry that nobody waits for."""
    stage = Stage()

    def mistaken(_: str | None) -> str:
        raise ZeroDivisionError("a bug")

    stage.handler._find = lambda _: verdict()
    stage.handler._fingerprint_of = mistaken
    stage.take()
    assert (stage.ledger.finished(), stage.doubts.held) == ([], 1)
    stage.doubts.settle()
    assert stage.ledger.load(P).unfinished == 1


@pytest.mark.parametrize("error", [EngineError("out of memory"), ZeroDivisionError("a bug")])
def test_a_failure_of_our_own_is_not_done(error: Exception) -> None:
    """Until it is clear who is to blame."""
    stage = Stage(answer=error)
    stage.take()
    assert (stage.ledger.finished(), stage.doubts.held) == ([], 1)


def test_what_waits_is_not_begun_once_it_ends() -> None:
    """Its entry is the next process's."""
    stage = Stage()
    stage.stop.set()
    entry = stage.take()
    assert stage.ledger.finished() == []
    assert stage.ledger.begin(entry)


@pytest.mark.parametrize("current", [None, verdict(fingerprint="f1"), verdict(event_id="x", uploaded_at=NOW + timedelta(1))])
def test_a_row_for_every_event(current: QualityVerdict | None) -> None:
    """Also where nothing would be published."""
    for fetch in (None, FetchFailedError("http_not_found", "404")):
        stage = Stage(current, rows=True, fetch=fetch)
        stage.take()
        (record,) = done(stage)
        assert isinstance(record, RowOutgoing)
        assert record.size > 0
        assert record.row["reason"] == (None if fetch is None else "http_not_found")
