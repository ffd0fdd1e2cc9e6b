"""Which runtime a name means."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from engines.build import Progress, silent
from engines.errors import EngineError
from engines.runtime.base import Runtime
from engines.runtime.contest import Chosen, Contest
from engines.runtime.fastest import FastestRuntime
from engines.runtime.onnx import OnnxRuntime
from engines.runtime.tensorrt import GpuOptions, TensorRtRuntime

__all__ = ["RuntimeName", "make_runtime"]

RuntimeName = Literal["auto", "onnx", "openvino", "tensorrt"]
X86_64 = frozenset({"x86_64", "AMD64"})


def make_runtime(
    name: RuntimeName,
    directory: Path,
    gpu: GpuOptions | None = None,
    progress: Progress = silent,
    calls: int = 1,
    say: Callable[[Chosen], object] = lambda _: None,
) -> Runtime:
    """The runtime called ``name``; plans of GPUs are cached below the engines' ``directory``.

    ``auto`` is for CPUs: on x86-64, where OpenVINO is installed, each network goes to the quicker one of ONNX Runtime and
    OpenVINO on this machine, of which ``say`` is told; else ONNX Runtime. ``calls`` run at once on a CPU, each on one core.

    Raises:
        EngineError: its packages, or the GPU's driver, are not there.

    """
    if name == "tensorrt":
        return TensorRtRuntime(directory / "plans", gpu, progress=progress)
    if name == "onnx" or (name == "auto" and not _openvino_is_there()):
        return OnnxRuntime()
    if name == "auto":
        reference = OnnxRuntime()
        contest, label = Contest(reference.label), f"openvino@{version('openvino')}"
        return FastestRuntime(reference, lambda: make_runtime("openvino", directory, calls=calls), label, contest, say)
    try:
        # Loaded only where it is used: importing it takes as long as importing all the rest.
        from engines.runtime.openvino import OpenVinoRuntime
    except ImportError as error:
        raise EngineError(
            f"IQA_RUNTIME={name} needs the package openvino, which there is for x86-64: install it, or set IQA_RUNTIME=onnx "
            f"({error})"
        ) from error
    return OpenVinoRuntime(calls)


def _openvino_is_there() -> bool:
    return platform.machine() in X86_64 and find_spec("openvino") is not None
