"""What failed for a passing reason is tried again later, so often, and then told; nothing is lost on the way."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from engines.errors import EngineError
from tests.worker.helpers import FakeAssessor, event, make_settings
from tests.worker.stream.records import as_read, record
from worker.contracts.verdicts import QualityVerdict
from worker.errors import FetchFailedError
from worker.pipeline import Pipeline
from worker.stream.breaker import COOL_S, WINDOW, CircuitBreaker
from worker.stream.dead_letters import as_dead_letter
from worker.stream.handler import EventHandler
from worker.stream.incoming import Header, Record
from worker.stream.ledger import Ledger, Outgoing
from worker.stream.pauses import Pauses
from worker.stream.retries import due_in_s, retry_record
from worker.stream.waiting import WaitingRoom
from worker.telemetry.metrics import Metrics

SETTINGS = make_settings(retry={"delays_s": "30,300,1800"})
BODY = event().model_dump_json().encode()
SENT: list[Header] = [
    ("ce_type", b"image.uploaded.v1"),
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/x"),
]
DOWN = FetchFailedError("http_server_error", "503", transient=True)
GONE = FetchFailedError("http_not_found", "404")


def outcome(message: Record, fails: Exception | None = None, settings: Any = SETTINGS, assessor: Any = None) -> list[Outgoing]:
    def fetch(_: str) -> bytes:
        if fails:
            raise fails
        return b"bytes"

    ledger = Ledger()
    entry = ledger.add(("image.uploads", 0), 7, 1)
    handler = EventHandler(Pipeline(fetch, assessor or FakeAssessor()), ledger, settings, Metrics())  # type: ignore[arg-type]
    handler(message, entry)
    (done,) = ledger.finished()
    return list(done.records)


def test_three_tiers_and_then_both_a_verdict_and_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its topic, later each time; the sender's key, body and headers stay; the origin is the first one."""
    monkeypatch.setattr("worker.stream.retries.time.time", lambda: 1_800_000_000.0)
    message = record(BODY, SENT)
    for attempt, delay in enumerate((30, 300, 1800), 1):
        (sent,) = outcome(message, DOWN)
        assert sent.topic == f"image.uploads.retry.{attempt}"
        assert (sent.key, sent.value) == (b"a1", BODY)
        message = as_read(sent)
        told = message.own
        assert message.attempt == attempt
        assert due_in_s(message, 9999) == delay
        assert (told["topic"], told["partition"], told["offset"], told["reason"]) == (
            "image.uploads",
            "0",
            "7",
            "http_server_error",
        )
        assert [header for header in message.headers if not header[0].startswith("iqa_")] == SENT
    verdict, dead = outcome(message, DOWN)
    assert verdict.topic == "image.quality.verdicts"
    judged = QualityVerdict.model_validate_json(verdict.value or b"")
    assert judged.reason is not None
    assert (judged.status, judged.reason.code) == ("unscorable", "http_server_error")
    assert dead.topic == "image.uploads.dlq"
    told = as_read(dead).own
    assert (told["reason"], told["attempts"], told["topic"], told["offset"]) == ("http_server_error", "4", "image.uploads", "7")
    assert "not_before" not in told
    assert dead.value == BODY


def test_what_passes_is_a_verdict_like_any_other() -> None:
    """On whichever attempt."""
    (retried,) = outcome(record(BODY, SENT), DOWN)
    (sent,) = outcome(as_read(retried))
    assert sent.topic == "image.quality.verdicts"


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_what_will_not_pass_is_told_at_once(attempts: int) -> None:
    """A 404 is an answer; on a retry too, and no dead letter."""
    message = record(BODY, [*SENT, ("iqa_attempt", str(attempts).encode())])
    (sent,) = outcome(message, GONE)
    assert sent.topic == "image.quality.verdicts"


def test_engines_that_fail_are_tried_again_too() -> None:
    """They may be out of memory; after the last attempt the event is a dead letter, and no verdict is made up."""
    broken = FakeAssessor(EngineError("out of memory"))
    (sent,) = outcome(record(BODY, SENT), assessor=broken)
    assert sent.topic == "image.uploads.retry.1"
    (sent,) = outcome(record(BODY, [*SENT, ("iqa_attempt", b"3")]), assessor=broken)
    assert sent.topic == "image.uploads.dlq"


