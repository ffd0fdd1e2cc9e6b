"""JPEG XL, by libjxl through ``imagecodecs``: it refuses what ends too early, and turns pictures as their header says.

The size stands at the beginning of the codestream (ISO/IEC 18181-1, annex D), bit by bit. The codestream is the file, or lies
in the boxes of a container (ISO/IEC 18181-2, clause 9).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from imagecodecs import jpegxl_decode
from numpy.typing import NDArray
from PIL import Image

from worker.errors import PictureError
from worker.intake import boxes
from worker.intake.faults import fault
from worker.intake.header import Header, Pixels
from worker.intake.rgb import shrunk, to_rgb

__all__ = ["decode", "read_header"]

CODESTREAM = b"\xff\x0a"
NAME = "JPEG XL"
MOST_HEADER = 64
"""Bytes of the codestream that are looked at: size and orientation take 12."""
RATIOS = ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, by the number that stands for it, less one."""
LENGTHS = (9, 13, 18, 30)
"""Bits of a side, less one, by what the two bits before it say."""
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class _ShortError(Exception):
    """The codestream ends within its header."""


class _Bits:
    """Numbers of a codestream; the lowest bit of each byte comes first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise _ShortError
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return found

    def length(self, *, of_eights: bool) -> int:
        return 8 * (1 + self.take(5)) if of_eights else 1 + self.take(LENGTHS[self.take(2)])


def read_header(data: bytes) -> Header:
    """The header of a JPEG XL file, its size as it is shown, turned already; nothing is decoded.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    stream = _codestream(data)
    if not stream.startswith(CODESTREAM):
        raise fault(NAME, cut=len(data) < MOST_HEADER)
    bits = _Bits(stream[2:])
    try:
        of_eights = bool(bits.take(1))
        height = bits.length(of_eights=of_eights)
        ratio = bits.take(3)
        if ratio:
            of_width, of_height = RATIOS[ratio - 1]
            width = height * of_width // of_height
        else:
            width = bits.length(of_eights=of_eights)
        # Metadata: none but the usual ones; else more than the usual ones; then the orientation, less one.
        turned = not bits.take(1) and bool(bits.take(1)) and bits.take(3) >= 4
    except _ShortError as error:
        raise fault(NAME, cut=True) from error
    if turned:
        width, height = height, width
    return Header("JXL", width, height, "", 1)


def decode(data: bytes, header: Header) -> Pixels:
    """The picture, or an animation's first frame, upright; of more than 8 bits the upper 8.

    Raises:
        PictureError: ``truncated``, ``damaged``, or ``unsupported_format`` for colours that are no grey or RGB.

    """
    try:
        found = jpegxl_decode(data, index=0, numthreads=1)
    except MemoryError:
        raise
    except Exception as error:  # libjxl's errors, and what the wrapper stumbles over
        raise fault(NAME, cut="NEED_MORE_INPUT" in str(error)) from error
    values = np.asarray(found)[..., None] if np.ndim(found) == 2 else np.asarray(found)
    if values.ndim != 3 or values.shape[2] not in MODES:
        raise PictureError("unsupported_format", "a JPEG XL of more colours than red, green and blue: send it as JPEG or PNG")
    if values.shape[:2] != (header.height, header.width):
        raise fault(NAME, cut=False)
    eight = np.ascontiguousarray(_to_eight_bits(values))
    if eight.shape[2] == 3:
        return shrunk(eight)
    mode = MODES[eight.shape[2]]
    return to_rgb(Image.frombuffer(mode, (eight.shape[1], eight.shape[0]), eight, "raw", mode, 0, 1))


def _to_eight_bits(values: NDArray[Any]) -> Pixels:
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    return (np.nan_to_num(values.astype(np.float32), nan=0.0).clip(0, 1) * 255).astype(np.uint8)


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream; empty if there is none."""
    if data.startswith(CODESTREAM):
        return data[:MOST_HEADER]
    found = b""
    for kind, start, end in boxes.outermost(data):
        if kind == b"jxlc":
            return data[start:end][:MOST_HEADER]
        if kind == b"jxlp":
            # A part begins with its number.
            found += data[start + 4 : end][:MOST_HEADER]
            if len(found) >= MOST_HEADER:
                break
    return found
