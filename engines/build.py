"""Builds TensorRT plans from ONNX files.

NVIDIA TensorRT 11: networks are strongly typed, so precision is what the file says (``engines.half``); flags for half precision
are gone from the builder. A plan serves a range of shapes (one optimisation profile) on the kind of GPU that it was built on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from engines.errors import EngineError
from engines.shapes import ShapeRange

__all__ = ["BuildError", "Precision", "Progress", "build_plan", "network_bytes", "silent"]

Precision = Literal["half", "single"]
Progress = Callable[[str, int, int], None]
"""Phase, steps done, steps in all."""

WORKSPACE = 2 << 30


class BuildError(EngineError):
    """TensorRT cannot build the network. The message is the parser's or the builder's own; the ONNX runtime still serves it."""


def silent(phase: str, done: int, steps: int) -> None:
    """A progress callback that shows nothing."""


def network_bytes(path: Path, kind: str, precision: Precision) -> bytes:
    """The network that is built: the file as it is, or its half-precision form (needs the ``onnx`` package)."""
    try:
        import onnx

        from engines.half import to_half, widen_weights
    except ImportError as error:
        raise EngineError(f"building plans needs the gpu extra (pip install 'iqa-fleet[gpu]'): {error}") from error
    model = onnx.load(str(path))
    ready = to_half(model, kind) if precision == "half" else widen_weights(model)  # type: ignore[arg-type]
    return bytes(ready.SerializeToString())


def build_plan(trt: Any, logger: Any, network: bytes, shapes: ShapeRange, progress: Progress = silent) -> bytes:
    """The plan of ``network`` (a serialised ONNX model with one input) for inputs of ``shapes``, built on the current GPU.

    Args:
        trt: the module ``tensorrt``.
        logger: one of its loggers.
        network: what ``network_bytes`` gives.
        shapes: of the one input.
        progress: told of every step; phases nest.

    Raises:
        BuildError: the network cannot be parsed or built.

    """
    builder = trt.Builder(logger)
    definition = builder.create_network(0)
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(network):
        reasons = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise BuildError(f"TensorRT {trt.__version__} cannot parse the network: {reasons}")
    if definition.num_inputs != 1 or definition.num_outputs != 1:
        raise BuildError(f"wants one input and one output, has {definition.num_inputs} and {definition.num_outputs}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    # Single precision means single: TF32 would round products to ten bits behind the file's back.
    config.clear_flag(trt.BuilderFlag.TF32)
    config.progress_monitor = monitor = _monitor(trt, progress)
    profile = builder.create_optimization_profile()
    profile.set_shape(definition.get_input(0).name, shapes.least, shapes.usual, shapes.most)
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(f"the network does not take inputs of {shapes.label}")
    plan = builder.build_serialized_network(definition, config)
    del monitor  # must outlive the build
    if plan is None:
        reasons = "; ".join(getattr(logger, "errors", [])[-3:]) or "see the log"
        raise BuildError(f"TensorRT {trt.__version__} cannot build the network: {reasons}")
    return bytes(plan)


def _monitor(trt: Any, progress: Progress) -> Any:
    """TensorRT calls it from threads of its own; ``step_complete`` answers whether to go on."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            progress(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            progress(phase_name, step + 1, self._steps.get(phase_name, step + 1))
            return True

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, 0)
            progress(phase_name, steps, steps)

    return Monitor()
