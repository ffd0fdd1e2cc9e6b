"""What lasts is neither silent nor a flood."""

from __future__ import annotations

from structlog.testing import capture_logs

from worker.telemetry.complaints import EVERY_S, MOST_KINDS, Complaints


def test_the_same_is_said_once_a_minute_with_how_often_it_came() -> None:
    """Other things are said at once."""
    clock = [100.0]
    complaints = Complaints(lambda: clock[0])
    with capture_logs() as lines:
        for _ in range(50):
            complaints.say("rights", "no right to READ", topic="a")
        complaints.say("rights", "no right to WRITE")
        clock[0] += EVERY_S
        complaints.say("rights", "no right to READ", topic="a")
    assert [(line["error"], line["again"]) for line in lines] == [
        ("no right to READ", 0),
        ("no right to WRITE", 0),
        ("no right to READ", 49),
    ]
    assert (lines[0]["topic"], lines[0]["log_level"]) == ("a", "warning")


def test_ever_new_things_take_no_memory() -> None:
    """Other words are another thing; other numbers are not."""
    complaints = Complaints()
    with capture_logs() as lines:
        for number in range(10):
            complaints.say("slow", f"failed after {number}ms")
    assert len(lines) == 1
    with capture_logs() as lines:
        for number in range(3 * MOST_KINDS):
            complaints.say("odd", "x" * number)
    assert len(lines) == 3 * MOST_KINDS
    assert len(complaints._said) <= MOST_KINDS
