"""Which of two runtimes is the quicker one for a network on this machine.

Both load it, and take turns on an input of its usual size. That happens in a process of its own: the libraries of the one that
loses need not stay in memory, and one that dies on this processor takes nothing else along.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest
from engines.errors import EngineError
from engines.runtime.base import Network, Runtime
from engines.shapes import shape_range

__all__ = ["Chosen", "Contest", "hold_contest"]

ROUNDS = 3
"""Turns that each takes; the least counts, since other work on the machine only adds."""
WORTH = 0.9
"""How much of the reference's time another one may take to be preferred: less would be noise."""
ROUNDING = 1e-3
"""How far outputs may differ, as a share of the largest: sums in another order, through some hundred layers."""
END_S = 10.0
"""For the process to end once it is told so."""


@dataclass(frozen=True)
class Chosen:
    """What was measured for one network: milliseconds for its usual input, who serves it, and whether both said the same.

    ``failed`` says why nothing was measured; the reference serves then.
    """

    engine: str
    runtime: str
    reference_ms: float = 0.0
    other_ms: float = 0.0
    agree: bool = True
    failed: str = ""


def hold_contest(
    reference: Runtime, other: Runtime, path: Path, manifest: Manifest, clock: Callable[[], float] = time.perf_counter
) -> Chosen:
    """Load ``path`` by both and see; ``other`` wins if it takes at most nine tenths of the time and says the same.

    Raises:
        EngineError: one of them cannot load it, or fails.

    """
    networks = reference.load(path, manifest), other.load(path, manifest)
    x = np.random.default_rng(0).normal(size=shape_range(manifest, 1).usual).astype(np.float32)
    answers = [network.run(x) for network in networks]
    apart = float(np.abs(answers[0] - answers[1]).max()) if answers[0].shape == answers[1].shape else np.inf
    # Written so that no number at all is no agreement.
    agree = apart <= ROUNDING * float(np.abs(answers[0]).max())
    times = np.array([[_seconds(network, x, clock) for network in networks] for _ in range(ROUNDS)]).min(axis=0)
    winner = other if agree and times[1] <= WORTH * times[0] else reference
    first, second = (round(1000 * float(value), 1) for value in times)
    return Chosen(manifest.label, winner.label, first, second, bool(agree))


def _seconds(network: Network, x: NDArray[np.float32], clock: Callable[[], float]) -> float:
    began = clock()
    network.run(x)
    return clock() - began


class Contest:
    """Contests in a process of their own, which starts with the first and ends with this object.

    Args:
        reference: label of the runtime that serves where nothing can be measured.
        module: what the process runs; tests have one that dies.

    """

    def __init__(self, reference: str, module: str = "engines.runtime.contest") -> None:
        self._reference, self._module = reference, module
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, path: Path, manifest: Manifest) -> Chosen:
        """What was measured for the network in ``path``."""
        if self._process is None:
            command = [sys.executable, "-m", self._module]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
            weakref.finalize(self, _end, self._process)
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018, S101 - pipes, as asked for
        try:
            self._process.stdin.write(json.dumps({"path": str(path), "manifest": manifest.model_dump_json()}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError as error:
            return self._unmeasured(manifest, str(error))
        if not answer:
            return self._unmeasured(manifest, f"the process that measures ended with {self._process.wait(END_S)}")
        return Chosen(**json.loads(answer))

    def _unmeasured(self, manifest: Manifest, why: str) -> Chosen:
        return Chosen(manifest.label, self._reference, failed=why)


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what it never read is gone with it
            pipe.close()  # type: ignore[union-attr]
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Answer a line of JSON with a line of JSON until there are no more."""
    # What libraries print must not pass for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from engines.runtime.onnx import OnnxRuntime  # here, so that whoever only asks need not load them
    from engines.runtime.openvino import OpenVinoRuntime

    reference, other = OnnxRuntime(), OpenVinoRuntime()
    for line in sys.stdin:
        asked = json.loads(line)
        manifest = Manifest.model_validate_json(asked["manifest"])
        try:
            chosen = hold_contest(reference, other, Path(asked["path"]), manifest)
        except EngineError as error:
            chosen = Chosen(manifest.label, reference.label, failed=str(error))
        print(json.dumps(asdict(chosen)), file=answers, flush=True)


if __name__ == "__main__":
    main()
