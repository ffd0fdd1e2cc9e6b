"""JPEG: whole, and only whole. libjpeg would fill what is missing with grey and call it a picture."""

from __future__ import annotations

import re

import numpy as np
import simplejpeg

from worker.errors import PictureError
from worker.intake import pillow_formats
from worker.intake.header import SCALED_LONGEST, Header, Pixels

__all__ = ["decode", "jpeg_is_whole", "read_header", "takes_turns"]

_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_EOI, _SOS = 0xD9, 0xDA


def read_header(data: bytes) -> Header:
    """The header of a JPEG.

    Raises:
        PictureError: ``not_an_image`` or ``too_many_pixels``.

    """
    return pillow_formats.read_header(data, "JPEG")


def takes_turns(header: Header) -> bool:
    """Whether it is decoded alone if it is large: those that libjpeg scales need little memory."""
    return header.mode not in {"RGB", "L"}


def decode(data: bytes, header: Header) -> Pixels:
    """Pixels as stored, scaled by the decoder where the picture is large.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    if not jpeg_is_whole(data):
        raise PictureError("truncated", "the JPEG ends before its end marker")
    if takes_turns(header):
        return pillow_formats.decode(data, header)
    longest = max(header.width, header.height)
    scale = min(1.0, SCALED_LONGEST / longest) if longest >= 2 * SCALED_LONGEST else 1.0
    sides = {"min_width": max(1, round(header.width * scale)), "min_height": max(1, round(header.height * scale))}
    options = {**sides, "min_factor": 1} if scale < 1 else {}
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True, **options), dtype=np.uint8)
    except ValueError as error:
        # Some cameras leave padding between segments; nothing is missing then.
        if "extraneous bytes" not in str(error):
            raise PictureError("damaged", f"the JPEG's data is damaged: {error}") from error
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=False, **options), dtype=np.uint8)
    except ValueError as error:
        raise PictureError("damaged", f"the JPEG's data is damaged: {error}") from error


def jpeg_is_whole(data: bytes) -> bool:
    """Whether a JPEG's end marker follows its scans. Thumbnails inside the header have markers of their own and do not count.

    Walks segments by their lengths and scans by their markers (ITU-T T.81, annex B).
    """
    at, scans = 2, 0
    while found := _MARKER.search(data, at):
        marker, at = found.group(1)[0], found.end()
        if marker == _EOI:
            return scans > 0
        if marker in {0xD8, 0x01}:
            continue
        if marker == _SOS:
            scans += 1
        if at + 2 > len(data):
            return False
        at += int.from_bytes(data[at : at + 2])
    return False
