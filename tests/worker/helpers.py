"""Settings, events and stand-ins for tests of the worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.patience import PATIENCE_S
from worker.contracts.events import ImageUploaded
from worker.contracts.verdicts import AssessmentRecord, QualityVerdict, Reason
from worker.settings import FetchSettings, Settings

Run = Callable[..., tuple[int, str, str]]
"""Runs ``iqa`` with arguments and environment; gives exit code, output, errors."""
LOCAL = FetchSettings.model_validate(
    {
        "allow_networks": "127.0.0.0/8",
        "connect_timeout_s": 60,
        "total_timeout_s": PATIENCE_S,
        "attempts": 1,
        "max_bytes": 1_000_000,
    }
)
IMPATIENT = LOCAL.model_copy(update={"connect_timeout_s": 1, "total_timeout_s": 1.5})
"""For hosts that never answer, where the time-out is what is tested."""
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATELY = datetime.now(UTC)


def make_settings(**groups: dict[str, Any] | str) -> Settings:
    """Settings from plain values, as the environment would give them."""
    return Settings.model_validate(groups)


def event(image_id: str = "a1", url: str = "http://127.0.0.1/a.jpg", **more: Any) -> ImageUploaded:
    return ImageUploaded(event_id=f"e-{image_id}", image_id=image_id, url=url, uploaded_at=NOW, **more)


def verdict(image_id: str = "a1", **more: Any) -> QualityVerdict:
    fields: dict[str, Any] = {
        "status": "unscorable",
        "reason": Reason(code="truncated", detail="half of it"),
        "image_id": image_id,
        "event_id": f"e-{image_id}",
        "content_sha256": "ab" * 32,
        "fingerprint": "f1",
        "engines": {},
        "profile": "recruitment@1",
        "produced_at": LATELY,
    }
    return QualityVerdict(**(fields | more))


class FakeAssessor:
    """Judges nothing; says the same of all bytes, and counts how often it was asked."""

    fingerprint = "f1"

    class profile:  # noqa: N801 - stands in for an attribute
        label = "recruitment@1"

    class engines:  # noqa: N801 - stands in for an attribute
        labels = {"quality": "none@1"}

    def __init__(self, answer: AssessmentRecord | Exception | None = None) -> None:
        self.answer = answer or AssessmentRecord(status="scored", category="high", score=70.0, raw_score=70.0)
        self.calls = 0

    def of(self, service: str | None) -> FakeAssessor:
        """For all services."""
        return self

    def knows(self, service: str | None) -> bool:
        """There is only one."""
        return not service

    def assess(self, data: bytes, watch: Any) -> AssessmentRecord:
        self.calls += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        with watch.stage("quality"):
            return self.answer
