"""Counts what is fetched."""

from __future__ import annotations

from collections.abc import Callable

from worker.telemetry.metrics import Metrics

__all__ = ["measured_fetch"]


def measured_fetch(fetch: Callable[[str], bytes], metrics: Metrics) -> Callable[[str], bytes]:
    """``fetch``, with how it ends and how many bytes it gives in ``metrics``; what it raises is raised."""

    def measured(url: str) -> bytes:
        try:
            data = fetch(url)
        except BaseException:
            metrics.fetches.labels("failed").inc()
            raise
        metrics.fetches.labels("fetched").inc()
        metrics.picture_bytes.observe(len(data))
        return data

    return measured
