"""Verdicts and assessments in Redis: keys, the cache that answers repeats, and the reader for other services.

    iqa:verdict:{image_id}               verdict, JSON
    iqa:content:{fingerprint}:{sha256}   assessment, JSON
    iqa:projection:...                   how far the topic has been written, see ``worker.redis_writer``

Only the projection writes; everything here but ``VerdictWriter`` reads.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from worker.contracts.verdicts import AssessmentRecord, QualityVerdict
from worker.errors import CacheError
from worker.redis_client import REDIS_ERRORS, Client, cache_error, connect
from worker.redis_writer import Command, Partition, Place, RedisWriter
from worker.settings import RedisSettings

__all__ = [
    "REUSABLE_CODES",
    "Change",
    "ContentCache",
    "VerdictReader",
    "VerdictWriter",
    "connect",
    "content_key",
    "verdict_key",
]

log = structlog.get_logger()

REUSABLE_CODES = frozenset({"not_an_image", "too_many_pixels", "truncated", "damaged"})
"""Reasons that lie in the bytes themselves: the same bytes will fail in the same way."""

FRESH_S = 300.0
"""A verdict that is older when it is written comes from a rebuild, or from a projection that was behind."""

CLOCKS_S = 60.0
"""By how much the clocks of two workers may differ: what is older by less is written in the topic's order."""

BREAK_S = 5.0
"""Seconds without questions to a Redis that failed: events must not each wait for a time-out."""


def verdict_key(image_id: str) -> str:
    """Where an image's latest verdict lies."""
    return f"iqa:verdict:{image_id}"


def content_key(fingerprint: str, sha256: str) -> str:
    """Where the assessment of given bytes under a given fingerprint lies."""
    return f"iqa:content:{fingerprint}:{sha256}"


class ContentCache:
    """Answers repeats. A Redis that is away only means that repeats are judged again."""

    def __init__(self, client: Client, on_answer: Callable[[str], object] = lambda _: None) -> None:
        """``on_answer`` is told what came of each question: ``hit``, ``miss`` or ``error``."""
        self._client = client
        self._on_answer = on_answer
        self._silent_until = 0.0

    def get(self, fingerprint: str, sha256: str) -> AssessmentRecord | None:
        """The known assessment of these bytes, or ``None``."""
        told, found = self._look(content_key(fingerprint, sha256))
        self._on_answer(told)
        return found

    def _look(self, key: str) -> tuple[str, AssessmentRecord | None]:
        if time.monotonic() < self._silent_until:
            return "error", None
        try:
            found = self._client.get(key)
        except REDIS_ERRORS as error:
            self._silent_until = time.monotonic() + BREAK_S
            told = cache_error(self._client, error, type(error).__name__)
            log.warning("redis_away", error=str(told), silent_s=BREAK_S)
            return "error", None
        if not isinstance(found, bytes):
            return "miss", None
        try:
            return "hit", AssessmentRecord.model_validate_json(found)
        except ValidationError:
            log.warning("cache_entry_unreadable", key=key)
            return "error", None


@dataclass(frozen=True)
class Change:
    """One record of the verdicts topic: a verdict with its JSON, or a tombstone (no verdict, empty JSON)."""

    image_id: bytes
    verdict: QualityVerdict | None = None
    body: bytes = b""

    @classmethod
    def of(cls, key: str | bytes | None, value: str | bytes | None) -> Change:
        """What a record of the topic says.

        Raises:
            ValueError: nothing that can be read; pydantic's own are of this kind.

        """
        if value is not None:
            body = value if isinstance(value, bytes) else value.encode()
            verdict = QualityVerdict.model_validate_json(body)
            return cls(verdict.image_id.encode(), verdict, body)
        if not key:
            raise ValueError("neither key nor value")
        return cls(key if isinstance(key, bytes) else key.encode())

    @classmethod
    def to(cls, verdict: QualityVerdict) -> Change:
        """A verdict that has no JSON yet."""
        return cls(verdict.image_id.encode(), verdict, verdict.model_dump_json().encode())


