"""The checker itself: what is lost, twice, late or wrong is seen as such."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.chaos.checks import wrong_dead_letters, wrong_reasons
from tests.chaos.load import Answer, Tally, tally
from worker.contracts.events import ImageUploaded


def answer(event_id: str, at: float, kind: str = "ok", code: str | None = None) -> Answer:
    return Answer(at, event_id, f"image-mark-{kind}-1", (0, int(at)), code)


def test_losses_duplicates_and_pauses_are_counted() -> None:
    """And events of others are nobody's business."""
    answers = [answer("a", 11), answer("b", 12), answer("a", 20), answer("x", 21)]
    assert tally(["a", "b", "c"], answers, began=10) == Tally(3, 3, lost=1, duplicates=1, longest_pause_s=8)
    assert tally(["a"], [], began=10) == Tally(1, 0, lost=1, duplicates=0, longest_pause_s=0)


def test_reasons_must_fit_the_host() -> None:
    """A good picture that got none, a bad one that got a score."""
    assert wrong_reasons([answer("a", 1), answer("b", 2, "drip", "fetch_timeout")]) == []
    assert wrong_reasons([answer("a", 1, "ok", "truncated")]) == ["1 times ok gave truncated"]
    assert wrong_reasons([answer("a", 1, "silent")]) == ["1 times silent gave None"]


def test_dead_letters_must_be_those_that_are_due() -> None:
    """One for every poisonous record and every event that was given up; missing ones and others are told."""
    event = ImageUploaded(event_id="a", image_id="i", url="http://h/", uploaded_at=datetime.now(UTC))
    body, given_up = event.model_dump_json().encode(), [answer("a", 1, "drip", "fetch_timeout")]
    assert wrong_dead_letters({"a": event}, given_up, {body: 1, b"{": 1}, [b"{"]) == []
    assert wrong_dead_letters({"a": event}, given_up, {b"{": 2}, [b"{"]) == ["dead letters: 1 missing, 1 too many"]
    assert wrong_dead_letters({"a": event}, [answer("a", 1)], {body: 1}, []) == ["dead letters: 0 missing, 1 too many"]
