"""Events and pictures that nobody should send: hosts that misbehave, records that are no events."""

from __future__ import annotations

import uuid

from tests.chaos.load import Load
from tests.chaos.poison import poisons, send_large, send_poison
from tests.chaos.scenario import Form
from tests.chaos.stage import Stage
from tests.integration.fleet import PARTITIONS

__all__ = ["BAD_KINDS", "SLOW", "bad_hosts", "dripping_host", "every_kind", "hanging_hosts", "odd_ones", "poison", "some_flaky"]

BAD_KINDS = ("ok", "drip", "silent", "reset", "short", "long", "flaky", "missing")
SLOW = 1
"""The partition whose events wait for a bad host."""

LARGE_EVENTS = 4
LONG_S = 180.0


def bad_hosts(stage: Stage, load: Load, form: Form) -> None:
    """One byte a second, no answer, RST, lengths that lie, 503 twice, 404: the runner looks at every reason."""


def poison(stage: Stage, load: Load, form: Form) -> None:
    """Every partition gets what is no event, in every way known, and events that are too heavy; nothing waits for any of it."""
    mark, before = uuid.uuid4().hex[:6], len(stage.witness.dead_letters())
    stage.poison += poisons(form.times, lambda number: stage.event("ok", number, mark, number % PARTITIONS))
    heavy = [(stage.event("heavy", number, mark, number % PARTITIONS), number % PARTITIONS) for number in range(LARGE_EVENTS)]
    half = len(stage.poison) // 2
    send_poison(stage.fleet.settings, stage.poison[:half], PARTITIONS)
    send_large(stage.fleet.settings, load, heavy)
    send_poison(stage.fleet.settings, stage.poison[half:], PARTITIONS)
    # An idle fleet may have some of it before it still: it is not in flight before it is read.
    wanted = before + len(stage.poison)
    stage.wait(lambda: len(stage.witness.dead_letters()) >= wanted, LONG_S, "a dead letter for each")


def dripping_host(stage: Stage, load: Load, form: Form) -> None:
    """An event whose host sends a byte a second, again and again, at the head of one partition with a long backlog."""
    mark = uuid.uuid4().hex[:6]
    for number in range(form.times):
        _slow_down(stage, load, "drool", [number], mark)


def hanging_hosts(stage: Stage, load: Load, form: Form) -> None:
    """As many URLs as there are threads, and more, of a host that says nothing; all in one partition."""
    _slow_down(stage, load, "hang", list(range(form.times)), uuid.uuid4().hex[:6])


def _slow_down(stage: Stage, load: Load, kind: str, numbers: list[int], mark: str) -> None:
    """Send such events into the slow partition, and wait until they are answered."""
    events = [stage.event(kind, number, mark, SLOW) for number in numbers]
    for event in events:
        load.add(event, SLOW)
    wanted = {event.event_id for event in events}
    stage.wait(lambda: wanted <= stage.witness.answered(), LONG_S, f"answers to {len(wanted)} of the kind {kind}")


def every_kind(number: int) -> str:
    """Good pictures and all that go wrong, by turns."""
    return BAD_KINDS[number % len(BAD_KINDS)]


def some_flaky(number: int) -> str:
    """Now and then a picture that comes only when it is asked for a third time."""
    return "ok" if number % 20 else "flaky"


def odd_ones(number: int) -> str:
    """Now and then a URL, or a redirect, that leads nowhere."""
    return {3: "odd", 7: "astray"}.get(number % 10, "ok")
