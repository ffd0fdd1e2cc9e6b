"""A double of TensorRT's bindings: the classes, methods and arguments that this project uses, and no others.

Networks are run by ONNX Runtime when their stream is synchronised, so work that is not waited for gives no answer. What the
double offers is checked against the real bindings (``tests/bindings/check.py``), so it cannot offer what they lack.
"""

from __future__ import annotations

import json
import threading
from enum import Enum
from typing import Any

import numpy as np

from tests.engines.gpu.cuda_double import Gpu

__version__ = "11.4.0.106"
STEPS = 3


class TensorIOMode(Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class MemoryPoolType(Enum):
    WORKSPACE = 0


class BuilderFlag(Enum):
    TF32 = 0


class DataType(Enum):
    FLOAT = 0
    HALF = 1


def nptype(trt_type: DataType) -> type:
    return {DataType.FLOAT: np.float32, DataType.HALF: np.float16}[trt_type]


class ILogger:
    class Severity(Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IProgressMonitor:
    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        raise NotImplementedError

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise NotImplementedError

    def phase_finish(self, phase_name: str) -> None:
        raise NotImplementedError


def _session(model: bytes) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(bytes(model), options, providers=["CPUExecutionProvider"])


class ITensor:
    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name


class INetworkDefinition:
    def __init__(self) -> None:
        self._model: bytes = b""
        self._inputs: list[str] = []
        self._outputs: list[str] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_input(self, index: int) -> ITensor:
        return ITensor(self._inputs[index])


class ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, model: bytes) -> bool:
        try:
            session = _session(model)
        except Exception as error:
            self._errors.append(ParserError(str(error).splitlines()[0]))
            return False
        self._network._model = bytes(model)
        self._network._inputs = [value.name for value in session.get_inputs()]
        self._network._outputs = [value.name for value in session.get_outputs()]
        return True


class IOptimizationProfile:
    def __init__(self) -> None:
        self._shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        if not all(low <= usual <= high for low, usual, high in zip(min, opt, max, strict=True)):
            raise ValueError("a profile's shapes must rise")
        self._shapes[input] = [list(min), list(opt), list(max)]


class IBuilderConfig:
    def __init__(self) -> None:
        self._profiles: list[IOptimizationProfile] = []
        self._flags = {BuilderFlag.TF32}
        self._monitor: IProgressMonitor | None = None

    @property
    def progress_monitor(self) -> IProgressMonitor | None:
        return self._monitor

    @progress_monitor.setter
    def progress_monitor(self, value: IProgressMonitor) -> None:
        self._monitor = value

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        assert isinstance(pool, MemoryPoolType)
        assert pool_size > 0

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.discard(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        if not profile._shapes:
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1


class IHostMemory(bytes):
    """What a build gives; ``bytes(memory)`` is the plan."""


class Builder:
    failing = False
    builds = 0

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> IHostMemory | None:
        type(self).builds += 1
        if self.failing:
            self._logger.log(ILogger.Severity.ERROR, "no tactic fits the workspace")
            return None
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("Building engine", None, STEPS)
            for step in range(STEPS):
                assert monitor.step_complete("Building engine", step)
            monitor.phase_finish("Building engine")
        (profile,) = config._profiles
        header = {"version": __version__, "gpu": Gpu.current().capability, "shapes": profile._shapes}
        return IHostMemory(json.dumps(header).encode() + b"\n" + network._model)


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        head, _, model = bytes(serialized_engine).partition(b"\n")
        try:
            header = json.loads(head)
        except ValueError:
            header = {}
        if header.get("version") != __version__ or header.get("gpu") != Gpu.current().capability:
            self._logger.log(ILogger.Severity.ERROR, "the plan was built for another device or version")
            return None
        return ICudaEngine(_session(model), header["shapes"])


class ICudaEngine:
    def __init__(self, session: Any, shapes: dict[str, list[list[int]]]) -> None:
        self._session, self._shapes = session, shapes
        self._names = [value.name for value in (*session.get_inputs(), *session.get_outputs())]
        self._gpu = Gpu.current()

    @property
    def num_io_tensors(self) -> int:
        return len(self._names)

    def get_tensor_name(self, index: int) -> str:
        return str(self._names[index])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name == self._names[0] else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        kinds = {value.name: value.type for value in (*self._session.get_inputs(), *self._session.get_outputs())}
        return DataType.HALF if "16" in kinds[name] else DataType.FLOAT

    def create_execution_context(self) -> IExecutionContext | None:
        if not self._gpu.reserve_context():
            return None
        return IExecutionContext(self)


class IExecutionContext:
    """One at a time: a context that two threads use at once is an error here, as it is there."""

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self._user = threading.Lock()
        self.changes = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least, _, most = self._engine._shapes[name]
        self.changes += 1
        self._shape = tuple(shape)
        return all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True))

    def infer_shapes(self) -> list[str]:
        return [] if self._shape else [self._engine._names[0]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name == self._engine._names[0]:
            return self._shape
        answer = self._run(np.zeros(self._shape, np.float32))
        return tuple(answer.shape)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.changes += 1
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        gpu = Gpu.current()
        if gpu.failing:
            return False
        source, target = self._engine._names
        shape, addresses, changes = self._shape, dict(self._addresses), self.changes

        def work() -> None:
            assert self.changes == changes, "the context changed under what was queued or captured from it"
            x = gpu.read(addresses[source], np.float32, shape)
            gpu.write(addresses[target], self._run(x))

        gpu.streams[stream_handle].append(work)
        return True

    def _run(self, x: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
        assert self._user.acquire(blocking=False), "two threads use one context"
        try:
            return self._engine._session.run(None, {self._engine._names[0]: x})[0]
        finally:
            self._user.release()
