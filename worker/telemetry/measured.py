"""Measures what is fetched."""

from __future__ import annotations

import time
from collections.abc import Callable

from worker.errors import FetchFailedError
from worker.stream.pool import host_of
from worker.telemetry.metrics import Metrics

__all__ = ["measured_fetch"]

SCHEMES = frozenset({"http", "https", "s3"})


def measured_fetch(fetch: Callable[[str], bytes], metrics: Metrics) -> Callable[[str], bytes]:
    """``fetch``, with how it ends, how long it takes and how many bytes it gives in ``metrics``; what it raises is raised."""

    def measured(url: str) -> bytes:
        began, outcome = time.monotonic(), "failed"
        try:
            data = fetch(url)
            outcome = "fetched"
        except FetchFailedError as error:
            metrics.fetch_failures.labels(error.code).inc()
            raise
        finally:
            metrics.fetches.labels(_scheme(url), outcome).inc()
            metrics.stage_seconds.labels("fetch").observe(time.monotonic() - began)
        metrics.picture_bytes.observe(len(data))
        return data

    return measured


def _scheme(url: str) -> str:
    found = host_of(url).partition("://")[0]
    return found if found in SCHEMES else "other"
