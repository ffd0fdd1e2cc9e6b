"""Reads URLs that senders and hosts wrote: each becomes a ``Target``, or fails with a code.

Libraries raise many things over such strings (``InvalidURL``, ``IDNAError``, ``UnicodeError``, ``ValueError``), some of them
only when a part is looked at. So every part is looked at here, once, and nothing else parses a URL of http or https.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote_from_bytes

import httpcore
import httpx

from worker.errors import FetchFailedError

__all__ = ["Target", "parse_url", "resolve_location"]

MOST_CHARACTERS = 65_536
MOST_HOST = 253
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.IGNORECASE)
_ASCII = "".join(chr(code) for code in range(0x21, 0x7F))


@dataclass(frozen=True)
class Target:
    """A URL of http or https that can be asked for."""

    url: httpx.URL = field(repr=False)
    host: str
    """In ASCII, as it is looked up (RFC 5891); an IPv6 address without brackets."""
    request: httpcore.URL = field(repr=False)
    authority: bytes = field(repr=False)
    """Host and port as the header ``Host`` names them."""


def parse_url(text: str) -> Target:
    """The target that ``text`` names.

    Raises:
        FetchFailedError: ``invalid_url`` or ``unsupported_scheme``.

    """
    if len(text) > MOST_CHARACTERS:
        raise FetchFailedError("invalid_url", f"the URL has {len(text)} characters, at most {MOST_CHARACTERS} are taken")
    try:
        return _target(httpx.URL(text))
    except FetchFailedError:
        raise
    except Exception as error:  # whatever a library raises over a string is the string's fault
        raise FetchFailedError("invalid_url", "the URL cannot be parsed") from error


def resolve_location(base: Target, location: bytes) -> Target:
    """Where a redirect from ``base`` leads: the header ``Location`` as it came, relative or not (RFC 3986, 5.2).

    Raises:
        FetchFailedError: ``invalid_url`` or ``unsupported_scheme``.

    """
    try:
        reference = location.decode()
    except UnicodeDecodeError:
        # Not text that we know: its bytes are asked for as they are, which is what the host means by them.
        reference = quote_from_bytes(location, safe=_ASCII)
    try:
        joined = str(base.url.join(reference))
    except Exception as error:  # see parse_url
        raise FetchFailedError("invalid_url", f"{base.host} redirects to a URL that cannot be parsed") from error
    return parse_url(joined)


def _target(url: httpx.URL) -> Target:
    if url.scheme not in {"http", "https"}:
        scheme = url.scheme[:20] or "no scheme"
        raise FetchFailedError("unsupported_scheme", f"{scheme}: only http, https and s3 can be fetched")
    if url.userinfo:
        # Credentials would end in logs of hosts and proxies; signed query strings are what object stores use.
        raise FetchFailedError("invalid_url", "user names and passwords in URLs are refused")
    host = url.raw_host.strip(b"[]").decode("ascii")
    if not _is_host(host):
        raise FetchFailedError("invalid_url", "the URL's host cannot be")
    if url.port is not None and not 0 < url.port < 65_536:
        raise FetchFailedError("invalid_url", "the URL's port cannot be")
    request = httpcore.URL(scheme=url.raw_scheme, host=host.encode(), port=url.port, target=url.raw_path or b"/")
    return Target(url, host, request, url.netloc)


def _is_host(name: str) -> bool:
    """Whether ``name`` can be looked up at all (RFC 1035, 2.3.4; underscores are in use), or is an IPv6 address, no zone."""
    if ":" not in name:
        labels = name.removesuffix(".").split(".")
        return len(name) <= MOST_HOST and _HOST.fullmatch(name) is not None and all(map(_spells_something, labels))
    try:
        return IPv6Address(name).scope_id is None
    except AddressValueError:
        return False


def _spells_something(label: str) -> bool:
    """Whether a label that says it is Punycode (RFC 3492) is. Not whether IDNA 2008 allows it: names of emoji are in use."""
    if not label.lower().startswith("xn--"):
        return True
    try:
        spelt = label[4:].encode().decode("punycode")
    except UnicodeError:
        return False
    return not spelt.isascii() and not any(unicodedata.category(sign) == "Cc" for sign in spelt)
