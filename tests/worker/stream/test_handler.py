"""Whatever a record carries, its entry is finished, and leaves a verdict, a retry or a dead letter that fits its topic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import pytest

from engines.errors import EngineError
from tests.worker.helpers import FakeAssessor, event, make_settings
from tests.worker.stream.records import as_read
from worker.contracts.verdicts import QualityVerdict
from worker.errors import FetchFailedError
from worker.pipeline import Pipeline
from worker.stream.breaker import WINDOW, CircuitBreaker
from worker.stream.handler import EventHandler
from worker.stream.incoming import Header, Record
from worker.stream.ledger import Ledger, Outgoing
from worker.stream.sizes import MARGIN, RecordSizes
from worker.telemetry.metrics import Metrics

SETTINGS = make_settings(retry={"delays_s": "30,300"}, worker={"max_event_bytes": 3_000_000})
SMALL = {"image.quality.verdicts": 20_000, "image.uploads.dlq": 20_000, "image.uploads.retry.1": 20_000}
DOWN = FetchFailedError("http_server_error", "503", transient=True)


def body(**more: Any) -> bytes:
    return event(**more).model_dump_json().encode()


def handled(
    value: bytes | None,
    headers: Iterable[Header] = (),
    *,
    key: bytes | None = b"a1",
    unreadable: str | None = None,
    fails: Exception | None = None,
    sizes: dict[str, int | None] | None = None,
    breaker: CircuitBreaker | None = None,
) -> tuple[list[Outgoing], Any]:
    """The records that one event leaves, and what makes others of them."""

    def fetch(_: str) -> bytes:
        if fails:
            raise fails
        return b"bytes"

    bounds = RecordSizes(lambda: sizes or {})
    bounds.refresh()
    ledger = Ledger()
    entry = ledger.add(("image.uploads", 0), 7, 1)
    pipeline = Pipeline(fetch, FakeAssessor())  # type: ignore[arg-type]
    EventHandler(pipeline, ledger, SETTINGS, Metrics(), breaker, None, bounds)(
        Record("image.uploads", 0, 7, key, value, tuple(headers), 1, unreadable), entry
    )
    (done,) = ledger.finished()
    return list(done.records), done.refit


def reason(letter: Outgoing) -> str:
    return as_read(letter).own["reason"]


def test_unreadable_headers_are_a_dead_letter_with_the_raw_key_and_body() -> None:
    """Nobody can say what the event was; what is there is kept."""
    (letter,), _ = handled(body(), key=b"\xff\x00", unreadable="invalid start byte")
    assert (letter.topic, letter.key, letter.value) == ("image.uploads.dlq", b"\xff\x00", body())
    assert reason(letter) == "unreadable_headers"


HOSTILE: list[tuple[bytes | None, tuple[Header, ...]]] = [
    (None, ()),
    (b"", ()),
    (b"\x00\x00\x00\x00\x01{}", ()),
    (b"Obj\x01", ()),
    (b"[" * 100_000, ()),
    (b'{"a":' * 300 + b"1" + b"}" * 300, ()),
    (json.dumps({**json.loads(body()), "metadata": {"n": 1}}).replace("1}", "1e400}").encode(), ()),
    (json.dumps({**json.loads(body()), "metadata": {"n": 1}}).replace("1}", "NaN}").encode(), ()),
    (b'{"event_id": "\\ud800"}', ()),
    (b"\xff\xfe{\x00}\x00", ()),
    (body(), (("ce_type", b"other"), ("ce_specversion", b"1.0"))),
    (body(), (("ce_\xff", b"\xff"), ("content-type", b"application/cloudevents+json"))),
    (body(), (("iqa_attempt", b"9" * 400), ("iqa_topic", b"\xff"), ("iqa_replays", None))),
    (b"x" * 4_000_000, ()),
    (b"{}", (("a", b"h" * 4_000_000),)),
    (json.dumps({"event_id": {}, "image_id": [], "url": 1, "uploaded_at": True}).encode(), ()),
    (b"9" * 5_000, ()),
    (b"true", ()),
]


@pytest.mark.parametrize(("value", "headers"), HOSTILE)
def test_nothing_that_a_sender_writes_is_a_failure_of_the_worker(value: bytes | None, headers: tuple[Header, ...]) -> None:
    """A dead letter with a reason that names the sender's fault, or a verdict; never ``internal_error``, never the breaker."""
    breaker = CircuitBreaker()
    for _ in range(WINDOW):
        records, _ = handled(value, headers, breaker=breaker)
        assert records
        for record in records:
            assert record.topic == "image.quality.verdicts" or reason(record) != "internal_error"
            assert record.size <= RecordSizes().of(record.topic)
    assert not breaker.open


def test_a_verdict_that_would_be_too_large_goes_without_its_metadata_and_says_so() -> None:
    """Five megabytes that compress well pass every broker on the way in."""
    (record,), _ = handled(body(metadata={"blank": " " * 30_000}), sizes=dict(SMALL))
    verdict = QualityVerdict.model_validate_json(record.value or b"")
    assert (verdict.status, verdict.category, verdict.metadata, verdict.omitted) == ("scored", "high", {}, ["metadata"])
    assert record.size <= 20_000


