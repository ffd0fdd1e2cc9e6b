"""Each network on whichever of two runtimes is the quicker one on this machine.

No runtime is the best everywhere: ONNX Runtime is the quicker one for all networks on one make of processor, and takes four
times as long as OpenVINO for text detection on another (decision 38). So every network is given to both at start, in a process
of its own, and only the one that serves is loaded here: the slower one is not, nor one whose answers differ.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.catalog import Manifest
from engines.runtime.base import Network, Runtime
from engines.runtime.contest import Chosen

__all__ = ["FastestRuntime"]


class FastestRuntime:
    """``reference`` unless another one is clearly quicker.

    Args:
        reference: the one that golden answers were recorded on.
        other: makes the other one, once it is needed.
        other_label: as the other one's own.
        contest: says who serves a network.
        say: told of every network.

    """

    def __init__(
        self,
        reference: Runtime,
        other: Callable[[], Runtime],
        other_label: str,
        contest: Callable[[Path, Manifest], Chosen],
        say: Callable[[Chosen], object] = lambda _: None,
    ) -> None:
        self._reference, self._make, self._other_label = reference, other, other_label
        self._contest, self._say = contest, say
        self._other: Runtime | None = None

    @property
    def label(self) -> str:
        """Both, in one order: their answers differ by rounding, and workers of one fleet must not judge anew for that."""
        return f"{self._reference.label}|{self._other_label}"

    @property
    def recorded(self) -> bool:
        """See ``Runtime``: whether ``reference`` is, and serves every network so far."""
        return self._other is None and self._reference.recorded

    def load(self, path: Path, manifest: Manifest | None = None) -> Network:
        """See ``Runtime``.

        Raises:
            EngineError: the one that serves cannot load it.

        """
        if manifest is None:
            return self._reference.load(path)
        chosen = self._contest(path, manifest)
        self._say(chosen)
        if chosen.runtime != self._other_label:
            return self._reference.load(path, manifest)
        self._other = self._other or self._make()
        return self._other.load(path, manifest)
