"""How long tests wait for what must come: a bound of failure, far beyond what a slow machine takes."""

from __future__ import annotations

__all__ = ["PATIENCE_S"]

PATIENCE_S = 180.0
"""Seconds. A test that passes never waits so long.

Below ``timeout`` in pyproject.toml, so that a test can say what is missing.
"""
