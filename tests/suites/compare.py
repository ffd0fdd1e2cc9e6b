"""What we make of a file, beside what others make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tests.suites.references import Seen

__all__ = ["KINDS", "TOLERANCE", "Finding", "judge"]

TOLERANCE = 6.0
"""Levels of 255, on average, that decoders may differ by: colour conversion, upsampling, rounding."""

KINDS = {
    "same": "as the references, or as the one that takes it",
    "refused": "refused by all",
    "refused here": "taken by both references",
    "taken here": "refused by both references",
    "size": "another size than both",
    "dark ground": "as the references show it on dark grey, on which white is seen",
    "pixels": "other pixels than both, which agree",
    "unclear": "the references differ from each other",
}


@dataclass(frozen=True)
class Finding:
    """One file: its kind of difference, and in words what each made of it."""

    kind: str
    told: str


def judge(ours: Seen | str, others: Mapping[str, Seen | None]) -> Finding:
    """Compare.

    Args:
        ours: what we decoded, or the reason code.
        others: by name what each reference decoded, if it did.

    """
    taken = {name: seen for name, seen in others.items() if seen is not None}
    told = "; ".join(f"{name} {_told(seen)}" for name, seen in {"here": ours, **others}.items())
    if isinstance(ours, str):
        kind = "refused" if not taken else "refused here" if len(taken) == len(others) else "unclear"
        return Finding(kind, told)
    if not taken:
        return Finding("taken here", told)
    if any(_same_size(ours, seen) and _distance(ours, seen) <= TOLERANCE for seen in taken.values()):
        return Finding("same", told)
    seens = list(taken.values())
    if len(seens) < len(others) or not all(_same_size(seens[0], seen) for seen in seens):
        return Finding("unclear", told)
    if not _same_size(ours, seens[0]):
        return Finding("size", told)
    agree = all(_distance(seens[0], seen) <= TOLERANCE for seen in seens)
    apart = ", ".join(f"{_distance(ours, seen):.0f} from {name}" for name, seen in taken.items())
    return Finding("pixels" if agree else "unclear", f"{told}; {apart}")


def _told(seen: Seen | str | None) -> str:
    if seen is None:
        return "refuses"
    return seen if isinstance(seen, str) else f"{seen[0]} x {seen[1]}"


def _same_size(one: Seen, other: Seen) -> bool:
    return one[:2] == other[:2]


def _distance(one: Seen, other: Seen) -> float:
    return float(np.abs(one[2] - other[2]).mean())
