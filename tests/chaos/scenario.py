"""What a scenario is: something that is broken, how much of it, and what is promised meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.chaos.load import Load
from tests.chaos.prober import Truth
from tests.chaos.stage import Stage

__all__ = ["Form", "Scenario"]


@dataclass(frozen=True)
class Form:
    """How much of it: events that are sent at most, how often something is done, how long something stays broken."""

    events: int
    times: int
    seconds: float


@dataclass(frozen=True)
class Scenario:
    """One way to break things.

    Attributes:
        act: breaks things, and mends them; called while events are being sent.
        short: the form for every change.
        long: the form by command.
        kind: how the picture of each number is served.
        whole: all events are sent, however soon ``act`` is over; else sending ends with it.
        most_pause_s: the longest time without any verdict that is tolerated, or ``None`` where none is promised.
        partition_pause_s: the longest time without a verdict in any partition that has good events waiting, or ``None`` where
            what is broken justifies more.
        slow: a partition that the scenario itself holds up: it gets more events than it can answer, and may pause.
        truth: what the probes must say.
        environment: settings of its workers, beyond those that all have.

    """

    name: str
    act: Callable[[Stage, Load, Form], None]
    short: Form
    long: Form
    kind: Callable[[int], str] = lambda _: "ok"
    whole: bool = False
    most_pause_s: float | None = None
    partition_pause_s: float | None = None
    slow: int | None = None
    truth: Truth = field(default_factory=Truth)
    environment: Mapping[str, str] = field(default_factory=dict)
