"""What commands that take long share: they end in order at a signal, and are told times."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from worker.entry import SIGNALS
from worker.errors import IqaError

__all__ = ["interruptible", "time_of"]


@contextmanager
def interruptible(on_first: Callable[[], None] = lambda: None) -> Iterator[tuple[threading.Event, list[int]]]:
    """An event that is set by the first signal that would end the command; the signals that came."""
    stop, came = threading.Event(), list[int]()

    def note(number: int, _: FrameType | None) -> None:
        came.append(number)
        stop.set()
        on_first()

    numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stop, came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def time_of(option: str, text: str | None) -> datetime | None:
    """The time that an option names, in UTC unless it says otherwise; ``None`` if it is not given.

    Raises:
        IqaError: it is no time.

    """
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise IqaError(f"{option}: {text!r} is no time; write 2026-01-31 or 2026-01-31T12:30+08:00") from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)
