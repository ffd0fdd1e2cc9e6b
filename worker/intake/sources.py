"""Chooses how a URL's bytes are had, and tries again where a failure may pass."""

from __future__ import annotations

import os
import random
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit

from worker.errors import FetchFailedError
from worker.intake.http_source import HttpSource
from worker.settings import FetchSettings, S3Settings

if TYPE_CHECKING:
    from worker.intake.s3_source import S3Source

__all__ = ["Fetcher", "read_file"]

BACKOFF_S = 0.2


class Fetcher:
    """Fetches http, https and, from allowed buckets and folders, s3 and file URLs."""

    def __init__(self, settings: FetchSettings, s3: S3Settings | None = None) -> None:
        self._settings = settings
        self._http = HttpSource(settings)
        self._s3 = _s3_source(s3, settings)
        self._folders = tuple(folder.resolve() for folder in settings.allow_files)
        self._closing = threading.Event()

    def fetch(self, url: str) -> bytes:
        """The bytes behind ``url``.

        Raises:
            FetchFailedError: they cannot be had, not even by trying ``attempts`` times where that may help.

        """
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return self._once(url)
            except FetchFailedError as error:
                if not error.transient or attempt == self._settings.attempts:
                    raise
                self._closing.wait(BACKOFF_S * attempt * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, url: str) -> bytes:
        scheme = url.partition(":")[0].lower()
        if scheme == "s3":
            if self._s3 is None:
                raise FetchFailedError("bucket_refused", "objects are taken only from buckets in IQA_S3__BUCKETS")
            return self._s3.fetch(url)
        if scheme != "file":
            return self._http.fetch(url)
        # Without folders nothing is looked up: a path may lead to a file system that hangs.
        path = _file_path(url) if self._folders else None
        if path is None or not any(path.is_relative_to(folder) for folder in self._folders):
            raise FetchFailedError("file_refused", "file URLs are taken only from IQA_FETCH__ALLOW_FILES")
        return read_file(path, self._settings.max_bytes)

    def close(self) -> None:
        """Close connections; waits between attempts end at once."""
        self._closing.set()
        self._http.close()


def _file_path(url: str) -> Path:
    """The file that a ``file:`` URL names (RFC 8089), links followed; escapes stand for bytes, whatever they spell."""
    try:
        return Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path))).resolve()
    except (ValueError, OSError, RuntimeError) as error:
        # Null bytes, brackets that are no host, names that are too long, links that lead to themselves.
        raise FetchFailedError("invalid_url", "the URL names no file that can be") from error


def _s3_source(settings: S3Settings | None, limits: FetchSettings) -> S3Source | None:
    if settings is None or not settings.buckets:
        return None
    # The client is a large library: loaded only where it is used.
    from worker.intake.s3_source import S3Source

    return S3Source(settings, limits)


def read_file(path: Path, most: int) -> bytes:
    """A file's bytes, at most ``most``.

    Raises:
        FetchFailedError: ``file_not_found``, ``file_unreadable``, ``too_many_bytes``.

    """
    # A file system's names are bytes; what is said of them must be text.
    name = os.fsencode(path.name).decode("utf-8", "replace")
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            # A pipe would be waited for, a device read for ever.
            raise FetchFailedError("file_unreadable", f"{name} is no regular file")
        if found.st_size > most:
            raise FetchFailedError("too_many_bytes", f"{found.st_size} bytes, at most {most} are taken")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FetchFailedError("file_not_found", f"{name} does not exist") from error
    except OSError as error:
        raise FetchFailedError("file_unreadable", f"{name}: {error.strerror}") from error
