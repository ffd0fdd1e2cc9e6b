"""Networks on ONNX Runtime's CPU provider.

One thread per call: concurrency comes from the callers, one per core (two calls on two cores beat one call on two threads).
Threads that spin between calls would slow down everything else on a shared machine, so they are told not to.

Maps of a picture take tens of megabytes each. Where the C library gives such blocks back (``worker.memory`` tells it to), every
one of them is fetched from the system page by page, which costs more than the arithmetic; so networks take them from one arena
that all of a process share.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engines.catalog import Manifest
from engines.errors import EngineError

__all__ = ["OnnxNetwork", "OnnxRuntime"]

NEXT_POWER_OF_TWO = 0
"""How the arena grows. Growing by what is asked for leaves, with pictures of every size, many pieces that nothing fits into."""


_registering = threading.Lock()


@cache
def _register_arena() -> None:
    """Make the arena that sessions of this process opt into; ONNX Runtime takes only one."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    # 0 and -1: no limit, and ONNX Runtime's defaults.
    unset = {"max_mem": 0, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(unset | {"arena_extend_strategy": NEXT_POWER_OF_TWO}))


class OnnxNetwork:
    """One ONNX Runtime session."""

    def __init__(self, session: Any, source: Path) -> None:
        self._session = session
        self._source = source
        self._input: str = session.get_inputs()[0].name
        self._metadata: dict[str, str] = dict(session.get_modelmeta().custom_metadata_map)

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ``Network``."""
        return self._metadata

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Network``."""
        try:
            (output,) = self._session.run(None, {self._input: batch})
        except Exception as error:  # the runtime's exceptions share no base class of their own
            raise EngineError(f"{self._source.name} failed on an input of shape {batch.shape}: {_told(error)}") from error
        return np.asarray(output, dtype=np.float32)


class OnnxRuntime:
    """Loads networks for the CPU.

    Args:
        threads: threads inside one call; 1 unless a single caller has the machine to itself.
        passing: networks are needed for a moment, and leave no memory behind: they take none from the arena, and are slower.

    """

    def __init__(self, threads: int = 1, *, passing: bool = False) -> None:
        self._threads = threads
        self._passing = passing

    @property
    def label(self) -> str:
        """See ``Runtime``."""
        return f"onnx@{ort.__version__}"

    @property
    def recorded(self) -> bool:
        """See ``Runtime``."""
        return True

    def load(self, path: Path, manifest: Manifest | None = None) -> OnnxNetwork:
        """See ``Runtime``."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._passing:
            options.enable_cpu_mem_arena = False
        else:
            with _registering:
                _register_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
        # A pattern is kept for every size that was seen, and pictures come in every size.
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EngineError(f"{path} cannot be loaded by {self.label}: {_told(error)}") from error
        return OnnxNetwork(session, path)


def _told(error: Exception) -> str:
    """On one line."""
    return " ".join(str(error).split())
