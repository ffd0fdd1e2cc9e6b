"""A URL as it may be shown to others."""

from __future__ import annotations

import re

__all__ = ["public_url"]

_HOST_AND_PORT = re.compile(r"(\[[^\[\]@]*\]|[^:@\[\]\\]*)(:[0-9]*)?")

_NO_TEXT = re.compile("[\ud800-\udfff]")
"""What stands for bytes of a file's name that are no text, and no encoding takes."""


def public_url(url: str) -> str | None:
    """``url`` without user name, password, query string and fragment; ``None`` if it cannot be told where those end.

    Signed URLs carry their right in the query string. Works on any string and never raises: it is no check of the URL.
    """
    scheme, colon, rest = re.split(r"[?#]", _NO_TEXT.sub("\ufffd", url), maxsplit=1)[0].partition("://")
    if not colon:
        # Without "//" nothing says which part is the host; what stands before an "@" may be a password.
        return None if "@" in url else scheme
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if not _HOST_AND_PORT.fullmatch(host) or "@" in scheme:
        return None
    return f"{scheme}://{host}{slash}{path}"
