"""Counts what became of events: lost, twice, and how long nothing came although something was waited for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.witness import Answer

__all__ = ["Sent", "Tally", "partition_pauses", "stalls", "tally"]


@dataclass(frozen=True)
class Sent:
    """When the broker had an event (monotonic seconds), and where in the uploads topic."""

    at: float
    partition: int
    offset: int


@dataclass(frozen=True)
class Tally:
    """What became of some events."""

    events: int
    verdicts: int
    lost: int
    duplicates: int
    longest_pause_s: float


def tally(sent: Iterable[str], answers: Sequence[Answer], began: float, excused: Collection[str] = ()) -> Tally:
    """Count: events that have no verdict are lost, unless ``excused``; second verdicts on an event are duplicates.

    The longest pause is the longest time without any verdict, from ``began`` to the last one.
    """
    wanted = set(sent)
    mine = [answer for answer in answers if answer.event_id in wanted]
    seen = Counter(answer.event_id for answer in mine)
    times = [began, *sorted(answer.at for answer in mine)]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    lost = wanted - set(seen) - set(excused)
    return Tally(len(wanted), len(mine), len(lost), len(mine) - len(seen), max(pauses, default=0.0))


def stalls(waited_for: Mapping[str, float], answers: Sequence[Answer], until: float | None = None) -> list[tuple[float, float]]:
    """Times from ... to ... (monotonic seconds) in which no event of ``waited_for`` was answered, though one waited.

    Args:
        waited_for: event ids with the time from which on an answer was due.
        answers: any; each event's first one counts.
        until: now; events that have no answer wait until then. Without it, they are left to whoever counts losses.

    """
    first: dict[str, float] = {}
    for answer in answers:
        if answer.event_id in waited_for:
            first.setdefault(answer.event_id, answer.at)
    if until is not None:
        first |= dict.fromkeys(waited_for.keys() - first.keys(), until)
    changes = sorted(
        [(waited_for[name], 1) for name in first] + [(max(at, waited_for[name]), -1) for name, at in first.items()]
    )
    found, waiting, since = [], 0, 0.0
    for at, change in changes:
        if waiting > 0 and change < 0:
            found.append((since, at))
        if waiting == 0 or change < 0:
            since = at
        waiting += change
    return found


def partition_pauses(sent: Mapping[str, Sent], answers: Sequence[Answer]) -> dict[int, float]:
    """The longest stall of each partition of the uploads topic, in seconds."""
    by_partition: dict[int, dict[str, float]] = defaultdict(dict)
    for name, place in sent.items():
        by_partition[place.partition][name] = place.at
    return {
        number: max((end - start for start, end in stalls(events, answers)), default=0.0)
        for number, events in sorted(by_partition.items())
    }
