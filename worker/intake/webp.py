"""WebP: its picture chunks alone, with sizes as they are (RIFF container of WebP, developers.google.com/speed/webp).

libwebp refuses a file that is cut within the EXIF behind its picture, and one whose outer size is wrong. No pixel depends on
either.
"""

from __future__ import annotations

from collections.abc import Iterator

from worker.intake import pillow_formats
from worker.intake.header import Header, Pixels

__all__ = ["decode", "read_header"]

PICTURES = {b"VP8 ", b"VP8L"}
KEPT = {b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", *PICTURES}
EXTENDED_BYTES = 10
ANIMATED, HAS_EXIF, HAS_ALPHA = 0x02, 0x08, 0x10
"""Flags of the extended header."""


def read_header(data: bytes) -> Header:
    """The header of a WebP.

    Raises:
        PictureError: ``truncated``, ``damaged`` or ``too_many_pixels``.

    """
    return pillow_formats.read_header(_plain(data), "WEBP")


def decode(data: bytes, header: Header) -> Pixels:
    """The picture; of an animation that begins blank, its first frame that is not.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    return pillow_formats.decode(_plain(data), header)


def _plain(data: bytes) -> bytes:
    """The same picture without what no pixel depends on; as it is where not even a picture is whole."""
    chunks = list(_whole_chunks(data))
    kinds = {kind for kind, _ in chunks}
    if not kinds & {*PICTURES, b"ANMF"}:
        return data
    if chunks[0][0] == b"VP8X" and len(chunks[0][1]) >= EXTENDED_BYTES:
        flags = chunks[0][1][0] & (ANIMATED | HAS_ALPHA) | (HAS_EXIF if b"EXIF" in kinds else 0)
        chunks[0] = (b"VP8X", bytes([flags]) + chunks[0][1][1:])
    body = b"".join(kind + len(part).to_bytes(4, "little") + part + bytes(len(part) % 2) for kind, part in chunks)
    return b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body


def _whole_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Those that matter and are all there, in their order; of several pictures the first, behind which there is only EXIF."""
    at, seen = 12, False
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + length > len(data):
            return
        if kind in KEPT and not (seen and kind in PICTURES):
            yield kind, data[at + 8 : at + 8 + length]
        seen |= kind in PICTURES
        at += 8 + length + length % 2
