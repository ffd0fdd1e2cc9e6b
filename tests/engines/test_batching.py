"""Concurrent calls share a batch; everyone gets his own rows, and his own errors."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from engines.batching import MicroBatcher
from tests.conftest import Wait
from tests.engines.fakes import Array, FakeNetwork
from tests.patience import PATIENCE_S


class Gate:
    """A network that waits until it is let go; its answer to a picture is its mean."""

    def __init__(self) -> None:
        self.free, self.entered = threading.Event(), threading.Semaphore(0)
        self.sizes: list[int] = []
        self.metadata = {"key": "value"}

    def run(self, batch: Array) -> Array:
        self.sizes.append(len(batch))
        self.entered.release()
        assert self.free.wait(PATIENCE_S)
        if (batch < 0).any():
            raise RuntimeError("a negative picture")
        return np.asarray(batch.mean(axis=(1, 2, 3)), dtype=np.float32)


def one(value: float, side: int = 4) -> Array:
    return np.full((1, 3, side, side), value, np.float32)


def waiting(batcher: MicroBatcher) -> int:
    return sum(len(group.inputs) for group in batcher._open.values())


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def test_calls_gather_while_the_device_is_busy(pool: ThreadPoolExecutor, wait_until: Wait) -> None:
    """The first goes alone; five that come meanwhile go together, by shape and within the bound."""
    gate = Gate()
    batcher = MicroBatcher(gate, most=4)
    first = pool.submit(batcher.run, one(1))
    assert gate.entered.acquire(timeout=PATIENCE_S)
    others: list[Future[Array]] = []
    for index in range(5):
        others.append(pool.submit(batcher.run, one(2 + index)))
        # A group that is full makes room for the next: only those that can still be joined are counted.
        wait_until(lambda want=index: waiting(batcher) == want % 4 + 1, what="the call to wait")
    wide = pool.submit(batcher.run, one(9, side=8))
    wait_until(lambda: waiting(batcher) == 2)
    gate.free.set()
    assert [float(f.result(PATIENCE_S)[0]) for f in (first, *others, wide)] == [1, 2, 3, 4, 5, 6, 9]
    assert sorted(gate.sizes) == [1, 1, 1, 4]
    assert not batcher._open


def test_an_idle_device_takes_a_picture_at_once() -> None:
    """Nobody waits for company."""
    batcher = MicroBatcher(FakeNetwork(lambda batch: batch.mean(axis=(1, 2, 3))), most=8)
    assert batcher.run(one(5)).tolist() == [5]
    assert batcher.metadata == {}


def test_an_error_reaches_everyone_in_the_batch_and_no_one_else(pool: ThreadPoolExecutor, wait_until: Wait) -> None:
    """And the batcher goes on."""
    gate = Gate()
    batcher = MicroBatcher(gate, most=8)
    first = pool.submit(batcher.run, one(1))
    assert gate.entered.acquire(timeout=PATIENCE_S)
    bad = [pool.submit(batcher.run, one(value)) for value in (2, -1)]
    wait_until(lambda: waiting(batcher) == 2)
    gate.free.set()
    assert first.result(PATIENCE_S).tolist() == [1]
    for future in bad:
        with pytest.raises(RuntimeError, match="negative"):
            future.result(PATIENCE_S)
    assert batcher.run(one(3)).tolist() == [3]


def test_batches_of_several_pictures_keep_their_rows(pool: ThreadPoolExecutor, wait_until: Wait) -> None:
    """Callers with two and three pictures."""
    gate = Gate()
    batcher = MicroBatcher(gate, most=8)
    first = pool.submit(batcher.run, one(0))
    assert gate.entered.acquire(timeout=PATIENCE_S)
    two = pool.submit(batcher.run, np.concatenate([one(1), one(2)]))
    wait_until(lambda: waiting(batcher) == 1)
    three = pool.submit(batcher.run, np.concatenate([one(3), one(4), one(5)]))
    wait_until(lambda: waiting(batcher) == 2)
    gate.free.set()
    assert first.result(PATIENCE_S).tolist() == [0]
    assert two.result(PATIENCE_S).tolist() == [1, 2]
    assert three.result(PATIENCE_S).tolist() == [3, 4, 5]
