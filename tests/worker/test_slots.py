"""Places for inference: how many are taken, who waits, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from worker.slots import Slots


def test_who_has_a_place_and_who_waits_is_told(wait_until: Callable[..., Any]) -> None:
    """The second waits until the first has left."""
    waits: list[float] = []
    slots, over = Slots(1, waits.append), threading.Event()

    def work() -> None:
        with slots:
            over.wait(60)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: (slots.busy, slots.waiting) == (1, 1), what="one at work, one that waits")
    over.set()
    for thread in threads:
        thread.join(60)
    assert (slots.busy, slots.waiting) == (0, 0)
    assert len(waits) == 2
    assert min(waits) < max(waits)


def test_a_place_is_given_back_after_an_error() -> None:
    """Or the worker would stand still after some bad pictures."""
    slots = Slots(1)
    with pytest.raises(ValueError, match="broken"), slots:
        raise ValueError("broken")
    with slots:
        assert slots.busy == 1
