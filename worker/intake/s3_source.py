"""Bytes from object stores that speak S3: ``s3://bucket/key``, from buckets that the settings name and no others.

A worker's credentials may open more than its senders should see. So buckets are listed, and none is by default.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from worker.errors import FetchFailedError
from worker.settings import FetchSettings, S3Settings

__all__ = ["S3Source"]


class S3Source:
    """Fetches objects; safe to use from many threads.

    Raises:
        SettingsError: a file with credentials cannot be read.

    """

    def __init__(self, settings: S3Settings, limits: FetchSettings) -> None:
        self._limits = limits
        self._stores = {bucket: _store(bucket, settings, limits) for bucket in settings.buckets}

    def fetch(self, url: str) -> bytes:
        """The object that ``url`` names: the bucket, a slash, and the key as it is, without any escaping.

        Raises:
            FetchFailedError: with a code that the worker's README lists; ``transient`` if trying again may help.

        """
        bucket, _, key = url.partition("://")[2].partition("/")
        if not bucket or not key:
            raise FetchFailedError("invalid_url", "s3 URLs are s3://bucket/key")
        store = self._stores.get(bucket)
        if store is None:
            raise FetchFailedError("bucket_refused", "objects are taken only from buckets in IQA_S3__BUCKETS")
        try:
            return self._read(store, key)
        except FileNotFoundError as error:
            raise FetchFailedError("object_not_found", f"bucket {bucket} has no such object") from error
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise FetchFailedError("object_forbidden", f"bucket {bucket} does not let this worker read it") from error
        except (InvalidPathError, ValueError) as error:
            # ValueError: "..", empty segments, control characters.
            raise FetchFailedError("invalid_url", "the object's key cannot be") from error
        except (BaseError, OSError) as error:
            # What the client says may hold the whole request; the bucket is all that a verdict needs to name.
            late = "kind: Timeout" in str(error)
            code, what = ("fetch_timeout", "took too long") if late else ("store_failed", "failed")
            raise FetchFailedError(code, f"the store of bucket {bucket} {what}", transient=True) from error

    def _read(self, store: S3Store, key: str) -> bytes:
        end, most = time.monotonic() + self._limits.total_timeout_s, self._limits.max_bytes
        found = store.get(key)
        size = int(found.meta["size"])
        if size > most:
            raise FetchFailedError("too_many_bytes", f"{size} bytes, at most {most} are taken")
        body = bytearray()
        for part in found.stream(min_chunk_size=1 << 20):
            body += part
            if len(body) > most:
                raise FetchFailedError("too_many_bytes", f"more than {most} bytes")
            if time.monotonic() > end:
                raise FetchFailedError("fetch_timeout", "the object took too long", transient=True)
        return bytes(body)


def _store(bucket: str, settings: S3Settings, limits: FetchSettings) -> S3Store:
    given: dict[str, Any] = {"endpoint": settings.endpoint, "region": settings.region}
    given |= {"access_key_id": settings.access_key_id, "secret_access_key": settings.secret()}
    options = {name: value for name, value in given.items() if value is not None}
    if settings.anonymous:
        options["skip_signature"] = True
    return S3Store(
        bucket,
        **options,
        virtual_hosted_style_request=settings.endpoint is None,
        client_options={
            "connect_timeout": timedelta(seconds=limits.connect_timeout_s),
            "timeout": timedelta(seconds=limits.total_timeout_s),
            "allow_http": bool(settings.endpoint and settings.endpoint.startswith("http://")),
        },
        # Attempts are counted by the fetcher, for every kind of source.
        retry_config={"max_retries": 0},
    )
