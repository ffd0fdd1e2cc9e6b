"""Networks on NVIDIA GPUs: TensorRT 11 plans, PyCUDA for memory and streams.

Plans are built when a worker starts (or before, by ``iqa engines build``) and cached; a plan of another GPU, version or file is
rebuilt, never used. A network has a few lanes; each is one stream with its own execution context and buffers, so callers in
several threads run beside each other. A shape that comes back gets a context of its own whose work is captured as a CUDA
graph and launched in one call: a context must not change under a graph that was captured from it.
"""

from __future__ import annotations

import ctypes
import logging
import math
import queue
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engines.batching import MicroBatcher
from engines.build import Precision, Progress, build_plan, network_bytes, silent
from engines.catalog import Manifest, expanded, file_sha256
from engines.errors import EngineError
from engines.runtime.base import Network
from engines.runtime.cuda import CaptureError, Device, Graph, GraphDriver, OutOfMemoryError
from engines.runtime.plans import PlanCache, PlanKey
from engines.runtime.trt_log import make_logger
from engines.shapes import ShapeRange, shape_range

__all__ = ["GpuOptions", "TensorRtNetwork", "TensorRtRuntime", "gpu_modules"]

log = logging.getLogger(__name__)

Array = NDArray[np.float32]
SEEN_BEFORE = 2
"""A shape's graph is captured when it comes for the second time."""
MOST_SEEN = 4096


@dataclass(frozen=True)
class GpuOptions:
    """How a GPU is used: pictures in a batch, batches at once, captured shapes per lane, precision of the networks."""

    batch: int = 8
    lanes: int = 2
    graphs: int = 4
    precision: Precision = "half"


def gpu_modules() -> tuple[ModuleType, ModuleType, ctypes.CDLL]:
    """``tensorrt``, ``pycuda.driver`` and libcuda.

    Raises:
        EngineError: one of them, or the driver beneath, is not there.

    """
    try:
        import tensorrt as trt
        from pycuda import driver

        library = ctypes.CDLL("libcuda.so.1")
    except (ImportError, OSError) as error:
        raise EngineError(f"IQA_RUNTIME=tensorrt needs the gpu extra and NVIDIA's driver: {error}") from error
    return trt, driver, library


class TensorRtRuntime:
    """Loads networks for one GPU.

    Args:
        plans: where plans are cached.
        options: how the GPU is used.
        modules: ``tensorrt``, ``pycuda.driver`` and libcuda; imported if not given.
        progress: of builds.

    """

    def __init__(
        self,
        plans: Path,
        options: GpuOptions | None = None,
        modules: tuple[Any, Any, Any] | None = None,
        progress: Progress = silent,
    ) -> None:
        trt, driver, library = modules or gpu_modules()
        self._trt: Any = trt
        self._options = options or GpuOptions()
        self._cache = PlanCache(expanded(plans))
        self._device = Device(driver)
        self._graphs = GraphDriver(library)
        self._progress = progress
        self._logger = make_logger(self._trt)
        self._runtime = self._trt.Runtime(self._logger)

    @property
    def label(self) -> str:
        """See ``Runtime``: version, GPU generation and precision all decide last digits."""
        return f"tensorrt@{self._trt.__version__}-cc{self._device.compute_capability}-{self._options.precision}"

    @property
    def recorded(self) -> bool:
        """See ``Runtime``."""
        return False

    def load(self, path: Path, manifest: Manifest | None = None) -> Network:
        """See ``Runtime``. Builds the plan if there is none, which takes minutes."""
        if manifest is None:
            raise EngineError(f"{path}: TensorRT needs the manifest, whose input says which shapes to build for")
        shapes = shape_range(manifest, self._options.batch)
        key = self.key(path, manifest)
        with self._device.current():
            plan = self._cache.find(key)
            engine = self._runtime.deserialize_cuda_engine(plan) if plan else None
            if engine is None:
                # Absent, or TensorRT itself refuses what was filed under the right key: build it (again).
                plan = self.build(path, manifest)
                engine = self._runtime.deserialize_cuda_engine(plan)
            if engine is None:
                raise EngineError(f"TensorRT refuses the plan that it built of {path.name}: {self._logger.last()}")
            network = TensorRtNetwork(self._trt, engine, self._device, self._graphs, shapes, self._options, _metadata(path))
        return MicroBatcher(network, self._options.batch, self._options.lanes)

    def key(self, path: Path, manifest: Manifest) -> PlanKey:
        """What the plan of an engine's file depends on, here."""
        return PlanKey(
            network=manifest.name,
            network_sha256=file_sha256(path),
            tensorrt=str(self._trt.__version__),
            compute_capability=self._device.compute_capability,
            precision=self._options.precision,
            shapes=shape_range(manifest, self._options.batch).label,
        )

    def build(self, path: Path, manifest: Manifest) -> bytes:
        """Build the plan of an engine's file and cache it.

        Raises:
            BuildError: TensorRT cannot.

        """
        network = network_bytes(path, manifest.input.kind, self._options.precision)
        shapes = shape_range(manifest, self._options.batch)
        with self._device.current():
            plan = build_plan(self._trt, self._logger, network, shapes, self._progress)
        self._cache.store(self.key(path, manifest), plan)
        return plan


