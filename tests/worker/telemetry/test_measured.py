"""Fetches are counted by scheme, outcome and reason, and timed also where they fail."""

from __future__ import annotations

import pytest

from worker.errors import FetchFailedError
from worker.telemetry.measured import measured_fetch
from worker.telemetry.metrics import Metrics


def test_what_comes_and_what_fails() -> None:
    """A host is no label: senders could make as many series as they like."""
    metrics = Metrics()

    def fetch(url: str) -> bytes:
        if "away" in url:
            raise FetchFailedError("host_unreachable", "away", transient=True)
        return b"12345"

    measured = measured_fetch(fetch, metrics)
    assert measured("HTTPS://a.example/1") == b"12345"
    for url in ("s3://away/1", "http://away", "gopher://away", "http://[away"):
        with pytest.raises(FetchFailedError):
            measured(url)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("iqa_fetches_total", scheme="https", outcome="fetched") == 1
    assert value("iqa_fetches_total", scheme="s3", outcome="failed") == 1
    assert value("iqa_fetches_total", scheme="other", outcome="failed") == 2
    assert value("iqa_fetch_failures_total", code="host_unreachable") == 4
    assert value("iqa_stage_seconds_count", stage="fetch") == 5
    assert value("iqa_picture_bytes_sum") == 5
