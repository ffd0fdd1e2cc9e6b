"""Networks on OpenVINO's CPU plugin, for x86-64.

Its convolutions are as quick on every make of processor: what takes ONNX Runtime as long on one make takes it four times as
long on another (decision 38). Everything is computed in single precision, as ONNX Runtime does.

A network has as many streams as there are cores for it, each of one thread, and as many requests: a caller takes a request and
waits if there is none. Pictures come in every size, and a network is compiled for all of them. What the plugin keeps of a shape
is bounded, since it would be kept for every shape that was ever seen else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from engines.catalog import Manifest
from engines.errors import EngineError

__all__ = ["OpenVinoNetwork", "OpenVinoRuntime"]

KEPT_KERNELS = 400
"""Prepared kernels that a stream keeps (5,000 unless told): with pictures of every size it would grow by 3 MB a shape."""


class OpenVinoNetwork:
    """One compiled network with a request for every stream."""

    def __init__(self, compiled: Any, streams: int, source: Path, metadata: Mapping[str, str]) -> None:
        self._source = source
        self._metadata = metadata
        self._requests: LifoQueue[Any] = LifoQueue()
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ``Network``."""
        return self._metadata

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Network``."""
        request = self._requests.get()
        try:
            (output,) = request.infer([np.ascontiguousarray(batch)], share_inputs=True, share_outputs=True).values()
            # The request's own memory, which the next caller's answer will be written to.
            return np.array(output, dtype=np.float32)
        except Exception as error:  # the runtime raises RuntimeError and whatever its bindings do
            raise EngineError(f"{self._source.name} failed on an input of shape {batch.shape}: {_told(error)}") from error
        finally:
            self._requests.put(request)


class OpenVinoRuntime:
    """Loads networks for the CPU.

    Args:
        streams: calls that may run at once, each on one thread.

    """

    def __init__(self, streams: int = 1) -> None:
        self._streams = streams
        self._core = ov.Core()

    @property
    def label(self) -> str:
        """See ``Runtime``."""
        return f"openvino@{ov.__version__.partition('-')[0]}"

    @property
    def recorded(self) -> bool:
        """See ``Runtime``."""
        return False

    def load(self, path: Path, manifest: Manifest | None = None) -> OpenVinoNetwork:
        """See ``Runtime``."""
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self._streams,
            "NUM_STREAMS": self._streams,
            # A container's quota is no set of cores: threads that are bound to some of them may share one while others idle.
            "ENABLE_CPU_PINNING": False,
            "CPU_RUNTIME_CACHE_CAPACITY": str(KEPT_KERNELS),
        }
        try:
            model = self._core.read_model(path)
            compiled = self._core.compile_model(model, "CPU", options)
            return OpenVinoNetwork(compiled, self._streams, path, _metadata(model))
        except RuntimeError as error:
            raise EngineError(f"{path} cannot be loaded by {self.label}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """Its last line, which says what is wrong; those before it say where in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _metadata(model: Any) -> dict[str, str]:
    """What the ONNX file says of itself, where OpenVINO's reader puts it."""
    if not model.has_rt_info(["framework"]):
        return {}
    return {name: str(value) for name, value in model.get_rt_info(["framework"]).value.items()}
