"""``iqa worker run`` with a thread that dies once the worker is ready: of what, the variable ``DIES`` says."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from worker.cli import main
from worker.stream.consumer import ConsumerLoop
from worker.stream.publisher_thread import PublisherThread

__all__: list[str] = []


def dies_in(thread: str, call: Callable[..., Any], due: Callable[[Any], bool]) -> Callable[..., Any]:
    """``call``, but for what a machine without memory does to that thread once it is ``due``."""

    def wrapped(self: Any, *arguments: Any, **more: Any) -> Any:
        if threading.current_thread().name == thread and due(self):
            raise RuntimeError("can't start new thread")
        return call(self, *arguments, **more)

    return wrapped


if __name__ == "__main__":
    if os.environ["DIES"] == "publisher":
        due = lambda self: bool(self._ledger.finished())  # noqa: E731
        PublisherThread.publish_now = dies_in("publisher", PublisherThread.publish_now, due)  # type: ignore[method-assign]
    else:
        ConsumerLoop._turn = dies_in("retries", ConsumerLoop._turn, lambda self: self.joined)  # type: ignore[method-assign]
    main()
