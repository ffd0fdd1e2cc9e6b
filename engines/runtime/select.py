"""Which runtime a name means."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from engines.build import Progress, silent
from engines.runtime.base import Runtime
from engines.runtime.onnx import OnnxRuntime
from engines.runtime.tensorrt import GpuOptions, TensorRtRuntime

__all__ = ["RuntimeName", "make_runtime"]

RuntimeName = Literal["onnx", "tensorrt"]


def make_runtime(name: RuntimeName, directory: Path, gpu: GpuOptions | None = None, progress: Progress = silent) -> Runtime:
    """The runtime called ``name``; plans of GPUs are cached below the engines' ``directory``.

    Raises:
        EngineError: its packages, or the GPU's driver, are not there.

    """
    return OnnxRuntime() if name == "onnx" else TensorRtRuntime(directory / "plans", gpu, progress=progress)
