"""What some tests need from the machine: skipped where it is absent, a failure in CI."""

from __future__ import annotations

import os
import shutil

import pytest

from calibration.benchmark.drawing import find_fonts
from calibration.errors import BenchmarkError

__all__ = ["chromium", "needs_fonts"]


def needs_fonts() -> None:
    """A font with Chinese characters."""
    try:
        find_fonts()
    except BenchmarkError as error:
        _absent(str(error))


def chromium() -> str:
    """The path of a Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        _absent("no Chromium on the path")
    return found or ""


def _absent(told: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)