def test_what_fits_is_published_whole() -> None:
    """Bounds that are not told are the broker's own."""
    for sizes in ({}, {"image.quality.verdicts": None}):
        (record,), _ = handled(body(metadata={"blank": " " * 30_000}), sizes=dict(sizes))
        assert QualityVerdict.model_validate_json(record.value or b"").omitted == []


def test_a_dead_letter_that_would_be_too_large_keeps_the_first_part() -> None:
    """With the whole length and SHA-256, so that the sender can find it."""
    value = b"no json " * 10_000
    (letter,), _ = handled(value, [("trace", b"1")], sizes=dict(SMALL))
    told = as_read(letter)
    assert letter.size <= 20_000
    assert letter.value
    assert value.startswith(letter.value)
    assert len(letter.value) > 10_000
    assert (told.own["body_bytes"], told.own["body_sha256"]) == ("80000", hashlib.sha256(value).hexdigest())
    assert ("trace", b"1") in told.headers
    assert told.own["reason"] == "not_json"


def test_headers_and_keys_that_are_too_large_go_too() -> None:
    """And are told by their length."""
    (letter,), _ = handled(b"x", [("blob", b"h" * 900_000)], key=b"k" * 50_000, sizes=dict(SMALL))
    told = as_read(letter)
    assert letter.size <= 20_000
    assert (letter.value, told.own["headers_bytes"], told.own["key_bytes"]) == (b"x", "900004", "50000")
    assert letter.key == b"k" * 1_000


def test_an_event_beyond_the_bound_is_not_even_parsed() -> None:
    """It is a dead letter by its size alone."""
    (letter,), _ = handled(body(metadata={"blank": " " * 3_000_000}))
    assert reason(letter) == "event_too_large"


def test_a_retry_that_would_be_too_large_is_a_verdict_at_once() -> None:
    """The answer that would have come in the end; nobody waits for ever."""
    (record,), _ = handled(body(metadata={"blank": " " * 30_000}), fails=DOWN, sizes=dict(SMALL))
    verdict = QualityVerdict.model_validate_json(record.value or b"")
    assert (verdict.status, verdict.reason and verdict.reason.code) == ("unscorable", "http_server_error")
    (letter,), _ = handled(body(metadata={"blank": " " * 30_000}), fails=EngineError("out of memory"), sizes=dict(SMALL))
    assert reason(letter) == "internal_error"


def test_what_the_broker_refuses_becomes_smaller_and_in_the_end_bare() -> None:
    """The same by today's bounds, a dead letter, and one with nothing but where it came from."""
    _, refit = handled(body(metadata={"a": 1}), [("trace", b"1")])
    (again,) = refit("too large", 1)
    assert again.topic == "image.quality.verdicts"
    (letter,) = refit("too large", 2)
    assert (letter.topic, letter.value, reason(letter)) == ("image.uploads.dlq", body(metadata={"a": 1}), "refused_by_broker")
    (bare,) = refit("too large", 3)
    assert (bare.value, as_read(bare).sender_headers) == (b"", [])
    assert bare.size < MARGIN


def test_an_empty_body_stays_empty_and_none_stays_none() -> None:
    """A dead letter of a tombstone is one, too."""
    assert [handled(value)[0][0].value for value in (b"", None)] == [b"", None]


def test_salvage_that_fails_leaves_a_bare_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry without a record would be an event that is lost."""
    monkeypatch.setattr(EventHandler, "_salvage", lambda *_: 1 / 0)
    (letter,), _ = handled(b"no json")
    assert (letter.topic, reason(letter)) == ("image.uploads.dlq", "internal_error")


def test_a_senders_own_notes_are_not_carried_on_at_any_size() -> None:
    """They compress to nothing on their way in, and would make a bare dead letter larger than any topic takes."""
    noise: list[Header] = [
        (f"iqa_{name}", b"\xff" * 500_000) for name in ("topic", "partition", "offset", "timestamp", "replays")
    ]
    (letter,), refit = handled(b"no json", noise)
    (bare,) = refit("too large", 3)
    for record in (letter, bare):
        told = as_read(record)
        assert (told.own["topic"], told.own["partition"], told.own["offset"]) == ("image.uploads", "0", "7")
        assert record.size < 2 * MARGIN


def test_an_event_of_which_nothing_can_be_made_stays_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: a process without a file left to open. Finished with nothing it would be committed, and lost."""
    monkeypatch.setattr(EventHandler, "_dead", lambda *_, **__: 1 / 0)
    ledger = Ledger()
    entry = ledger.add(("image.uploads", 0), 7, 1)
    handler = EventHandler(Pipeline(lambda _: b"", FakeAssessor()), ledger, SETTINGS, Metrics())  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        handler(Record("image.uploads", 0, 7, b"a1", b"no json"), entry)
    assert ledger.finished() == []
    assert ledger.begun == 1
