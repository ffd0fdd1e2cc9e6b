"""One row for every event: what was said before, and what is said now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.contracts.events import ImageUploaded
from worker.contracts.public_url import public_url
from worker.contracts.verdicts import QualityVerdict
from worker.rejudge.wanted import is_of
from worker.stream.incoming import Record
from worker.stream.outgoing import Outgoing

__all__ = ["RowOutgoing", "row_of"]

ROW_BYTES = 600
"""Of a row beside its adjustments, for the bound on what is in flight."""


@dataclass(frozen=True)
class RowOutgoing(Outgoing):
    """A row to write, in place of a record to publish."""

    row: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        return ROW_BYTES + len(self.row.get("adjustments") or "")


def row_of(
    record: Record, event: ImageUploaded, current: QualityVerdict | None, verdict: QualityVerdict | None, code: str | None
) -> dict[str, Any]:
    """The row of one event.

    Args:
        record: where it lies.
        event: the event.
        current: the verdict that its image has; left out where it is on another event.
        verdict: the new one; ``None`` if the picture could not be fetched.
        code: why it could not.

    """
    old = current if is_of(current, event) else None
    steps = verdict.model_dump(mode="json", include={"adjustments"})["adjustments"] if verdict else None
    reason = verdict.reason.code if verdict and verdict.reason else code
    return {
        "image_id": event.image_id,
        "event_id": event.event_id,
        "service": event.service,
        "uploaded_at": event.uploaded_at,
        "url": public_url(event.url),
        **{f"old_{name}": getattr(old, name, None) for name in ("category", "score", "fingerprint", "profile")},
        **{name: getattr(verdict, name, None) for name in ("category", "score", "raw_score", "engine_score")},
        "reason": reason,
        "adjustments": None if steps is None else json.dumps(steps, ensure_ascii=False),
        **{name: getattr(verdict, name, None) for name in ("profile", "fingerprint", "content_sha256")},
        "partition": record.partition,
        "offset": record.offset,
    }
