"""Records as they are read, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from worker.stream.incoming import Header, Record
from worker.stream.ledger import Outgoing

__all__ = ["as_read", "record"]


def record(body: bytes | None = b"{}", headers: Iterable[Header] = (), key: bytes | None = b"a1") -> Record:
    """A record of the uploads topic."""
    return Record("image.uploads", 0, 7, key, body, tuple(headers), 1_700_000_000_000)


def as_read(sent: Outgoing) -> Record:
    """A record that was published, as it is read from its topic."""
    headers = tuple((name, value.encode() if isinstance(value, str) else value) for name, value in sent.headers)
    return Record(sent.topic, 3, 99, sent.key, sent.value, headers, 1_700_000_000_000)
