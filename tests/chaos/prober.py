"""Asks every worker's probes about twice a second, and judges whether they told the truth."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException

from tests.integration.fleet import WorkerProcess

__all__ = ["Probe", "Prober", "Truth", "lies"]

EVERY_S = 0.5

ANSWER_S = 10.0
"""A probe that is not answered for so long is lost: three of a second each are what orchestrators have patience for."""

DYING_S = 1.0
"""For a process that was just killed to be seen as such."""

STANDSTILL_S = 45.0
"""Nothing is answered for so long, though something waits: a worker that calls itself ready then does not know itself."""


@dataclass(frozen=True)
class Truth:
    """What the probes must say while something is broken. Every worker is live throughout, and ready in the end.

    Attributes:
        ready: what is broken is no reason to be not ready, once a worker has been ready.
        unready_within_s: no worker is ready so many seconds after a fault's beginning, until its end (``Prober.fault``).

    """

    ready: bool = False
    unready_within_s: float | None = None


@dataclass(frozen=True)
class Probe:
    """One answer of one worker: asked when, answered when (monotonic seconds), and which conditions failed."""

    worker: str
    path: str
    asked: float
    at: float
    holds: bool
    failing: tuple[str, ...] = ()


class Prober:
    """A thread for each worker, until its process has ended or ``leaves`` was told of it."""

    def __init__(self) -> None:
        self.probes: list[Probe] = []
        self.faults: list[tuple[float, float]] = []
        """Times in which something was missing that no worker can do without."""
        self._leaving: set[int] = set()
        self._over = threading.Event()

    def watch(self, worker: WorkerProcess) -> None:
        """Begin to ask a worker."""
        threading.Thread(target=self._run, args=(worker,), name=f"prober-{worker.pid}", daemon=True).start()

    def leaves(self, worker: WorkerProcess) -> None:
        """It was asked to stop: what it says from now on counts no more."""
        self._leaving.add(worker.pid)

    @contextmanager
    def fault(self) -> Iterator[None]:
        """While this lasts, something is missing that no worker can do without."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.faults.append((began, time.monotonic()))

    def ready(self, worker: WorkerProcess) -> bool:
        """Whether ``worker`` says, asked now, that it is ready."""
        found = _ask(worker, "/readyz")
        return found is not None and found.holds

    def clear(self) -> None:
        """Forget what was."""
        self.probes = []
        self.faults = []

    def close(self) -> None:
        """Ask no more."""
        self._over.set()

    def _run(self, worker: WorkerProcess) -> None:
        answered = False
        while worker.running() and worker.pid not in self._leaving and not self._over.wait(EVERY_S):
            for path in ("/livez", "/readyz"):
                asked = time.monotonic()
                probe = _ask(worker, path)
                if probe is None and answered and not self._over.wait(DYING_S):
                    probe = _ask(worker, path)
                if not worker.running() or worker.pid in self._leaving:
                    return
                if probe is None and answered:
                    probe = Probe(_name(worker), path, asked, time.monotonic(), holds=False, failing=("no answer",))
                if probe is not None:
                    answered = True
                    self.probes.append(probe)


def _name(worker: WorkerProcess) -> str:
    return worker.log.stem


def _ask(worker: WorkerProcess, path: str) -> Probe | None:
    asked = time.monotonic()
    try:
        conditions: dict[str, bool] = json.loads(_get(f"http://127.0.0.1:{worker.port}{path}"))
    except (OSError, HTTPException, ValueError):
        return None
    failing = tuple(name for name, holds in conditions.items() if not holds)
    return Probe(_name(worker), path, asked, time.monotonic(), not failing, failing)


def _get(url: str) -> bytes:
    """The body, whatever the status."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    return body


def lies(
    probes: Sequence[Probe],
    truth: Truth,
    faults: Sequence[tuple[float, float]] = (),
    standstills: Sequence[tuple[float, float]] = (),
) -> list[str]:
    """Where the probes did not say what was so, in a few words each.

    Args:
        probes: all of a scenario.
        truth: what was so.
        faults: see ``Prober.faults``.
        standstills: times without any answer, though something waited.

    """
    by_worker: dict[str, list[Probe]] = defaultdict(list)
    for probe in probes:
        by_worker[probe.worker].append(probe)
    found = []
    for name, mine in by_worker.items():
        dead = [probe for probe in mine if probe.path == "/livez" and not probe.holds]
        if dead:
            found.append(f"{name} not live {len(dead)} times ({_conditions(dead)})")
        asked = [probe for probe in mine if probe.path == "/readyz"]
        first = next((number for number, probe in enumerate(asked) if probe.holds), len(asked))
        unready = [probe for probe in asked[first:] if not probe.holds]
        if truth.ready and unready:
            lasted = unready[-1].at - unready[0].at
            found.append(f"{name} not ready, for {lasted:.1f} s ({_conditions(unready)})")
        if truth.unready_within_s is not None:
            green = [probe for probe in asked if probe.holds and _within(probe, faults, truth.unready_within_s)]
            if green:
                found.append(f"{name} ready {len(green)} times, {truth.unready_within_s:.0f} s and more after the fault")
        standing = [probe for probe in asked if probe.holds and _within(probe, standstills, STANDSTILL_S)]
        if standing:
            found.append(f"{name} ready {len(standing)} times while nothing had moved for {STANDSTILL_S:.0f} s")
    return found


def _within(probe: Probe, spans: Sequence[tuple[float, float]], after_s: float) -> bool:
    return any(start + after_s <= probe.asked and probe.at <= end for start, end in spans)


def _conditions(probes: Sequence[Probe]) -> str:
    return ", ".join(sorted({name for probe in probes for name in probe.failing}))
