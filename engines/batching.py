"""Calls that wait at the same time become one batch.

A GPU answers eight pictures in little more time than one. Callers come one picture at a time, from many threads; while a
batch is on the device, those that come in the meantime gather by shape and go together next. Nobody waits for company: an
idle device takes a single picture at once. On a CPU batches gain nothing and no batcher is used.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.runtime.base import Network

__all__ = ["MicroBatcher"]

Array = NDArray[np.float32]


@dataclass
class _Group:
    """Calls of one shape that will run together; the first caller runs it for all."""

    inputs: list[Array] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    outputs: list[Array] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def size(self) -> int:
        return sum(len(batch) for batch in self.inputs)


class MicroBatcher:
    """A network that merges concurrent calls into batches; itself a network.

    Args:
        network: takes batches of any size up to ``most``.
        most: pictures in one batch.
        lanes: batches on the device at once (execution contexts).

    """

    def __init__(self, network: Network, most: int, lanes: int = 1) -> None:
        self._network = network
        self._most = most
        self._lanes = threading.BoundedSemaphore(lanes)
        self._lock = threading.Lock()
        self._open: dict[tuple[int, ...], _Group] = {}

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ``Network``."""
        return self._network.metadata

    def run(self, batch: Array) -> Array:
        """See ``Network``. An error of a merged batch is raised in every caller whose picture was in it."""
        shape = batch.shape[1:]
        with self._lock:
            group = self._open.get(shape)
            leads = group is None or group.size + len(batch) > self._most
            if group is None or leads:
                group = self._open[shape] = _Group()
            place = len(group.inputs)
            group.inputs.append(batch)
        if leads:
            self._lead(shape, group)
        else:
            group.done.wait()
        if group.error is not None:
            raise group.error
        return group.outputs[place]

    def _lead(self, shape: tuple[int, ...], group: _Group) -> None:
        try:
            with self._lanes:
                with self._lock:
                    # From here on the group is on its way; who comes now starts another.
                    if self._open.get(shape) is group:
                        del self._open[shape]
                    inputs = list(group.inputs)
                merged = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
                output = self._network.run(merged)
            bounds = np.cumsum([len(part) for part in inputs])[:-1]
            group.outputs = np.split(output, bounds)
        except BaseException as error:
            group.error = error
        finally:
            group.done.set()
