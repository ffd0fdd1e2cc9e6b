"""``iqa top`` against a real broker: what it shows is what there is, whether workers run or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.fleet import PARTITIONS, Fleet
from tests.integration.test_delivery import pictures, send
from worker.embedded.picture_server import PictureServer

pytestmark = pytest.mark.kafka

Wait = Callable[..., Any]


def top(fleet: Fleet, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", "top", "--once", "--every", "0.5", *options]
    # Environments of pytest have COLUMNS or none; a table is folded where it is narrow.
    environment = {**os.environ, **fleet.environment, "COLUMNS": "160"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_before_during_and_after(fleet: Fleet, wait_until: Wait) -> None:
    """Nobody works: all events wait, and are somebody's to see. Then all are done, and owned."""
    fleet.create_topics()
    with PictureServer(pictures(5)) as server:
        send(fleet, server, 60, 5)
        alone = json.loads(top(fleet, "--json").stdout)
        assert alone["uploads"]["lag"] == 60
        assert alone["uploads"]["members"] == 0
        assert {each["owner"] for each in alone["uploads"]["partitions"]} == {""}
        worker = fleet.start(IQA_KAFKA__DELIVERY="exactly_once")
        wait_until(lambda: fleet.read() >= 60, what="all verdicts")

        def done() -> dict[str, Any] | None:
            found: dict[str, Any] = json.loads(top(fleet, "--json").stdout)
            return found if found["uploads"]["lag"] == 0 else None

        found = wait_until(done, what="no lag")
        assert found["uploads"]["members"] == 1
        assert len(found["uploads"]["partitions"]) == PARTITIONS
        assert all(each["owner"] and each["age_s"] == 0 for each in found["uploads"]["partitions"] if each["end"])
        assert found["verdicts"]["count"] == 60
        assert sum(found["verdicts"]["categories"].values()) == 60
        assert len(found["verdicts"]["fingerprints"]) == 1
        assert found["verdicts"]["p50_s"] > 0
        assert worker.terminate() == 0
        send(fleet, server, 12, 5)
        left = json.loads(top(fleet, "--json").stdout)
        assert left["uploads"]["lag"] == 12
        assert 0 <= left["uploads"]["oldest_s"] < 120
        page = top(fleet)
        assert page.returncode == 0, page.stderr
        assert "12 events wait" in page.stdout
        assert "nobody" in page.stdout
        assert "the last 60 verdicts" in page.stdout


def test_without_topics(fleet: Fleet) -> None:
    """A line that says what to do, and no traceback."""
    found = top(fleet)
    assert found.returncode == 1
    assert "iqa topics create" in found.stderr
    assert "Traceback" not in found.stderr
