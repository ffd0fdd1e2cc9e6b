"""Stand-ins for records of Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class FakeMessage:
    """As much of a record as workers look at."""

    body: bytes = b"{}"
    headers_: list[tuple[str, str | bytes | None]] = field(default_factory=list)
    topic_: str = "image.uploads"
    partition_: int = 0
    offset_: int = 7
    key_: bytes | None = b"a1"

    def value(self) -> bytes:
        return self.body

    def key(self) -> bytes | None:
        return self.key_

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return self.headers_

    def topic(self) -> str:
        return self.topic_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def error(self) -> None:
        return None
