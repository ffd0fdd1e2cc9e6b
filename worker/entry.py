"""Where ``iqa`` begins. Signals are answered before all else is imported, which takes a second or longer.

A process that is the first of its container ignores signals that nobody has asked for: without this, a pod that is taken away
while it starts would be waited for until it is killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

__all__ = ["SIGNALS", "answer_at_once", "is_service", "main"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, FrameType | None], object]
SERVICES = (["worker", "run"], ["projection", "run"], ["probe", "run"])


def is_service() -> bool:
    """Whether the command is one that runs until it is told to stop, and logs JSON."""
    return sys.argv[1:3] in SERVICES


def main() -> None:
    """Run the command line; ends the process. A signal ends it with 128 and its number, a service that has not begun with 0."""
    answer_at_once()
    code: object = 0
    try:
        from worker.redis_alone import import_redis

        import_redis()
        from worker.cli import main as run

        if not is_service():
            _answer(_end_in_order)
        run()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as ended:
        code = ended.code
    number = code if isinstance(code, int) else int(code is not None)
    # Python's own end takes a while, too; a signal would show a traceback then, and must not change how the command ended.
    _answer(lambda *_: os._exit(number))
    sys.exit(number)


def answer_at_once() -> None:
    """End the process at the first signal. Nothing has begun, or all is done: there is nothing to put in order."""
    _answer(_end_at_once)


def _answer(handler: Handler) -> None:
    for number in SIGNALS:
        # Ignored by whoever started us, as nohup does: so it stays.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _end_at_once(number: int, _: object) -> None:
    if not is_service():
        os._exit(128 + number)
    import time

    now, name = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), signal.Signals(number).name
    line = f'{{"event": "stopped before it began", "signal": "{name}", "level": "info", "timestamp": "{now}"}}\n'
    try:
        os.write(2, line.encode())
    finally:
        os._exit(0)


def _end_in_order(number: int, _: object) -> None:
    """By an exception: temporary files are removed, the terminal's cursor comes back."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
