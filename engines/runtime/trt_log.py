"""A logger for TensorRT that keeps what it says when it fails: its functions answer only None or False."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["make_logger"]

log = logging.getLogger(__name__)
KEPT = 10


def make_logger(trt: Any) -> Any:
    """An ``ILogger`` of the module ``trt``: errors are kept (``errors``, ``last()``) and logged, warnings logged."""
    severity_of = trt.ILogger.Severity

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in {severity_of.ERROR, severity_of.INTERNAL_ERROR}:
                self.errors = [*self.errors[1 - KEPT :], msg]
                log.error("TensorRT: %s", msg)
            elif severity == severity_of.WARNING:
                log.warning("TensorRT: %s", msg)

        def last(self) -> str:
            return self.errors[-1] if self.errors else "no reason given"

    return Log()
