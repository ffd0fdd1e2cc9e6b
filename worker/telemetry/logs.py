"""JSON logs, one object a line on standard error, with the event's and picture's ids where there are any."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable

import structlog

from worker.telemetry.tracebacks import bounded_traceback

__all__ = ["OnceAMinute", "configure_logs"]

EVERY_S = 60.0
MOST_KINDS = 1_000


class OnceAMinute(logging.Filter):
    """Lets lines that differ in nothing but numbers through once a minute. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is let through."""
        kind, now = re.sub(r"[0-9]+", "#", record.getMessage()), self._clock()
        if now - self._passed.get(kind, -EVERY_S) < EVERY_S:
            return False
        if len(self._passed) >= MOST_KINDS:
            self._passed.clear()
        self._passed[kind] = now
        return True


def configure_logs(level: str) -> None:
    """Send our own records and those of libraries through one pipeline. ``level``: debug, info, warning or error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(bounded_traceback),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    renderers: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=renderers))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # librdkafka tells every lost connection, each client for itself; errors that matter come through its error callback.
    clients = logging.getLogger("librdkafka")
    clients.setLevel(logging.ERROR if level != "debug" else logging.DEBUG)
    clients.filters[:] = [] if level == "debug" else [OnceAMinute()]
    logging.getLogger("httpcore").setLevel(logging.WARNING)
