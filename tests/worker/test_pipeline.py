"""One event's path: fetched, perhaps known, judged, or told why not."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from engines.errors import EngineError
from tests.worker.helpers import NOW, FakeAssessor, event
from worker.contracts.verdicts import AssessmentRecord
from worker.errors import FetchFailedError, PictureError
from worker.pipeline import Pipeline

DATA = b"bytes of a picture"
SHA = hashlib.sha256(DATA).hexdigest()


class Known:
    """A cache that knows one answer."""

    def __init__(self, answer: AssessmentRecord) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def get(self, fingerprint: str, sha256: str) -> AssessmentRecord | None:
        self.asked.append((fingerprint, sha256))
        return self.answer


def pipeline(assessor: Any, data: bytes | Exception = DATA, cache: Any = None) -> Pipeline:
    def fetch(_: str) -> bytes:
        if isinstance(data, Exception):
            raise data
        return data

    return Pipeline(fetch, assessor, cache)


def test_scored() -> None:
    """The verdict carries the event's ids and metadata, the bytes' hash, and what judged them."""
    verdict = pipeline(FakeAssessor()).judge(event(metadata={"team": "x"}))
    assert (verdict.image_id, verdict.event_id, verdict.metadata) == ("a1", "e-a1", {"team": "x"})
    assert (verdict.status, verdict.category, verdict.score) == ("scored", "high", 70.0)
    assert (verdict.content_sha256, verdict.fingerprint, verdict.profile) == (SHA, "f1", "recruitment@1")
    assert set(verdict.latency_ms) == {"fetch", "repeat", "quality", "total"}


def test_a_verdict_says_what_it_was_made_of() -> None:
    """Whose upload, when, and from where, without what only the host should see. A failed fetch gets them too."""
    sent = event(url="https://u:p@example.com/a.jpg?sig=secret#x", service="housing")
    for data in (DATA, FetchFailedError("http_not_found", "gone")):
        verdict = pipeline(FakeAssessor(), data).judge(sent)
        assert (verdict.service, verdict.uploaded_at, verdict.url) == ("housing", NOW, "https://example.com/a.jpg")
        assert verdict.omitted == []
        assert "secret" not in verdict.model_dump_json()


def test_repeats_cost_no_inference() -> None:
    """What is known of these bytes under this fingerprint is the answer, for whatever image."""
    known = Known(AssessmentRecord(status="scored", category="low", score=7, raw_score=9))
    assessor = FakeAssessor()
    verdict = pipeline(assessor, cache=known).judge(event("another"))
    assert (verdict.category, verdict.score, verdict.image_id) == ("low", 7, "another")
    assert known.asked == [("f1", SHA)]
    assert assessor.calls == 0
    assert "quality" not in verdict.latency_ms


@pytest.mark.parametrize(
    ("data", "answer", "given", "code", "sha"),
    [
        (FetchFailedError("http_not_found", "gone"), None, None, "http_not_found", None),
        (b"", None, None, "empty_body", None),
        (DATA, PictureError("truncated", "half"), None, "truncated", SHA),
        (DATA, None, "0" * 64, "sha256_mismatch", SHA),
    ],
)
def test_unscorable(data: Any, answer: Any, given: str | None, code: str, sha: str | None) -> None:
    """Nobody downstream waits for ever: there is a verdict with a reason."""
    verdict = pipeline(FakeAssessor(answer), data).judge(event(sha256=given))
    assert verdict.status == "unscorable"
    assert verdict.reason is not None
    assert verdict.reason.code == code
    assert (verdict.category, verdict.score, verdict.content_sha256) == (None, None, sha)


def test_matching_hash_in_any_case() -> None:
    """Producers write hexadecimal as they like."""
    assert pipeline(FakeAssessor()).judge(event(sha256=SHA.upper())).status == "scored"


def test_failing_engines_say_nothing_about_a_picture() -> None:
    """They are the system's fault, and no verdict."""
    with pytest.raises(EngineError):
        pipeline(FakeAssessor(EngineError("out of memory"))).judge(event())
