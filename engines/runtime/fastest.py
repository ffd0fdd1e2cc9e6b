"""Each network on whichever of two runtimes is the quicker one on this machine.

No runtime is the best everywhere: ONNX Runtime is the quicker one for all networks on one make of processor, and takes four
times as long as OpenVINO for text detection on another (decision 38). So both load a network, take turns on an input of its
usual size, and the slower one is given up again, or the one whose answers differ. That takes a second or two at start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest
from engines.runtime.base import Network, Runtime
from engines.shapes import shape_range

__all__ = ["Chosen", "FastestRuntime"]

ROUNDS = 3
"""Turns that each takes; the least counts, since other work on the machine only adds."""
WORTH = 0.9
"""How much of the reference's time another one may take to be preferred: less would be noise."""
ROUNDING = 1e-3
"""How far outputs may differ, as a share of the largest: sums in another order, through some hundred layers."""


@dataclass(frozen=True)
class Chosen:
    """What was measured for one network: milliseconds for its usual input, who serves it, and whether both said the same."""

    engine: str
    runtime: str
    reference_ms: float
    other_ms: float
    agree: bool = True


class FastestRuntime:
    """``reference`` unless ``other`` is clearly quicker.

    Args:
        reference: the one that golden answers were recorded on.
        other: takes its place where it takes at most nine tenths of the time and says the same.
        say: told of every network.
        clock: seconds.

    """

    def __init__(
        self,
        reference: Runtime,
        other: Runtime,
        say: Callable[[Chosen], object] = lambda _: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._reference, self._other, self._say, self._clock = reference, other, say, clock
        self._only_reference = True

    @property
    def label(self) -> str:
        """Both, in one order: their answers differ by rounding, and workers of one fleet must not judge anew for that."""
        return f"{self._reference.label}|{self._other.label}"

    @property
    def recorded(self) -> bool:
        """See ``Runtime``: whether ``reference`` is, and serves every network so far."""
        return self._only_reference and self._reference.recorded

    def load(self, path: Path, manifest: Manifest | None = None) -> Network:
        """See ``Runtime``.

        Raises:
            EngineError: one of them cannot load it.

        """
        network = self._reference.load(path, manifest)
        if manifest is None:
            return network
        other = self._other.load(path, manifest)
        x = np.random.default_rng(0).normal(size=shape_range(manifest, 1).usual).astype(np.float32)
        answers = network.run(x), other.run(x)
        apart = float(np.abs(answers[0] - answers[1]).max()) if answers[0].shape == answers[1].shape else np.inf
        # Written so that no number at all is no agreement.
        agree = apart <= ROUNDING * float(np.abs(answers[0]).max())
        times = np.array([[self._seconds(each, x) for each in (network, other)] for _ in range(ROUNDS)]).min(axis=0)
        quicker = bool(agree and times[1] <= WORTH * times[0])
        self._only_reference &= not quicker
        runtime = self._other.label if quicker else self._reference.label
        first, second = (round(1000 * float(value), 1) for value in times)
        self._say(Chosen(manifest.label, runtime, first, second, agree))
        return other if quicker else network

    def _seconds(self, network: Network, x: NDArray[np.float32]) -> float:
        began = self._clock()
        network.run(x)
        return self._clock() - began
