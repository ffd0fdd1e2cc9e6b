"""What every runtime offers: load a network file, run it on one array."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest

__all__ = ["Network", "Runtime"]


class Network(Protocol):
    """A loaded network with one input and one output. Safe to call from several threads at once."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Key-value pairs stored in the network's file."""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output for ``batch`` (N x C x H x W, float32).

        Raises:
            EngineError: the runtime failed, or the shape does not fit.

        """


class Runtime(Protocol):
    """Loads networks."""

    @property
    def label(self) -> str:
        """Name and version, for logs and fingerprints: ``onnx@1.32.0``."""

    @property
    def recorded(self) -> bool:
        """Whether all that it has loaded runs where golden answers were recorded; else the parity gate comes first."""

    def load(self, path: Path, manifest: Manifest | None = None) -> Network:
        """Load the network in ``path``; ``manifest`` says which inputs it will meet, where the runtime must know.

        Raises:
            EngineError: the file cannot be loaded.

        """
