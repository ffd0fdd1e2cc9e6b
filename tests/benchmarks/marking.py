"""Makes bytes that were never judged before of pictures that were."""

from __future__ import annotations

import struct
import zlib

__all__ = ["marked"]


def marked(data: bytes, number: int) -> bytes:
    """``data`` with ``number`` where no pixel depends on it: bytes that were never judged before."""
    note = b"bench %d" % number
    if data[:2] == b"\xff\xd8":
        return data[:2] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + data[2:]
    if data[:4] == b"RIFF":
        chunk = b"NOTE" + struct.pack("<I", len(note)) + note + bytes(len(note) % 2)
        return data[:4] + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:] + chunk
    text = b"tEXt" + b"Comment\0" + note
    return data[:-12] + struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)) + data[-12:]
