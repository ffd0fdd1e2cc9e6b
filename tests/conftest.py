"""What all tests share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from worker.app import make_assessors
from worker.assessor import Assessor
from worker.settings import Settings


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of the machine must not reach the tests; where engines lie may."""
    for name in list(os.environ):
        if name.startswith("IQA_") and name != "IQA_ENGINES__DIRECTORY":
            monkeypatch.delenv(name)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def assessor() -> Assessor:
    """Real engines, the shipped profile, one core."""
    return make_assessors(Settings()).default


Wait = Callable[..., Any]


@pytest.fixture
def wait_until() -> Wait:
    """Wait for a condition, and fail when it does not come."""

    def wait(condition: Callable[[], Any], timeout: float = 30.0, what: str = "the condition") -> Any:
        end, pause = time.monotonic() + timeout, threading.Event()
        while not (value := condition()):
            if time.monotonic() > end:
                pytest.fail(f"{what} did not come within {timeout} s")
            pause.wait(0.02)
        return value

    return wait