def test_retries_can_be_turned_off() -> None:
    """Then the verdict comes at once."""
    (sent,) = outcome(record(BODY, SENT), DOWN, make_settings(retry={"delays_s": ""}))
    assert sent.topic == "image.quality.verdicts"


def test_malformed_events_are_never_tried_as_read() -> None:
    """They are the sender's to correct."""
    (sent,) = outcome(record(b"no json"))
    assert sent.topic == "image.uploads.dlq"


@pytest.mark.parametrize("value", [b"", b"x", b"-1", "१".encode(), "²".encode(), b"9" * 15, None])
def test_headers_that_are_no_numbers(value: bytes | None) -> None:
    """Anybody may send them: as good as none."""
    message = record(BODY, [*SENT, ("iqa_attempt", value), ("iqa_not_before", value)])
    assert message.attempt == 0
    assert due_in_s(message, 30) <= 0


@pytest.mark.parametrize("value", [b"x", "²".encode(), b"9" * 15, b"-1"])
def test_such_headers_never_hold_up_an_event(value: bytes) -> None:
    """A malformed event with them is a dead letter like any other, and can be listed."""
    names = ("attempt", "not_before", "replays", "failed_at", "attempts")
    (sent,) = outcome(record(b"no json", [(f"iqa_{name}", value) for name in names]))
    assert as_read(sent).own["attempts"] == "1"
    letter = as_dead_letter(record(b"no json", [(f"iqa_{name}", value) for name in names]))
    assert (letter.attempts, letter.replays, letter.failed_at.year) == (1, 0, 2023)


def test_more_attempts_than_there_are_tiers() -> None:
    """A header that claims so, or fewer delays than before: final."""
    verdict, dead = outcome(record(BODY, [*SENT, ("iqa_attempt", b"12")]), DOWN)
    assert (verdict.topic, dead.topic) == ("image.quality.verdicts", "image.uploads.dlq")


def test_replays_are_counted_through_retries() -> None:
    """So that an event that always fails is parked in the end."""
    message = record(BODY, [*SENT, ("iqa_replays", b"2")])
    again = retry_record(message, SETTINGS, code="x", detail="")
    assert as_read(again).own["replays"] == "2"


def test_clocks_that_jump_keep_nobody_waiting() -> None:
    """Longer than the tier's delay no record waits, whatever its header says."""
    far = record(BODY, [("iqa_not_before", b"4000000000000")])
    assert due_in_s(far, 30) == 30


class Partitions:
    """A consumer's pausing, resuming and seeking."""

    def __init__(self, end: int | None = None) -> None:
        self.paused: set[int] = set()
        self.sought: list[tuple[int, int]] = []
        self.end = end

    def pause(self, places: list[TopicPartition]) -> None:
        self.paused |= {place.partition for place in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self.paused -= {place.partition for place in places}

    def seek(self, place: TopicPartition) -> None:
        self.sought.append((place.partition, place.offset))

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool) -> tuple[int, int] | None:
        assert cached
        return None if self.end is None else (0, self.end)


def waiting(offset: int, seconds: float, partition: int = 0) -> Record:
    due = str(int((time.time() + seconds) * 1000)).encode()
    return Record("image.uploads.retry.1", partition, offset, b"a1", BODY, (("iqa_not_before", due),))


def test_a_partition_waits_for_its_head_and_others_go_on() -> None:
    """Paused, and read again from there when it is due."""
    clock, consumer = [100.0], Partitions()
    room = WaitingRoom(consumer, Pauses(consumer), {"image.uploads.retry.1": 30.0}, lambda: clock[0])  # type: ignore[arg-type]
    assert not room.keeps(record(BODY))
    assert not room.keeps(waiting(3, -1))
    assert room.keeps(waiting(4, 20))
    assert room.keeps(waiting(5, -1))
    assert not room.keeps(waiting(9, -1, partition=1))
    assert (consumer.paused, consumer.sought) == ({0}, [(0, 4)])
    room.release()
    assert consumer.paused == {0}
    assert room.owes(("image.uploads.retry.1", 0))
    assert not room.owes(("image.uploads.retry.1", 1))
    clock[0] += 21
    room.release()
    assert consumer.paused == set()
    # Until it is read again the consumer's position is ahead of it.
    assert room.owes(("image.uploads.retry.1", 0))
    assert not room.keeps(waiting(4, -1))
    assert not room.owes(("image.uploads.retry.1", 0))


