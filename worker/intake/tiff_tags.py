"""The tags of a TIFF's first page (TIFF 6.0, section 2; BigTIFF), read without trusting any of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["Tags", "read_tags"]

Tags = dict[int, Sequence[int]]
"""Whole numbers of each tag; of text its bytes."""

TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "B", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Types that hold whole numbers or text, as ``struct`` calls them."""
MOST_TAGS = 4096


def read_tags(data: bytes) -> Tags | None:
    """The tags of the first page; ``None`` if it is no TIFF, or ends before they do."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return None

    def number(at: int, code: str) -> int:
        return int(struct.unpack_from(order + code, data, at)[0])

    big = number(2, "H") == 43
    start = number(8, "Q") if big else number(4, "I")
    first, entry_size, value, room = (8, 20, "Q", 8) if big else (2, 12, "I", 4)
    if not 8 <= start <= len(data) - first:
        return None
    count = number(start, "Q" if big else "H")
    if not 0 < count <= MOST_TAGS or start + first + count * entry_size > len(data):
        return None
    tags: Tags = {}
    # Values of a good file are no longer than the file, all of them together.
    left = len(data)
    for at in range(start + first, start + first + count * entry_size, entry_size):
        code, values = TYPES.get(number(at + 2, "H")), number(at + 4, value)
        if code is None or number(at, "H") in tags:
            continue
        size = struct.calcsize(order + code) * values
        place = at + entry_size - room if size <= room else number(at + entry_size - room, value)
        if size <= left and place + size <= len(data):
            left -= size
            whole = code == "B"
            tags[number(at, "H")] = (
                data[place : place + size] if whole else struct.unpack_from(f"{order}{values}{code}", data, place)
            )
    return tags
