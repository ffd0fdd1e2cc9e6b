"""What a projection knows of its own state, for probes and metrics: what is wrong, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import Gauge

__all__ = ["PATIENCE_S", "Conditions"]

Clock = Callable[[], float]

PATIENCE_S = {"joined": 10.0, "redis": 5.0, "broker": 5.0, "reading": 0.0, "progress": 30.0}
"""Conditions of a projection, and the seconds that each may be missing before it is not ready."""


class _Mark:
    """Something that should hold; it does not yet, when it is made."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = clock()
        self.held = False
        """Whether it ever did."""

    def set(self, *, holds: bool) -> None:
        """Say whether it holds now."""
        if holds:
            self._since, self.held = None, True
        elif self._since is None:
            self._since = self._clock()

    def seconds(self) -> float:
        """Since it held last, 0 while it does."""
        since = self._since
        return 0.0 if since is None else self._clock() - since


class Conditions:
    """Those of ``PATIENCE_S``, with a gauge of the seconds since each held last."""

    def __init__(self, gauge: Gauge, clock: Clock = time.monotonic) -> None:
        self._found = {name: _Mark(clock) for name in PATIENCE_S}
        for name, condition in self._found.items():
            gauge.labels(name).set_function(condition.seconds)

    def set(self, name: str, *, holds: bool) -> None:
        """Say whether a condition holds now."""
        self._found[name].set(holds=holds)

    def held(self, name: str) -> bool:
        """Whether a condition ever held."""
        return self._found[name].held

    def missing_s(self, name: str) -> float:
        """Seconds since it held last, 0 while it does."""
        return self._found[name].seconds()

    def bearable(self) -> dict[str, bool]:
        """By name: whether it holds, or did and has been missing for less than there is patience for."""
        return {name: found.held and found.seconds() <= PATIENCE_S[name] for name, found in self._found.items()}
