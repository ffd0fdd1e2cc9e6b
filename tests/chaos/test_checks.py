"""The checker itself: what is lost, twice, late, wrong or a lie is seen as such."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tests.chaos.checks import wrong_dead_letters, wrong_logs, wrong_reasons
from tests.chaos.load import partition_of
from tests.chaos.poison import NO_EVENT, Poison, poisons
from tests.chaos.prober import Probe, Truth, lies
from tests.chaos.tally import Sent, Tally, partition_pauses, stalls, tally
from tests.chaos.witness import Answer, DeadLetter, identity
from worker.contracts.events import ImageUploaded


def answer(event_id: str, at: float, kind: str = "ok", code: str | None = None, body: bytes = b"") -> Answer:
    return Answer(at, event_id, f"image-mark-{kind}-1", (0, int(at)), code, body)


def letter(body: bytes, reason: str = "not_json", kept: int = 100) -> DeadLetter:
    return DeadLetter(identity(body), reason, body[:kept], len(body))


def event(number: int) -> ImageUploaded:
    return ImageUploaded(event_id=f"e{number}", image_id="i", url="http://h/", uploaded_at=datetime.now(UTC))


def test_losses_duplicates_and_pauses_are_counted() -> None:
    """And events of others are nobody's business."""
    answers = [answer("a", 11), answer("b", 12), answer("a", 20), answer("x", 21)]
    assert tally(["a", "b", "c"], answers, began=10) == Tally(3, 3, lost=1, duplicates=1, longest_pause_s=8)
    assert tally(["a"], [], began=10) == Tally(1, 0, lost=1, duplicates=0, longest_pause_s=0)


def test_what_its_operator_deleted_is_not_lost_but_may_not_come_twice() -> None:
    """Nor does it excuse others."""
    answers = [answer("a", 11), answer("a", 12)]
    assert tally(["a", "b", "c"], answers, 10, excused={"a", "b"}) == Tally(3, 2, lost=1, duplicates=1, longest_pause_s=1)


def test_a_partition_pauses_only_while_something_waits() -> None:
    """The other one's answers are no excuse; time without events is."""
    sent = {"a": Sent(1, 0, 0), "b": Sent(2, 0, 1), "c": Sent(50, 0, 2), "x": Sent(1, 1, 0), "lost": Sent(1, 1, 1)}
    answers = [answer("a", 3), answer("b", 9), answer("c", 51), answer("x", 40)]
    assert partition_pauses(sent, answers) == {0: 6, 1: 39}
    assert stalls({"a": 1, "b": 2}, [answer("b", 2), answer("a", 7)]) == [(1, 2), (2, 7)]
    assert stalls({"a": 1, "b": 2}, [answer("a", 7)], until=60) == [(1, 7), (7, 60)]


def test_reasons_must_fit_the_host() -> None:
    """A good picture that got none, a bad one that got a score, metadata that is gone without a word."""
    assert wrong_reasons([answer("a", 1), answer("b", 2, "drip", "fetch_timeout")]) == []
    assert wrong_reasons([answer("a", 1, "ok", "truncated")]) == ["1 times ok gave truncated"]
    assert wrong_reasons([answer("a", 1, "silent")]) == ["1 times silent gave None"]
    assert wrong_reasons([answer("a", 1, "heavy", body=b'{"omitted": ["metadata"]}')]) == []
    assert wrong_reasons([answer("a", 1, "heavy", body=b"{}")]) == ["1 times metadata left out without a word"]


def test_dead_letters_must_be_those_that_are_due() -> None:
    """One for every poisonous record and every event that was given up; missing ones and others are told."""
    body, given_up, poison = event(1).model_dump_json().encode(), [answer("e1", 1, "drip", "fetch_timeout")], [Poison(b"{")]
    sent = {"e1": event(1)}
    assert wrong_dead_letters(sent, given_up, [letter(body, kept=1000), letter(b"{")], poison) == []
    assert wrong_dead_letters(sent, given_up, [letter(b"{")] * 2, poison) == ["dead letters: 1 missing, 1 too many"]
    assert wrong_dead_letters(sent, [answer("e1", 1)], [letter(body, kept=1000)], []) == ["dead letters: 0 missing, 1 too many"]


