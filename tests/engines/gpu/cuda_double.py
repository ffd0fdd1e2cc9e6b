"""A double of ``pycuda.driver`` and of the driver's graph functions: memory with addresses, streams that run when waited for.

Strict where the real thing corrupts memory or crashes: every call wants a current context in its thread, freed memory must
not be touched, and what was captured must not be changed.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

Work = Callable[[], None]


class Error(Exception):
    pass


class MemoryError(Error):  # noqa: A001 the real one is called so
    pass


class LogicError(Error):
    pass


class Gpu:
    """The device: memory, queues, captures, and what a test wants to go wrong."""

    everything: ClassVar[Gpu]

    def __init__(self, capability: tuple[int, int] = (9, 0), memory: int = 1 << 40, contexts: int = 1000) -> None:
        self.capability = list(capability)
        self.memory, self.contexts, self.failing = memory, contexts, False
        self.uncapturable = False
        self.blocks: dict[int, bytearray] = {}
        self.streams: dict[int, list[Work]] = {}
        self.capturing: dict[int, list[Work]] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.launches = self.contexts_made = 0
        self.next_address = 4096
        self.lock = threading.RLock()
        self.local = threading.local()
        Gpu.everything = self

    @classmethod
    def current(cls) -> Gpu:
        """The GPU whose context is current in this thread."""
        if not getattr(cls.everything.local, "stack", None):
            raise LogicError("invalid device context")
        return cls.everything

    def reserve_context(self) -> bool:
        self.contexts_made += 1
        return self.contexts_made <= self.contexts

    def allocate(self, size: int) -> int:
        with self.lock:
            if sum(map(len, self.blocks.values())) + size > self.memory:
                raise MemoryError("cuMemAlloc failed: out of memory")
            self.next_address += size + 512
            self.blocks[self.next_address] = bytearray(size)
            return self.next_address

    def read(self, address: int, dtype: Any, shape: tuple[int, ...]) -> Any:
        count = int(np.prod(shape))
        return np.frombuffer(self.blocks[address], dtype, count).reshape(shape).copy()

    def write(self, address: int, values: Any) -> None:
        data = np.ascontiguousarray(values).tobytes()
        block = self.blocks[address]
        assert len(data) <= len(block), "a copy beyond the end of device memory"
        block[: len(data)] = data


def init() -> None:
    pass


class Context:
    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def push(self) -> None:
        stack = getattr(self._gpu.local, "stack", [])
        self._gpu.local.stack = [*stack, self]

    @staticmethod
    def pop() -> None:
        Gpu.everything.local.stack = Gpu.everything.local.stack[:-1]


class Device:
    def __init__(self, ordinal: int) -> None:
        self._gpu = Gpu.everything

    def name(self) -> str:
        return "Double of a GPU"

    def compute_capability(self) -> tuple[int, int]:
        major, minor = self._gpu.capability
        return major, minor

    def retain_primary_context(self) -> Context:
        return Context(self._gpu)


class Stream:
    def __init__(self) -> None:
        gpu = Gpu.current()
        with gpu.lock:
            self.handle = 7000 + len(gpu.streams)
            gpu.streams[self.handle] = []

    def synchronize(self) -> None:
        gpu = Gpu.current()
        queued, gpu.streams[self.handle] = gpu.streams[self.handle], []
        for work in queued:
            work()


class DeviceAllocation:
    def __init__(self, address: int) -> None:
        self._address = address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        del Gpu.current().blocks[self._address]


def mem_alloc(size: int) -> DeviceAllocation:
    return DeviceAllocation(Gpu.current().allocate(size))


def pagelocked_empty(shape: tuple[int, ...], dtype: Any) -> Any:
    Gpu.current()
    # Not zeros: code that reads before it was written must not be lucky.
    return np.full(shape, 77, dtype)


def memcpy_htod_async(dest: DeviceAllocation, src: Any, stream: Stream) -> None:
    gpu, address = Gpu.current(), int(dest)
    assert address in gpu.blocks, "a copy into freed memory"
    # The host's memory is read when the copy runs, not when it is queued.
    gpu.streams[stream.handle].append(lambda: gpu.write(address, src))


def memcpy_dtoh_async(dest: Any, src: DeviceAllocation, stream: Stream) -> None:
    gpu, address = Gpu.current(), int(src)

    def work() -> None:
        dest[...] = gpu.read(address, dest.dtype, dest.shape)

    gpu.streams[stream.handle].append(work)


class GraphLibrary:
    """libcuda's graph functions, called as ctypes calls them; they answer 0 or an error code."""

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: int) -> int:  # noqa: N802
        gpu = Gpu.current()
        gpu.capturing[stream.value or 0] = gpu.streams[stream.value or 0]
        gpu.streams[stream.value or 0] = []
        return 0

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph: Any) -> int:  # noqa: N802
        gpu = Gpu.current()
        work, gpu.streams[stream.value or 0] = gpu.streams[stream.value or 0], gpu.capturing.pop(stream.value or 0)
        if gpu.uncapturable:
            return 901
        return self._add(work, graph)

    def _add(self, work: list[Work], graph: Any) -> int:
        gpu = Gpu.current()
        with gpu.lock:
            gpu.next_address += 1
            gpu.graphs[gpu.next_address] = work
            graph._obj.value = gpu.next_address
        return 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: ctypes.c_void_p, flags: Any) -> int:  # noqa: N802
        return self._add(Gpu.current().graphs[graph.value or 0], executable)

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:  # noqa: N802
        del Gpu.current().graphs[graph.value or 0]
        return 0

    def cuGraphExecDestroy(self, executable: ctypes.c_void_p) -> int:  # noqa: N802
        del Gpu.current().graphs[executable.value or 0]
        return 0

    def cuGraphLaunch(self, executable: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:  # noqa: N802
        gpu = Gpu.current()
        gpu.launches += 1
        gpu.streams[stream.value or 0] += gpu.graphs[executable.value or 0]
        return 0
