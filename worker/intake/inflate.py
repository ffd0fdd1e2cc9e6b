"""Counting what Deflate data (RFC 1950, RFC 1951) hold, without keeping it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

__all__ = ["count_inflated"]

PIECE = 1 << 16
"""Bytes that are handed on at a time. What a call leaves is copied: with whole files that would be most of the work."""


def count_inflated(parts: Iterable[memoryview], wanted: int) -> int:
    """Bytes that ``parts`` hold together, counted until there are as many as ``wanted``.

    Raises:
        zlib.error: they are no Deflate data, or their checksum is wrong, as far as they were read.

    """
    inflate, count = zlib.decompressobj(), 0
    for part in parts:
        for at in range(0, len(part), PIECE):
            rest: bytes | memoryview = part[at : at + PIECE]
            while rest and count < wanted and not inflate.eof:
                count += len(inflate.decompress(rest, 16 * PIECE))
                rest = inflate.unconsumed_tail
            if count >= wanted or inflate.eof:
                return count
    return count + len(inflate.flush())
