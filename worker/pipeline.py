"""The path of one event, top to bottom: fetch, repeat?, decode, score, signals, rules, verdict.

One thread carries one event through ``Pipeline.judge``. What happens between bytes and assessment is in ``worker.assessor``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from worker.assessor import Assessor, unscorable
from worker.contracts.events import ImageUploaded
from worker.contracts.public_url import public_url
from worker.contracts.verdicts import AssessmentRecord, QualityVerdict
from worker.errors import FetchFailedError, PictureError, UnscorableError
from worker.repeats import Repeats
from worker.services import Assessors
from worker.stopwatch import Stopwatch
from worker.store import REUSABLE_CODES

__all__ = ["AssessmentCache", "NoCache", "Pipeline"]


class AssessmentCache(Protocol):
    """Knows what was judged before."""

    def get(self, fingerprint: str, sha256: str) -> AssessmentRecord | None:
        """The assessment of these bytes under this fingerprint, if it is known. Never raises: no answer is an answer."""


class NoCache:
    """Knows nothing."""

    def get(self, fingerprint: str, sha256: str) -> AssessmentRecord | None:
        """Always ``None``."""
        return None


class Pipeline:
    """Turns events into verdicts; safe to use from many threads.

    Args:
        fetch: the bytes behind a URL, or ``FetchFailedError``.
        assessors: judge bytes, each for its services.
        cache: answers repeats.
        on_known: told of each picture that this process answers itself: ``remembered``, or ``joined`` while it is judged.

    """

    def __init__(
        self,
        fetch: Callable[[str], bytes],
        assessors: Assessors,
        cache: AssessmentCache | None = None,
        on_known: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._fetch = fetch
        self._assessors = assessors
        self._cache = cache or NoCache()
        self._repeats = Repeats(on_known=on_known)

    def knows(self, service: str | None) -> bool:
        """Whether events of ``service`` are judged by a profile of their own; the default one judges all others."""
        return self._assessors.knows(service)

    def judge(
        self,
        event: ImageUploaded,
        *,
        final: bool = True,
        bytes_only: bool = False,
        on_fetched: Callable[[], None] = lambda: None,
    ) -> QualityVerdict:
        """The verdict on one event. Pictures that cannot be judged get one too.

        ``on_fetched`` is called once the picture's host is needed no longer, whether it gave the bytes or not. With
        ``bytes_only`` there is no verdict on a picture whose bytes cannot be had.

        Raises:
            EngineError: an engine failed; says nothing about the picture.
            FetchFailedError: for a passing reason, and it is not the ``final`` attempt; with ``bytes_only`` for any.

        """
        watch, assessor = Stopwatch(), self._assessors.of(event.service)
        sha256: str | None = None
        try:
            with watch.stage("fetch"):
                data = self._fetched(event.url, on_fetched)
            if not data:
                raise FetchFailedError("empty_body", "the file is empty: upload the picture again")
            sha256 = hashlib.sha256(data).hexdigest()
            if event.sha256 not in {None, sha256}:
                raise FetchFailedError("sha256_mismatch", f"the event names {event.sha256}, the bytes have {sha256}")
            assessment = self._repeats.get(assessor.fingerprint, sha256, partial(self._assess, assessor, data, sha256, watch))
        except UnscorableError as error:
            if isinstance(error, FetchFailedError) and (bytes_only or (error.transient and not final)):
                raise
            assessment = unscorable(error)
        return _verdict(event, assessment, assessor, sha256, watch)

    def give_up(self, event: ImageUploaded, error: UnscorableError) -> QualityVerdict:
        """The verdict on an event that will not be tried again, for ``error``'s reason."""
        return _verdict(event, unscorable(error), self._assessors.of(event.service), None, Stopwatch())

    def _fetched(self, url: str, on_fetched: Callable[[], None]) -> bytes:
        try:
            return self._fetch(url)
        finally:
            on_fetched()

    def _assess(self, assessor: Assessor, data: bytes, sha256: str, watch: Stopwatch) -> AssessmentRecord:
        """From Redis, or by the engines; what lies in the bytes themselves is an answer too."""
        with watch.stage("repeat"):
            known = self._cache.get(assessor.fingerprint, sha256)
        if known is not None:
            return known
        try:
            return assessor.assess(data, watch)
        except PictureError as error:
            if error.code not in REUSABLE_CODES:
                raise
            return unscorable(error)


def _verdict(
    event: ImageUploaded, assessment: AssessmentRecord, assessor: Assessor, sha256: str | None, watch: Stopwatch
) -> QualityVerdict:
    return QualityVerdict(
        **dict(assessment),
        image_id=event.image_id,
        event_id=event.event_id,
        content_sha256=sha256,
        fingerprint=assessor.fingerprint,
        engines=assessor.engines.labels,
        profile=assessor.profile.label,
        produced_at=datetime.now(UTC),
        latency_ms=watch.reading(),
        metadata=event.metadata,
        service=event.service,
        uploaded_at=event.uploaded_at,
        url=public_url(event.url),
    )
