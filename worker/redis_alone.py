"""Imports redis-py without OpenTelemetry, whose metrics it imports wherever they are installed: nobody here asks it for them.

For the command line, before anything else imports redis-py, and for nobody who may live in another program: what redis-py has
not found once, it does not look for again. Whoever imports OpenTelemetry later gets it.
"""

from __future__ import annotations

import sys

__all__ = ["import_redis"]


def import_redis() -> None:
    """Import redis-py, unless OpenTelemetry is there already."""
    if "opentelemetry" in sys.modules:
        return
    sys.modules["opentelemetry"] = None  # type: ignore[assignment] # Python's own sign for what must not be found
    try:
        import redis  # noqa: F401
    finally:
        del sys.modules["opentelemetry"]
