"""A record as it was read: once, whole, and checked.

Anybody may write to the topics, so nothing about a record is taken for granted. Header names that are not UTF-8 are the trap:
``Message.headers()`` then returns a list that holds a NULL, and walking through it may end the process. CPython refuses such an
answer where a function is called through ``operator.methodcaller``, which is why that is the only way in which headers are read
(https://github.com/confluentinc/confluent-kafka-python/issues/1191).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from confluent_kafka import Message

from worker.contracts.cloudevents import header_map, parse_event
from worker.contracts.events import ImageUploaded
from worker.contracts.trace_context import TraceContext, find_context, without_context
from worker.errors import EventError
from worker.stream.outgoing import Span

__all__ = ["Header", "Record", "event_in", "read_record"]

Header = tuple[str, bytes | None]

PREFIX = "iqa_"
"""Of headers that workers add; a sender's own of that name would be taken for them."""

MOST_DIGITS = 14

_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
"""Names of topics, and numbers. What a sender writes in their place is not carried on: it may be of any size."""

OVERHEAD = 100
"""Bytes that an event costs beside its own: offsets, lengths, objects."""

_headers_of: Callable[[Message], Any] = operator.methodcaller("headers")


@dataclass(frozen=True)
class Record:
    """One record of a topic.

    Attributes:
        timestamp_ms: milliseconds since 1970, as its producer or broker gave it; negative if there is none.
        unreadable: why its headers could not be read, else ``None``. ``headers`` is empty then.
        span: of the work on it, where there is tracing; ``traced`` gives it.

    """

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = field(default=None, repr=False)
    headers: tuple[Header, ...] = field(default=(), repr=False)
    timestamp_ms: int = -1
    unreadable: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)

    @cached_property
    def trace_context(self) -> TraceContext | None:
        """The trace that it belongs to, by its headers or by CloudEvents' extension; ``None`` if it names none."""
        return find_context(self.texts, self.value)

    @cached_property
    def texts(self) -> dict[str, str]:
        """Its headers as text, names in lower case."""
        return header_map(self.headers)

    def traced(self, context: TraceContext, span: Span) -> Record:
        """The same for ``span`` to work on, with its ``context`` in the headers: what is made of it carries that on."""
        return replace(self, headers=(*without_context(self.headers), *context.headers), span=span)

    @cached_property
    def size(self) -> int:
        """Bytes that it takes: key, body and headers, and what each record costs."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers + OVERHEAD

    @cached_property
    def own(self) -> dict[str, str]:
        """What workers have noted on it: ``iqa_`` headers, without that prefix."""
        return {
            name.removeprefix(PREFIX): (value or b"").decode("utf-8", "replace")
            for name, value in self.headers
            if name.startswith(PREFIX)
        }

    def number(self, name: str, default: int = 0) -> int:
        """A number that workers have noted. Anybody may send headers: no plain number of up to 14 digits is as good as none."""
        value = self.own.get(name, "")
        return int(value) if value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS else default

    @property
    def attempt(self) -> int:
        """How often the event was tried before: 0 for one from the uploads topic."""
        return self.number("attempt")

    @property
    def written_s(self) -> float | None:
        """When it was written to its topic (seconds since 1970)."""
        return self.timestamp_ms / 1000 if self.timestamp_ms >= 0 else None

    @property
    def born_s(self) -> float | None:
        """When the event was first written to the uploads topic (seconds since 1970), retries notwithstanding.

        A replay is a new beginning: nobody has waited for it since its first one.
        """
        first = self.number("timestamp", self.timestamp_ms) if self.attempt else self.timestamp_ms
        return first / 1000 if first >= 0 else None

    @property
    def sender_headers(self) -> list[Header]:
        """The headers that the sender gave."""
        return [header for header in self.headers if not header[0].startswith(PREFIX)]

    @property
    def some_key(self) -> bytes:
        """The key, or where the record lies: a key is never empty."""
        return self.key or f"{self.topic}/{self.partition}/{self.offset}".encode()

    @property
    def origin(self) -> dict[str, Any]:
        """Topic, partition, offset and time that it first had, retries and replays notwithstanding."""
        here = {"topic": self.topic, "partition": self.partition, "offset": self.offset, "timestamp": self.timestamp_ms}
        noted = {name: self.own.get(name, "") for name in here}
        return {name: noted[name] if _PLAIN.fullmatch(noted[name]) else value for name, value in here.items()}

    @property
    def replays(self) -> dict[str, int]:
        """How often it was replayed, as a header for its next record; nothing, if it never was."""
        return {"replays": self.number("replays")} if "replays" in self.own else {}


def event_in(record: Record, most_bytes: int) -> ImageUploaded:
    """The upload event that ``record`` is, of ``most_bytes`` at most.

    Raises:
        EventError: it is none.

    """
    if record.unreadable is not None:
        raise EventError("unreadable_headers", f"its headers cannot be read: {record.unreadable}")
    if record.size > most_bytes:
        raise EventError("event_too_large", f"{record.size} bytes, at most {most_bytes} are taken")
    return parse_event(record.value, record.texts)


def read_record(message: Message) -> Record:
    """Take over all that a message carries. Never raises for anything that a sender may have written."""
    headers: tuple[Header, ...] = ()
    unreadable: str | None = None
    try:
        found = _headers_of(message) or ()
        headers = tuple((name, _bytes(value)) for name, value in (found.items() if isinstance(found, dict) else found))
    except Exception as error:  # SystemError by CPython's check, UnicodeDecodeError by the library, and what may yet come
        unreadable = str(error.__cause__ or error)[:200] or type(error).__name__
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=headers,
        timestamp_ms=message.timestamp()[1],
        unreadable=unreadable,
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
