"""What all tests share."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
import structlog
from rich.traceback import Traceback

from tests.patience import PATIENCE_S
from worker.assessor import Assessor
from worker.loading import make_assessors
from worker.settings import Settings
from worker.telemetry.tracebacks import bounded_traceback

# How long an example takes says how fast the machine is, and nothing of the code.
hypothesis.settings.register_profile("any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any-machine")


def plain_logs() -> None:
    """Lines as the worker writes them; structlog's default draws every traceback with rich, which takes about a second."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.ExceptionRenderer(bounded_traceback),
            structlog.processors.JSONRenderer(),
        ],
        cache_logger_on_first_use=False,
    )


# Fixtures of modules and of the session log too, before the first test and between tests.
plain_logs()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of the machine must not reach the tests; where engines lie may."""
    for name in list(os.environ):
        if name.startswith("IQA_") and name != "IQA_ENGINES__DIRECTORY":
            monkeypatch.delenv(name)
    yield
    structlog.reset_defaults()
    plain_logs()


@pytest.fixture(autouse=True)
def _no_drawn_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code under test that draws a traceback with rich fails, on every machine and not on slow ones alone."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a traceback is drawn with rich, which takes about a second: configure the logs first")

    monkeypatch.setattr(Traceback, "from_exception", refuse)


@pytest.fixture(scope="session")
def assessor() -> Assessor:
    """Real engines, the shipped profile, one core."""
    return make_assessors(Settings()).default


Wait = Callable[..., Any]


@pytest.fixture
def wait_until() -> Wait:
    """Wait for a condition, and fail when it does not come; never sooner than after ``PATIENCE_S``, whatever is given."""

    def wait(condition: Callable[[], Any], timeout: float = PATIENCE_S, what: str = "the condition") -> Any:
        bound, pause = max(timeout, PATIENCE_S), threading.Event()
        end = time.monotonic() + bound
        while not (value := condition()):
            if time.monotonic() > end:
                pytest.fail(f"{what} did not come within {bound:g} s")
            pause.wait(0.02)
        return value

    return wait
