"""A record to publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Outgoing", "Span"]


class Span(Protocol):
    """The span of the work on one event, where there is tracing. It may be over already."""

    @property
    def exemplar(self) -> Mapping[str, str] | None:
        """Labels that name it in metrics; ``None`` if nobody will find it, since it was not sampled."""


@dataclass(frozen=True)
class Outgoing:
    """A record to publish. The key is never empty: a compacted topic refuses that."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, str | bytes | None]]
    note: Callable[[], object] | None = field(default=None, compare=False, repr=False)
    """Called once it is durable: what is counted is what was published."""
    span: Span | None = field(default=None, compare=False, repr=False)
    """Of the work that made it; the span of its sending is a child of that."""

    @property
    def size(self) -> int:
        """Bytes, as far as a broker's bound on records is concerned: framing included, generously."""
        headers = sum(len(name) + len(value or b"") + 10 for name, value in self.headers)
        return len(self.key) + len(self.value or b"") + headers + 100
