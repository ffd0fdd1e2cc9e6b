"""Which of two runtimes is the quicker one for a network on this machine.

Both load it, and take turns on an input of its usual size. That happens in a process of its own: the libraries of the one that
loses need not stay in memory, and one that dies or hangs on this processor takes nothing else along.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
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
PATIENCE_S = 60.0
"""For one network: a hundred times what it takes."""
END_S = 2.0
"""For a process to end that answers no more."""
PR_SET_PDEATHSIG = 1


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
        module: what the process runs; tests have some that die or hang.
        patience_s: for one network; then the process is killed.

    """

    def __init__(self, reference: str, module: str = "engines.runtime.contest", patience_s: float = PATIENCE_S) -> None:
        self._reference, self._module, self._patience_s = reference, module, patience_s
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, path: Path, manifest: Manifest) -> Chosen:
        """What was measured for the network in ``path``. Whatever goes wrong is told, and the reference serves."""
        try:
            return self._measured(path, manifest)
        except (OSError, ValueError, TypeError, subprocess.TimeoutExpired) as error:
            # No second try: what dies or hangs on this processor does so again, and a start should not take minutes.
            if self._process is not None:
                self._process.kill()
            return Chosen(manifest.label, self._reference, failed=str(error) or type(error).__name__)

    def _measured(self, path: Path, manifest: Manifest) -> Chosen:
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - pipes, as asked for
        late = threading.Timer(self._patience_s, process.kill)
        late.start()
        try:
            process.stdin.write(json.dumps({"path": str(path), "manifest": manifest.model_dump_json()}) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        finally:
            late.cancel()
        if not answer:
            raise ValueError(f"the process that measures ended with {process.wait(END_S)}, or took over {self._patience_s:g} s")
        return Chosen(**json.loads(answer))

    def _start(self) -> subprocess.Popen[str]:
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        # Nothing is imported from the current directory (-P), which may be anybody's.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        weakref.finalize(self, _end, self._process)
        return self._process


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what it never read is gone with it
            pipe.close()  # type: ignore[union-attr]
    process.kill()
    process.wait()


def _die_with_parent() -> None:
    """Have the kernel kill this process when the one that asked for it ends, however that ends (Linux: prctl(2))."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Answer a line of JSON with a line of JSON until there are no more."""
    _die_with_parent()
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
