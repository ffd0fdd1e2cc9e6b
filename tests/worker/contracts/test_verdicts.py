"""A verdict says what it was made of, keeps secrets to itself, and can be made smaller."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.helpers import NOW, verdict
from worker.contracts.public_url import public_url
from worker.contracts.verdicts import (
    OMISSIBLE,
    AdjustmentRecord,
    AssessmentRecord,
    BackgroundRecord,
    QualityVerdict,
    Reason,
    SignalsRecord,
    without,
)

WHOLE: dict[str, Any] = {
    "status": "scored",
    "category": "medium",
    "score": 45.0,
    "raw_score": 80.0,
    "reason": None,
    "adjustments": [AdjustmentRecord(rule="keywords", before=80, after=45, evidence={"keywords": ["salary"]})],
    "explanation": ["keywords salary: 80.0 -> 45.0"],
    "signals": SignalsRecord(
        width=10, height=10, aspect_ratio=1, background=BackgroundRecord(share=0, border_share=0, roughness=0, edge=0)
    ),
    "metadata": {"team": "x"},
    "service": "housing",
    "uploaded_at": NOW,
    "url": "https://example.com/a.jpg",
}


def test_each_part_can_be_left_out_and_is_named() -> None:
    """In the order given, the verdict gets smaller with each, can be read again, and what a program acts on stays."""
    left = verdict(**WHOLE)
    for count, part in enumerate(OMISSIBLE, 1):
        smaller = without(left, part)
        assert len(smaller.model_dump_json()) - len(part) - 3 < len(left.model_dump_json())
        assert smaller.omitted == list(OMISSIBLE[:count])
        assert QualityVerdict.model_validate_json(smaller.model_dump_json()) == smaller
        left = smaller
    assert (left.metadata, left.url, left.explanation, left.signals) == ({}, None, [], None)
    assert [(step.rule, step.evidence) for step in left.adjustments] == [("keywords", {})]
    assert (left.category, left.score, left.service, left.uploaded_at) == ("medium", 45.0, "housing", NOW)
    assert without(left, "url").omitted == list(OMISSIBLE)


def test_other_parts_cannot_be_left_out() -> None:
    """A verdict without its category is none."""
    with pytest.raises(ValueError, match="category"):
        without(verdict(), "category")


@pytest.mark.parametrize("part", OMISSIBLE)
def test_what_repeats_are_answered_from_is_whole(part: str) -> None:
    """Metadata and URL belong to the event; the rest belongs to the bytes, and another event must get all of it."""
    assert verdict(**WHOLE).assessment_is_whole
    assert without(verdict(**WHOLE), part).assessment_is_whole == (part in {"metadata", "url"})


def test_an_assessment_holds_nothing_of_the_event() -> None:
    """It answers other events, of other senders."""
    assert set(AssessmentRecord.model_fields).isdisjoint(
        {"service", "uploaded_at", "url", "omitted", "metadata", "image_id", "event_id"}
    )
    assert "housing" not in verdict(**WHOLE).assessment.model_dump_json()


def test_verdicts_of_older_workers_can_be_read() -> None:
    """Fields only grow."""
    new = {"service", "uploaded_at", "url", "omitted"}
    old = QualityVerdict.model_validate_json(verdict(**WHOLE).model_dump_json(exclude=new))
    assert (old.service, old.uploaded_at, old.url, old.omitted) == (None, None, None, [])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com/a b.jpg?sig=secret#part", "https://example.com/a b.jpg"),
        ("https://user:secret@example.com:8443/a.jpg", "https://example.com:8443/a.jpg"),
        ("https://secret@x@example.com/@user/img@2x.jpg", "https://example.com/@user/img@2x.jpg"),
        ("https://[2001:db8::1]:80/a", "https://[2001:db8::1]:80/a"),
        ("https://example.com", "https://example.com"),
        ("https://example.com#secret", "https://example.com"),
        ("s3://bucket/key@2x.jpg?versionId=secret", "s3://bucket/key@2x.jpg"),
        ("file:///pictures/a.jpg", "file:///pictures/a.jpg"),
        ("a.jpg", "a.jpg"),
        ("", ""),
        ("https://user:secret/1@example.com/a.jpg", None),
        ("https://user:secret?1@example.com/a.jpg", None),
        ("https:/user:secret@example.com/a.jpg", None),
        ("//user:secret@example.com/a.jpg", None),
        ("https://user:secret\\@example.com/a.jpg", "https://example.com/a.jpg"),
        ("user:secret@http://example.com/a.jpg", None),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str | None) -> None:
    """Verdicts are read by many; a signature or a password in a URL is for the host alone."""
    assert public_url(url) == shown


@given(st.text(alphabet="htp:/@?#[]\\.secr %1", max_size=40) | st.text())
def test_no_url_raises(url: str) -> None:
    """Whatever a sender calls a URL."""
    shown = public_url(url)
    assert shown is None or not {"?", "#"} & set(shown)


@given(st.text(alphabet="ab1%:!$&'()*+,;=~", min_size=1, max_size=12), st.text(alphabet="ab1%", min_size=1, max_size=12))
def test_no_well_formed_credentials_are_shown(name: str, path: str) -> None:
    """Everything that RFC 3986 allows before the ``@``."""
    assert public_url(f"https://{name}@example.com/{path}") == f"https://example.com/{path}"


@pytest.mark.parametrize("told", ["\ud800", "a\r\nb\x00\x1b[31m\x85\u2028", "x" * 100_000, "\x7f" * 2000])
def test_details_can_always_be_written(told: str) -> None:
    """They quote hosts, files and libraries: one that cannot be written would be the worker's failure."""
    detail = Reason(code="connection_broken", detail=told).detail
    assert len(detail) <= 1000
    assert detail.isprintable()
    made = verdict(reason={"code": "connection_broken", "detail": told})
    assert QualityVerdict.model_validate_json(made.model_dump_json()) == made