def test_partitions_that_went_away_are_not_resumed() -> None:
    """Nor when everything is paused for another reason."""
    clock, consumer = [100.0], Partitions()
    pauses = Pauses(consumer)  # type: ignore[arg-type]
    room = WaitingRoom(consumer, pauses, {"image.uploads.retry.1": 30.0}, lambda: clock[0])  # type: ignore[arg-type]
    assert room.keeps(waiting(4, 20))
    assert room.keeps(waiting(4, 20, partition=1))
    room.forget([("image.uploads.retry.1", 0)])
    pauses.hold_all("breaker", [("image.uploads.retry.1", 1)])
    clock[0] += 60
    room.release()
    assert consumer.paused == {0, 1}
    pauses.release_all("breaker", [("image.uploads.retry.1", 1)])
    assert consumer.paused == {0}


def test_breaker_opens_when_most_events_fail_and_closes_for_a_trial() -> None:
    """Not for a few, nor for less than half; after a while it lets some through, and opens again if they fail."""
    clock = [0.0]
    breaker = CircuitBreaker(lambda: clock[0])
    for _ in range(WINDOW // 2 - 1):
        breaker.note(failed=True)
    assert not breaker.open
    breaker.note(failed=True)
    assert breaker.open
    clock[0] += COOL_S
    assert not breaker.open
    for number in range(4 * WINDOW):
        breaker.note(failed=number % 2 == 1)
    assert not breaker.open
    for _ in range(WINDOW):
        breaker.note(failed=True)
    assert breaker.open


def test_malformed_events_do_not_open_the_breaker() -> None:
    """A partition full of poison is the sender's fault; engines that fail are ours."""
    for body, assessor, opens in ((b"no json", None, False), (BODY, FakeAssessor(EngineError("broken")), True)):
        breaker, ledger = CircuitBreaker(lambda: 0.0), Ledger()  # an open one must not close by itself
        pipeline = Pipeline(lambda _: b"bytes", assessor or FakeAssessor())  # type: ignore[arg-type]
        handler = EventHandler(pipeline, ledger, SETTINGS, Metrics(), breaker)
        for offset in range(WINDOW):
            handler(record(body, SENT), ledger.add(("image.uploads", 0), offset, 1))
        assert breaker.open is opens


@pytest.mark.parametrize(("end", "still_waits"), [(7, 7), (None, 5)])
def test_a_clock_that_is_an_hour_ahead_holds_nothing_up(end: int | None, still_waits: int) -> None:
    """Once the delay is over, whatever was there when it began is let go, though its header says another hour."""
    clock, consumer = [100.0], Partitions(end)
    room = WaitingRoom(consumer, Pauses(consumer), {"image.uploads.retry.1": 30.0}, lambda: clock[0])  # type: ignore[arg-type]
    assert room.keeps(waiting(4, 3600))
    clock[0] += 30
    room.release()
    for offset in range(4, still_waits):
        assert not room.keeps(waiting(offset, 3600))
    assert room.keeps(waiting(still_waits, 3600))


def test_what_a_clock_going_back_meets_waits_no_second_time() -> None:
    """It was due by the time that it was read again; those behind it wait for their own time."""
    clock, consumer = [100.0], Partitions(9)
    room = WaitingRoom(consumer, Pauses(consumer), {"image.uploads.retry.1": 30.0}, lambda: clock[0])  # type: ignore[arg-type]
    assert room.keeps(waiting(4, 20))
    clock[0] += 20
    room.release()
    assert not room.keeps(waiting(4, 10))
    assert room.keeps(waiting(5, 10))
    room.forget([("image.uploads.retry.1", 0)])
    assert room.keeps(waiting(4, 10))
