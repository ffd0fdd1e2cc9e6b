"""Which URLs ``iqa send`` sends: those that a worker could fetch, whatever it is allowed to."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.errors import IqaError
from worker.settings import FetchSettings

__all__ = ["check_url"]


def check_url(url: str, settings: FetchSettings) -> None:
    """Refuse what no worker fetches; ``file:`` URLs must lie in a folder that ``settings`` allow.

    Raises:
        IqaError: one line that says what is wrong with it.

    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise IqaError(f"url {url!r}: {error}") from error
    if not url.isprintable():
        raise IqaError(f"url {url!r} holds what cannot be printed")
    if parts.scheme in {"http", "https"}:
        if not host or " " in url:
            raise IqaError(f"url {url!r} {'names no host' if not host else 'holds a space: write %20'}")
    elif parts.scheme == "s3":
        if not parts.netloc or not parts.path.strip("/"):
            raise IqaError(f"url {url!r}: s3 URLs are s3://bucket/key")
    elif parts.scheme == "file":
        path = Path(unquote(parts.path)).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in settings.allow_files):
            raise IqaError(f"url {url!r} lies in no folder that IQA_FETCH__ALLOW_FILES names")
    else:
        raise IqaError(f"url {url!r}: there are http:, https:, s3: and file: URLs")
