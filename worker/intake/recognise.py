"""Which format a file is in, by its first bytes alone: names and types that senders give are often wrong."""

from __future__ import annotations

from worker.errors import PictureError

__all__ = ["FORMATS", "recognise"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "HEIF", "AVIF", "TIFF")
"""What is decoded."""


def recognise(data: bytes) -> str:
    """The format of ``data``, one of ``FORMATS``.

    Raises:
        PictureError: ``not_an_image`` or ``unsupported_format``, naming what was found and what to do.

    """
    for name, start in (("JPEG", b"\xff\xd8"), ("PNG", b"\x89PNG\r\n\x1a\n"), ("GIF", b"GIF8"), ("BMP", b"BM")):
        if data.startswith(start):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] in (b"II*\0", b"MM\0*",b"II+\0", b"MM\0+"): return "TIFF"
    if data[4:8]==b"ftyp": return "AVIF" if b"avif" in data[:40] or b"avis" in data[:40] else "HEIF"
    raise PictureError("not_an_image", f"not one of {', '.join(FORMATS)}, or its header is damaged")