class TensorRtNetwork:
    """One plan with its lanes. Larger batches than the plan's are split."""

    def __init__(
        self,
        trt: Any,
        engine: Any,
        device: Device,
        graphs: GraphDriver,
        shapes: ShapeRange,
        options: GpuOptions,
        metadata: Mapping[str, str],
    ) -> None:
        self._device = device
        self._shapes = shapes
        self._metadata = metadata
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        (source,) = (name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT)
        (target,) = (name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT)
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(target)))
        self._lanes: queue.LifoQueue[_Lane] = queue.LifoQueue()
        for _ in range(options.lanes):
            self._lanes.put(_Lane(engine, device, graphs, (source, target), dtype, options.graphs))

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ``Network``."""
        return self._metadata

    def run(self, batch: Array) -> Array:
        """See ``Network``."""
        most = self._shapes.most[0]
        if batch.ndim == 4 and len(batch) > most:
            return np.concatenate([self.run(batch[start : start + most]) for start in range(0, len(batch), most)])
        if not self._shapes.holds(batch.shape):
            raise EngineError(f"an input of {'x'.join(map(str, batch.shape))} is outside the plan's {self._shapes.label}")
        try:
            return self._run(batch)
        except OutOfMemoryError:
            if len(batch) == 1:
                raise
            middle = len(batch) // 2
            return np.concatenate([self.run(batch[:middle]), self.run(batch[middle:])])

    def _run(self, batch: Array) -> Array:
        lane = self._lanes.get()
        try:
            with self._device.current():
                return lane.run(batch)
        finally:
            self._lanes.put(lane)


class _Lane:
    """One stream, used by one thread at a time."""

    def __init__(
        self, engine: Any, device: Device, graphs: GraphDriver, names: tuple[str, str], dtype: Any, capacity: int
    ) -> None:
        self._engine, self._driver, self._capacity = engine, graphs, capacity
        self._stream = device.stream()
        self._common = _Work(_context(engine), device, self._stream, names, dtype)
        self._fresh = partial(_Work, device=device, stream=self._stream, names=names, dtype=dtype)
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._captured: OrderedDict[tuple[int, ...], _Captured] = OrderedDict()

    def run(self, batch: Array) -> Array:
        """One batch, from copy to copy."""
        shape = batch.shape
        if shape in self._captured:
            self._captured.move_to_end(shape)
            return self._captured[shape].run(batch)
        self._seen[shape] += 1
        if self._capacity and self._seen[shape] >= SEEN_BEFORE and (graph := self._capture(batch)):
            return graph.run(batch)
        if len(self._seen) > MOST_SEEN:
            self._seen.clear()
        return self._common.run(batch)

    def _capture(self, batch: Array) -> _Captured | None:
        """A context of its own for this shape, or ``None`` where there is no memory for it."""
        while len(self._captured) >= self._capacity:
            _, oldest = self._captured.popitem(last=False)
            oldest.free()
        try:
            captured = _Captured(self._fresh(_context(self._engine)), self._stream, batch, self._driver)
        except OutOfMemoryError:
            return None
        except CaptureError as error:
            log.warning("CUDA graphs are off for this network: %s", error)
            self._capacity = 0
            return None
        self._captured[batch.shape] = captured
        return captured


class _Work:
    """An execution context with its buffers, which grow with what comes."""

    def __init__(self, context: Any, device: Device, stream: Any, names: tuple[str, str], dtype: Any) -> None:
        self._context, self._device, self._stream, self._names = context, device, stream, names
        self._input = device.buffer(1, np.float32)
        self._output = device.buffer(1, dtype)
        self._dtype = dtype
        self._shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    def prepare(self, shape: tuple[int, ...]) -> None:
        """Set the context to inputs of ``shape``.

        Raises:
            OutOfMemoryError: there is no room for the buffers.
            EngineError: TensorRT refuses the shape.

        """
        source, target = self._names
        if not self._context.set_input_shape(source, tuple(shape)):
            raise EngineError(f"TensorRT refuses an input of shape {shape}")
        if missing := self._context.infer_shapes():
            raise EngineError(f"TensorRT cannot tell the shape of {', '.join(missing)} for an input of {shape}")
        self._shapes = (tuple(shape), tuple(self._context.get_tensor_shape(target)))
        sizes = [math.prod(each) for each in self._shapes]
        if self._input.size < sizes[0]:
            self._input.free()
            self._input = self._device.buffer(sizes[0], np.float32)
        if self._output.size < sizes[1]:
            self._output.free()
            self._output = self._device.buffer(sizes[1], self._dtype)
        for name, buffer in ((source, self._input), (target, self._output)):
            if not self._context.set_tensor_address(name, buffer.address):
                raise EngineError(f"TensorRT refuses the address of {name}")

    def enqueue(self) -> None:
        """Queue copy, network and copy on the stream."""
        sent, received = (math.prod(each) for each in self._shapes)
        self._input.upload(sent, self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise EngineError("TensorRT failed to run the network; its log says why")
        self._output.download(received, self._stream)

    def run(self, batch: Array) -> Array:
        """Prepare, fill, queue, finish."""
        self.prepare(batch.shape)
        self.fill(batch)
        try:
            self.enqueue()
        except EngineError:
            # Copies that were queued before it failed still use the buffers.
            self._stream.synchronize()
            raise
        return self.finish()

    def fill(self, batch: Array) -> None:
        """Put a batch into the pinned buffer."""
        self._input.host(self._shapes[0])[...] = batch

    def finish(self) -> Array:
        """Wait, and take the answer out of the pinned buffer, which the next call will overwrite."""
        self._stream.synchronize()
        return self._output.host(self._shapes[1]).astype(np.float32)

    def free(self) -> None:
        """Give both buffers back."""
        self._input.free()
        self._output.free()


class _Captured:
    """A shape that comes back: its own context, its own buffers, its work as one graph."""

    def __init__(self, work: _Work, stream: Any, example: Array, driver: GraphDriver) -> None:
        self._work, self._stream = work, stream
        try:
            # TensorRT finishes setting up on the first run after a change of shape; that must not be in the graph.
            work.run(example)
            self._graph: Graph = driver.capture(stream, work.enqueue)
        except BaseException:
            work.free()
            raise

    def run(self, batch: Array) -> Array:
        self._work.fill(batch)
        self._graph.launch(self._stream)
        return self._work.finish()

    def free(self) -> None:
        self._graph.free()
        self._work.free()


def _context(engine: Any) -> Any:
    context = engine.create_execution_context()
    if context is None:
        raise OutOfMemoryError("the GPU has no memory left for an execution context")
    return context


def _metadata(path: Path) -> dict[str, str]:
    """A plan carries no dictionary; its ONNX file does."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return dict(session.get_modelmeta().custom_metadata_map)
