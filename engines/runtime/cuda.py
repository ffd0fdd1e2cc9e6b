"""One GPU through PyCUDA: its context, streams, device and pinned memory; graphs through the driver itself.

PyCUDA 2026.1 has no graphs, so the six functions of the driver's graph API are called by ctypes.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numpy.typing import NDArray

from engines.errors import EngineError

__all__ = ["Buffer", "CaptureError", "Device", "Graph", "GraphDriver", "OutOfMemoryError"]

THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile does not break a capture."""


class OutOfMemoryError(EngineError):
    """The GPU has no memory left. Lower the batch or the lanes, or give the worker a larger GPU."""


class CaptureError(EngineError):
    """Work cannot be captured as a CUDA graph. It can still be queued launch by launch."""


class Device:
    """A GPU's primary context, which PyTorch and others in the process would share.

    Args:
        driver: the module ``pycuda.driver``.
        ordinal: which GPU.

    """

    def __init__(self, driver: Any, ordinal: int = 0) -> None:
        self._driver = driver
        driver.init()
        self._device = driver.Device(ordinal)
        self._context = self._device.retain_primary_context()

    @property
    def compute_capability(self) -> str:
        """Such as ``9.0``."""
        return ".".join(str(part) for part in self._device.compute_capability())

    @property
    def name(self) -> str:
        """The GPU's name."""
        return str(self._device.name())

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread.

        Raises:
            EngineError: the driver failed inside.

        """
        self._context.push()
        try:
            yield
        except self._driver.Error as error:
            raise EngineError(f"{self.name}: {error}") from error
        finally:
            self._driver.Context.pop()

    def stream(self) -> Any:
        """A new stream."""
        return self._driver.Stream()

    def buffer(self, size: int, dtype: Any) -> Buffer:
        """Device memory for ``size`` values, and pinned memory of the same size on the host.

        Raises:
            OutOfMemoryError: there is no room for one of them.

        """
        try:
            return Buffer(self._driver, size, dtype)
        except self._driver.MemoryError as error:
            raise OutOfMemoryError(f"{self.name} has no memory left: {error}") from error


class Buffer:
    """Values that live twice: pinned on the host (copies run beside kernels only from there) and on the device."""

    def __init__(self, driver: Any, size: int, dtype: Any) -> None:
        self._driver = driver
        self._host: NDArray[Any] = driver.pagelocked_empty((size,), dtype)
        self._memory: Any = driver.mem_alloc(self._host.nbytes)

    @property
    def size(self) -> int:
        """Values that fit."""
        return len(self._host)

    @property
    def address(self) -> int:
        """On the device."""
        return int(self._memory)

    def host(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """The first values on the host, seen as an array."""
        return self._host[: math.prod(shape)].reshape(shape)

    def upload(self, count: int, stream: Any) -> None:
        """Queue the copy of the first ``count`` values to the device."""
        self._driver.memcpy_htod_async(self._memory, self._host[:count], stream)

    def download(self, count: int, stream: Any) -> None:
        """Queue the copy of the first ``count`` values to the host."""
        self._driver.memcpy_dtoh_async(self._host[:count], self._memory, stream)

    def free(self) -> None:
        """Give the device's part back at once, not when the collector comes by; nothing fits any more."""
        if self.size:
            self._memory.free()
            self._host = self._host[:0]


class GraphDriver:
    """Captures what is queued on a stream, to launch it again in one call.

    Args:
        library: libcuda.

    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def call(self, function: str, *arguments: Any) -> None:
        """Call one function of the driver.

        Raises:
            EngineError: it answers anything but success.

        """
        code = int(getattr(self._library, function)(*arguments))
        if code:
            raise EngineError(f"{function} failed with CUDA error {code}")

    def capture(self, stream: Any, work: Callable[[], None]) -> Graph:
        """The graph of what ``work`` queues on ``stream``; nothing of it runs yet.

        Raises:
            CaptureError: something in ``work`` cannot be captured.

        """
        try:
            return self._capture(stream, work)
        except EngineError as error:
            raise CaptureError(f"no CUDA graph can be made: {error}") from error

    def _capture(self, stream: Any, work: Callable[[], None]) -> Graph:
        handle, graph, executable = ctypes.c_void_p(stream.handle), ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamBeginCapture_v2", handle, THREAD_LOCAL)
        try:
            work()
        except BaseException:
            with suppress(EngineError):  # what was captured so far is of no use, but the capture must end
                self.call("cuStreamEndCapture", handle, ctypes.byref(graph))
            raise
        self.call("cuStreamEndCapture", handle, ctypes.byref(graph))
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        finally:
            self.call("cuGraphDestroy", graph)
        return Graph(self, executable)


class Graph:
    """Work that was captured."""

    def __init__(self, driver: GraphDriver, executable: ctypes.c_void_p) -> None:
        self._driver = driver
        self._executable = executable

    def launch(self, stream: Any) -> None:
        """Queue all of it."""
        self._driver.call("cuGraphLaunch", self._executable, ctypes.c_void_p(stream.handle))

    def free(self) -> None:
        """Destroy it."""
        self._driver.call("cuGraphExecDestroy", self._executable)