def test_a_dead_letter_may_be_cut_only_where_it_must_be() -> None:
    """And then has the beginning of the body, its length, and the reason that is due."""
    body = b"{" + b"x" * 1000
    large, small = Poison(body, frozenset({"not_json"}), cut=True), Poison(body)
    assert wrong_dead_letters({}, [], [letter(body)], [large]) == []
    wrong = ["1 dead letters not as expected: not_json"]
    assert wrong_dead_letters({}, [], [letter(body)], [small]) == wrong
    assert wrong_dead_letters({}, [], [DeadLetter(large.identity, "not_json", b"x", len(body))], [large]) == wrong
    assert wrong_dead_letters({}, [], [DeadLetter(large.identity, "not_json", b"{", 7)], [large]) == wrong
    told = wrong_dead_letters({}, [], [letter(body, "internal_error")], [large])
    assert told == ["1 dead letters not as expected: internal_error"]
    assert large.reasons < NO_EVENT


def test_poison_is_of_every_kind() -> None:
    """Tombstones, foreign header names, what is too large: all within the first hundred."""
    found = list(poisons(100, event))
    assert {None, b""} < {record.value for record in found}
    assert sum(record.cut for record in found) == 2
    assert max(len(record.value or b"") for record in found) > 4_000_000
    assert any(name == b"na\xefve" for record in found for name, _ in record.headers)
    bodies = [record.value for record in found if record.value]
    assert len(set(bodies)) == len(bodies)


def probe(at: float, path: str = "/readyz", *failing: str) -> Probe:
    return Probe("w", path, at, at, holds=not failing, failing=failing)


def test_a_probe_must_not_fail_without_a_reason() -> None:
    """A worker that starts is not ready yet; afterwards it is, and live always."""
    start = probe(0, "/readyz", "started")
    assert lies([start, probe(1)], Truth(ready=True)) == []
    assert lies([start, probe(1), probe(2, "/readyz", "broker"), probe(5, "/readyz", "broker")], Truth()) == []
    found = lies([start, probe(1), probe(2, "/readyz", "broker"), probe(5, "/readyz", "broker")], Truth(ready=True))
    assert found == ["w not ready, for 3.0 s (broker)"]
    assert lies([probe(1, "/livez", "no answer")], Truth()) == ["w not live 1 times (no answer)"]


def test_green_must_mean_progress() -> None:
    """Not while a fault lasts, nor while nothing moves."""
    truth = Truth(unready_within_s=10)
    assert lies([probe(5), probe(12, "/readyz", "rights"), probe(31)], truth, [(0, 30)]) == []
    assert lies([probe(5), probe(12)], truth, [(0, 30)]) == ["w ready 1 times, 10 s and more after the fault"]
    assert lies([probe(50)], Truth(), standstills=[(0, 49)]) == []
    assert lies([probe(50)], Truth(), standstills=[(0, 60)]) == ["w ready 1 times while nothing had moved for 45 s"]


def test_logs_are_lines_of_json_without_tracebacks() -> None:
    """Both are told, with their number."""
    lines = [json.dumps({"event": "judged"}), json.dumps({"event": "event_failed", "exception": "Traceback"}), "Traceback"]
    assert wrong_logs(lines) == ["log: 1 times a traceback: event_failed", "log: 1 times no JSON"]


def test_partitions_are_those_of_other_producers() -> None:
    """Values that Kafka's own tests hold (``UtilsTest.testMurmur2``), made positive, of a million partitions."""
    assert partition_of(b"21", 1_000_000) == (-973932308 & 0x7FFFFFFF) % 1_000_000
    assert partition_of(b"foobar", 1_000_000) == (-790332482 & 0x7FFFFFFF) % 1_000_000