class VerdictWriter:
    """Writes verdicts, what repeats are answered from, and how far the topic has been written."""

    def __init__(self, client: Client, settings: RedisSettings, on_write: Callable[[float], object] = lambda _: None) -> None:
        """``on_write`` is told the seconds that each batch took."""
        self._client = client
        self._settings = settings
        self._on_write = on_write
        self._writer = RedisWriter(client)

    def write(self, verdicts: Iterable[QualityVerdict]) -> None:
        """Write verdicts that come from no topic; see ``apply``.

        Raises:
            CacheError: Redis is away or refuses.

        """
        self.apply([Change.to(verdict) for verdict in verdicts], {}, {})

    def apply(
        self, changes: Iterable[Change], before: Mapping[Partition, Place | None], after: Mapping[Partition, Place]
    ) -> None:
        """Write all, in order, in one go; a later record on an image replaces or deletes an earlier one.

        A verdict is kept as it came: fields that a newer worker has added are not lost. Times to live begin when a verdict was
        produced: one that is over by now is not written.

        Args:
            changes: in the topic's order.
            before: what Redis must say of the places that change.
            after: the places once all is written.

        Raises:
            CacheError: Redis is away or refuses; some may have been written, writing all again is safe.
            DisplacedError: Redis says other places.

        """
        now, changes = datetime.now(UTC), list(changes)
        began = time.monotonic()
        try:
            newest = self._newest(changes, now)
            commands = [command for change in changes for command in self._commands(change, now, newest)]
            self._writer.write(commands, before, after)
            self._on_write(time.monotonic() - began)
        except REDIS_ERRORS as error:
            raise cache_error(self._client, error, "Redis does not take verdicts") from error

    def _newest(self, changes: Sequence[Change], now: datetime) -> dict[bytes, datetime]:
        """When verdicts were produced that Redis holds on images, if an old one is about to be written there.

        Only then: each partition has its verdicts in order, and what is fresh is the latest. An image that was judged before
        and after partitions were added has verdicts in two, and a rebuild may come to the older one last.
        """
        verdicts = [change.verdict for change in changes if change.verdict is not None]
        old = dict.fromkeys(each.image_id for each in verdicts if (now - each.produced_at).total_seconds() > FRESH_S)
        found = self._client.mget([verdict_key(image_id) for image_id in old]) if old else []
        return {key.encode(): at for key, body in zip(old, found, strict=True) if (at := _produced_at(body)) is not None}

    def _commands(self, change: Change, now: datetime, newest: dict[bytes, datetime]) -> Iterator[Command]:
        key, verdict = b"iqa:verdict:" + change.image_id, change.verdict
        if verdict is None:
            newest.pop(change.image_id, None)
            yield "DEL", key
            return
        age = max(0, int((now - verdict.produced_at).total_seconds()))
        known = newest.get(change.image_id)
        outdated = known is not None and (known - verdict.produced_at).total_seconds() > CLOCKS_S
        if age < self._settings.verdict_ttl_s and not outdated:
            newest[change.image_id] = verdict.produced_at
            yield "SET", key, change.body, "EX", self._settings.verdict_ttl_s - age
        if age < self._settings.content_ttl_s and _reusable(verdict) and verdict.content_sha256:
            content = content_key(verdict.fingerprint, verdict.content_sha256)
            yield "SET", content, verdict.assessment.model_dump_json(), "EX", self._settings.content_ttl_s - age

    def places(self, partitions: Collection[Partition]) -> dict[Partition, Place | None]:
        """How far each partition has been written, by what Redis holds now; ``None``: nothing is known to be there.

        Raises:
            CacheError: Redis is away or refuses.

        """
        try:
            return self._writer.places(partitions)
        except REDIS_ERRORS as error:
            raise cache_error(self._client, error, "Redis does not answer") from error

    def reset(self, partitions: Iterable[Partition]) -> None:
        """Have every projection write these partitions once more.

        Raises:
            CacheError: Redis is away or refuses.

        """
        try:
            self._writer.reset(partitions)
        except REDIS_ERRORS as error:
            raise cache_error(self._client, error, "Redis does not answer") from error


def _reusable(verdict: QualityVerdict) -> bool:
    return verdict.assessment_is_whole and (verdict.reason is None or verdict.reason.code in REUSABLE_CODES)


class VerdictReader:
    """What the ranking service reads with: one, many, or wait for one."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(self, image_id: str) -> QualityVerdict | None:
        """The latest verdict on an image, or ``None`` if there is none (yet, or any more).

        Raises:
            CacheError: Redis is away, or holds what is no verdict.

        """
        (body,) = self._bodies([image_id])
        return None if body is None else _read(image_id, body)

    def get_many(self, image_ids: Sequence[str]) -> dict[str, QualityVerdict | None]:
        """The latest verdict on each image, in one round trip; ``None`` also, with a line in the log, for what is no verdict.

        Raises:
            CacheError: Redis is away.

        """
        found: dict[str, QualityVerdict | None] = {}
        for image_id, body in zip(image_ids, self._bodies(image_ids), strict=True):
            try:
                found[image_id] = None if body is None else _read(image_id, body)
            except CacheError as error:
                log.error("verdict_unreadable", image_id=image_id, error=str(error))
                found[image_id] = None
        return found

    def wait_for(self, image_id: str, timeout_s: float) -> QualityVerdict | None:
        """The verdict on an image, waited for up to ``timeout_s``; ``None`` if it did not come.

        Raises:
            CacheError: Redis is away, or holds what is no verdict.

        """
        end, pause, nobody = time.monotonic() + timeout_s, 0.02, threading.Event()
        while (verdict := self.get(image_id)) is None and (left := end - time.monotonic()) > 0:
            nobody.wait(min(left, pause * random.uniform(0.8, 1.2)))
            pause = min(0.5, 1.5 * pause)
        return verdict

    def _bodies(self, image_ids: Sequence[str]) -> list[bytes | None]:
        if not image_ids:
            return []
        try:
            found = self._client.mget([verdict_key(image_id) for image_id in image_ids])
        except REDIS_ERRORS as error:
            raise cache_error(self._client, error, "Redis does not answer") from error
        return [body.encode() if isinstance(body, str) else body for body in found]


def _produced_at(body: object) -> datetime | None:
    """When a verdict in Redis was produced; ``None`` for nothing, and for what is no verdict."""
    if not isinstance(body, bytes | str):
        return None
    try:
        return QualityVerdict.model_validate_json(body).produced_at
    except ValidationError:
        return None


def _read(image_id: str, body: bytes) -> QualityVerdict:
    try:
        return QualityVerdict.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CacheError(
            f"what Redis holds on {image_id} is no verdict: {where}: {first['msg']}".replace(": : ", ": ")
        ) from error
