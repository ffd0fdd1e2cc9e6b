"""Logs are JSON, one object a line, ours and the libraries' alike."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from worker.telemetry.logs import OnceAMinute, configure_logs


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_every_line_is_an_object_with_the_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is logged while an event is worked on carries the event's ids."""
    configure_logs("info")
    with structlog.contextvars.bound_contextvars(event_id="e1", image_id="a1"):
        structlog.get_logger("mine").info("judged", score=3)
        logging.getLogger("library").warning("hm, %s", "odd")
    own, foreign = lines(capsys)
    assert own | {"event": "judged", "score": 3, "level": "info", "event_id": "e1", "image_id": "a1"} == own
    assert foreign | {"event": "hm, odd", "level": "warning", "event_id": "e1", "image_id": "a1"} == foreign
    assert str(own["timestamp"]).endswith("Z")


def test_exceptions_stay_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback is a field, not twenty lines that no collector can join."""
    configure_logs("info")
    try:
        raise ValueError("bad")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(capsys)
    assert "ValueError: bad" in str(line["exception"])


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    """Below it, silence; librdkafka's chatter only when asked for."""
    configure_logs("warning")
    structlog.get_logger().info("quiet")
    logging.getLogger("librdkafka").warning("connection lost")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_a_client_that_says_the_same_of_every_connection_is_heard_once_a_minute() -> None:
    """A broker that is away: three clients, twenty lines a second each, that differ in numbers alone."""
    clock = [100.0]
    seldom = OnceAMinute(lambda: clock[0])

    def passes(message: str) -> bool:
        return seldom.filter(logging.LogRecord("librdkafka", logging.ERROR, "", 0, message, (), None))

    lines = [
        f"FAIL [rdkafka#consumer-{n}] [thrd:h:9092/1]: Connect to ipv4#127.0.0.1:90{n} failed (after {n}ms)" for n in range(50)
    ]
    assert [passes(line) for line in lines] == [True, *[False] * 49]
    assert passes("TXNERR [rdkafka#producer-1]: Current transaction failed")
    clock[0] += 60
    assert passes(lines[7])
