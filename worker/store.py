"""Verdicts and assessments in Redis: keys, the cache that answers repeats, and the reader for other services.

    iqa:verdict:{image_id}               verdict, JSON
    iqa:content:{fingerprint}:{sha256}   assessment, JSON
    iqa:projection                       which filling of this Redis it is, see ``VerdictWriter.generation``

Only the projection writes; everything here but ``VerdictWriter`` reads.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import redis
import structlog
from pydantic import ValidationError

from worker.contracts.verdicts import AssessmentRecord, QualityVerdict
from worker.errors import CacheError
from worker.settings import RedisSettings

__all__ = ["REUSABLE_CODES", "ContentCache", "VerdictReader", "VerdictWriter", "connect", "content_key", "verdict_key"]

log = structlog.get_logger()

REUSABLE_CODES = frozenset({"not_an_image", "too_many_pixels", "truncated", "damaged"})
"""Reasons that lie in the bytes themselves: the same bytes will fail in the same way."""

GENERATION_KEY = "iqa:projection"

BREAK_S = 5.0
"""Seconds without questions to a Redis that failed: events must not each wait for a time-out."""


def verdict_key(image_id: str) -> str:
    """Where an image's latest verdict lies."""
    return f"iqa:verdict:{image_id}"


def content_key(fingerprint: str, sha256: str) -> str:
    """Where the assessment of given bytes under a given fingerprint lies."""
    return f"iqa:content:{fingerprint}:{sha256}"


def connect(settings: RedisSettings) -> redis.Redis | None:
    """A client, or ``None`` if no URL is set. Connects on first use.

    Raises:
        CacheError: the URL is none.

    """
    url = settings.resolved_url()
    if not url:
        return None
    try:
        return redis.Redis.from_url(url, socket_timeout=settings.timeout_s, socket_connect_timeout=settings.timeout_s)
    except ValueError as error:
        raise CacheError(f"IQA_REDIS__URL: {error}") from error


class ContentCache:
    """Answers repeats. A Redis that is away only means that repeats are judged again."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._silent_until = 0.0

    def get(self, fingerprint: str, sha256: str) -> AssessmentRecord | None:
        """The known assessment of these bytes, or ``None``."""
        if time.monotonic() < self._silent_until:
            return None
        try:
            found = self._client.get(content_key(fingerprint, sha256))
        except redis.RedisError as error:
            self._silent_until = time.monotonic() + BREAK_S
            log.warning("redis_away", error=type(error).__name__, silent_s=BREAK_S)
            return None
        try:
            return AssessmentRecord.model_validate_json(found) if isinstance(found, bytes) else None
        except ValidationError:
            log.warning("cache_entry_unreadable", sha256=sha256)
            return None


class VerdictWriter:
    """Writes verdicts, and what repeats are answered from."""

    def __init__(self, client: redis.Redis, settings: RedisSettings) -> None:
        self._client = client
        self._settings = settings

    def write(self, verdicts: Iterable[QualityVerdict]) -> None:
        """Write all, in order, in one round trip; a later verdict on an image replaces an earlier one.

        Times to live begin when a verdict was produced: one that is over by now is not written.

        Raises:
            CacheError: Redis is away or refuses; some may have been written, writing all again is safe.

        """
        now = datetime.now(UTC)
        with self._client.pipeline(transaction=False) as batch:
            for verdict in verdicts:
                age = max(0, int((now - verdict.produced_at).total_seconds()))
                if age < self._settings.verdict_ttl_s:
                    left = self._settings.verdict_ttl_s - age
                    batch.set(verdict_key(verdict.image_id), verdict.model_dump_json(), ex=left)
                if age < self._settings.content_ttl_s and _reusable(verdict) and verdict.content_sha256:
                    key = content_key(verdict.fingerprint, verdict.content_sha256)
                    batch.set(key, verdict.assessment.model_dump_json(), ex=self._settings.content_ttl_s - age)
            try:
                batch.execute()
            except redis.RedisError as error:
                raise CacheError(f"Redis does not take verdicts: {error}") from error

    def generation(self) -> str:
        """A name of what Redis holds now: it changes when Redis has lost everything, and by ``renew``.

        Raises:
            CacheError: Redis is away or refuses.

        """
        try:
            found = self._client.get(GENERATION_KEY)
            if found is None:
                # Several ask at once after a loss: all take the first one's.
                self._client.set(GENERATION_KEY, uuid.uuid4().hex, nx=True)
                found = self._client.get(GENERATION_KEY)
        except redis.RedisError as error:
            raise CacheError(f"Redis does not answer: {error}") from error
        if not isinstance(found, bytes):
            raise CacheError(f"Redis does not keep {GENERATION_KEY}")
        return found.decode("utf-8", "replace")

    def renew(self) -> str:
        """Begin a new generation: every projection then writes everything once more.

        Raises:
            CacheError: Redis is away or refuses.

        """
        name = uuid.uuid4().hex
        try:
            self._client.set(GENERATION_KEY, name)
        except redis.RedisError as error:
            raise CacheError(f"Redis does not answer: {error}") from error
        return name


def _reusable(verdict: QualityVerdict) -> bool:
    return verdict.assessment_is_whole and (verdict.reason is None or verdict.reason.code in REUSABLE_CODES)


class VerdictReader:
    """What the ranking service reads with: one, many, or wait for one."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def get(self, image_id: str) -> QualityVerdict | None:
        """The latest verdict on an image, or ``None`` if there is none (yet, or any more).

        Raises:
            CacheError: Redis is away.

        """
        return self.get_many([image_id])[image_id]

    def get_many(self, image_ids: Sequence[str]) -> dict[str, QualityVerdict | None]:
        """The latest verdict on each image, in one round trip.

        Raises:
            CacheError: Redis is away.

        """
        if not image_ids:
            return {}
        try:
            found = self._client.mget([verdict_key(image_id) for image_id in image_ids])
        except redis.RedisError as error:
            raise CacheError(f"Redis does not answer: {error}") from error
        if not isinstance(found, list):
            raise CacheError("Redis gave no list of values")
        parsed = (None if body is None else QualityVerdict.model_validate_json(body) for body in found)
        return dict(zip(image_ids, parsed, strict=True))

    def wait_for(self, image_id: str, timeout_s: float) -> QualityVerdict | None:
        """The verdict on an image, waited for up to ``timeout_s``; ``None`` if it did not come.

        Raises:
            CacheError: Redis is away.

        """
        end, pause, nobody = time.monotonic() + timeout_s, 0.02, threading.Event()
        while (verdict := self.get(image_id)) is None and (left := end - time.monotonic()) > 0:
            nobody.wait(min(left, pause * random.uniform(0.8, 1.2)))
            pause = min(0.5, 1.5 * pause)
        return verdict
