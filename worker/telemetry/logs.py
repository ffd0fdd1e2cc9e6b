"""JSON logs, one object a line on standard error, with the event's and picture's ids where there are any."""

from __future__ import annotations

import logging
import sys

import structlog

from worker.telemetry.tracebacks import bounded_traceback

__all__ = ["configure_logs"]


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
    # librdkafka tells every lost connection; errors that matter come through its error callback.
    logging.getLogger("librdkafka").setLevel(logging.ERROR if level != "debug" else logging.DEBUG)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
