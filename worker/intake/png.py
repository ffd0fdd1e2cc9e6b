"""PNG: the header by its own chunks, the pixels without those that no pixel depends on (W3C PNG, third edition)."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from worker.errors import PictureError
from worker.intake.animation import first_seen
from worker.intake.exif import orientation
from worker.intake.faults import fault
from worker.intake.header import Header, Pixels
from worker.intake.inflate import count_inflated
from worker.intake.rgb import to_rgb

__all__ = ["decode", "read_header"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PALETTE = 3
MOST_PARTS = 4096
"""Chunks of pixels that are handed on one by one; more of them are made one."""
_HEAD = struct.Struct(">I4s")
"""Of a chunk: the bytes that it holds, and its kind."""
_END = b"\0\0\0\0IEND\xaeB`\x82"

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of each pass the first row and column, and the steps between rows and columns."""


@dataclass
class _Chunks:
    """What a file holds; chunks of pixels as they are, with length and checksum."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    palette: bytes = b""
    transparency: bytes = b""
    exif: bytes = b""
    animated: bool = False
    cut: bool = False
    data: list[memoryview] = field(default_factory=list)

    @property
    def is_transparent_in_16_bits(self) -> bool:
        """Whether one colour of 16 bits a channel is transparent."""
        return self.depth == 16 and bool(self.transparency)

    def rebuilt(self) -> bytes:
        """The picture alone."""
        size = self.width.to_bytes(4) + self.height.to_bytes(4)
        parts = [SIGNATURE, _chunk(b"IHDR", size + bytes([self.depth, self.colour, 0, 0, int(self.interlaced)]))]
        if self.palette:
            parts.append(_chunk(b"PLTE", self.palette))
        # One that is longer than the palette is invalid as a whole (libpng).
        if self.transparency and not (self.colour == _PALETTE and len(self.transparency) > len(self.palette) // 3):
            parts.append(_chunk(b"tRNS", self.transparency))
        data = self.data if len(self.data) <= MOST_PARTS else [memoryview(b"".join(self.data))]
        return b"".join([*parts, *(_chunk(b"IDAT", part) for part in data), _END])

    def bytes_wanted(self) -> int:
        """That the rows of all passes take, each with its filter's number."""
        bits = self.depth * CHANNELS[self.colour]
        passes = ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for row, column, rows, columns in passes:
            width, height = -(-(self.width - column) // columns), -(-(self.height - row) // rows)
            if width > 0 and height > 0:
                total += height * (1 + -(-width * bits // 8))
        return total


def read_header(data: bytes) -> Header:
    """The header of a PNG; nothing is decoded for it.

    Raises:
        PictureError: ``unsupported_format``, ``truncated`` or ``damaged``.

    """
    if data[12:16] == b"CgBI":
        what = "a PNG as Apple packs it into apps (CgBI), which nothing else shows"
        raise PictureError("unsupported_format", f"{what}: export it as an ordinary PNG and send that")
    chunks = _read(data)
    return Header("PNG", chunks.width, chunks.height, str(chunks.colour), orientation(chunks.exif))


def decode(data: bytes, _: Header) -> Pixels:
    """Pixels as stored; of an animation that begins blank, its first frame that is not.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    chunks = _read(data)
    if not chunks.data:
        raise fault("PNG", cut=True)
    still = chunks.rebuilt()
    try:
        if chunks.is_transparent_in_16_bits:
            return to_rgb(_with_alpha(still, chunks))
        with Image.open(io.BytesIO(still), formats=["PNG"]) as image:
            image.load()
            if chunks.colour == 0 and chunks.depth in {2, 4} and "transparency" in image.info:
                # Pillow spreads the levels to 8 bits, and not the one that is transparent.
                image.info["transparency"] = image.info["transparency"] * 255 // ((1 << chunks.depth) - 1)
            if chunks.interlaced or chunks.cut or not np.asarray(image.crop((0, image.height - 1, *image.size))).any():
                _require_rows(chunks)
            pixels = to_rgb(image)
    except (MemoryError, PictureError):
        raise
    except Exception as error:  # the library raises whatever it stumbles over
        raise fault("PNG", cut=chunks.cut or _is_short(chunks)) from error
    return first_seen(data, "PNG", pixels) if chunks.animated else pixels


def _with_alpha(still: bytes, chunks: _Chunks) -> Image.Image:
    """Pillow does not know a transparent colour of 16 bits; libpng, within OpenCV, knows that of three channels."""
    found = cv2.imdecode(np.frombuffer(still, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise ValueError
    values = np.asarray(found, np.uint16)
    eight = np.asarray(values >> 8, np.uint8)
    if values.ndim == 3:
        return Image.fromarray(np.ascontiguousarray(eight[:, :, [2, 1, 0, 3][: values.shape[2]]]))
    clear = values == int.from_bytes(chunks.transparency[:2])
    return Image.fromarray(np.dstack([eight, np.where(clear, 0, 255).astype(np.uint8)]))


def _require_rows(chunks: _Chunks) -> None:
    """A decoder leaves rows black that the data do not hold; rows that are not black, the last ones, were there."""
    if _is_short(chunks):
        raise fault("PNG", cut=True)


def _is_short(chunks: _Chunks) -> bool:
    wanted = chunks.bytes_wanted()
    try:
        return count_inflated(chunks.data, wanted) < wanted
    except zlib.error:
        return False


def _read(data: bytes) -> _Chunks:
    parts = _walk(data)
    kind, body, whole = next(parts, (b"", memoryview(b""), False))
    if kind != b"IHDR" or len(body) != 13 or not whole:
        raise fault("PNG", cut=len(data) < 33)
    width, height = int.from_bytes(body[:4]), int.from_bytes(body[4:8])
    depth, colour, compression, filtering, interlace = body[8:13]
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31) or depth not in DEPTHS.get(colour, ()):
        raise fault("PNG", cut=False)
    if compression or filtering or interlace > 1:
        raise fault("PNG", cut=False)
    found = _Chunks(width, height, depth, colour, bool(interlace))
    for kind, body, whole in parts:
        found.cut |= not whole
        if kind == b"IDAT":
            found.data.append(body)
        elif whole and kind == b"PLTE":
            found.palette = found.palette or bytes(body[: len(body) // 3 * 3][:768])
        elif whole and kind == b"tRNS":
            found.transparency = found.transparency or bytes(body[:256])
        elif whole and kind == b"eXIf":
            found.exif = found.exif or bytes(body).removeprefix(b"Exif\0\0")
        elif kind == b"acTL":
            found.animated = True
    return found


def _walk(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Chunks up to the last: kind, body, and whether the body is all there. Checksums are the decoder's to look at.

    Empty ones are passed over: they say nothing, and a file could hold millions.
    """
    view, at, last = memoryview(data), len(SIGNATURE), len(data) - 8
    while at <= last:
        length, kind = _HEAD.unpack_from(data, at)
        if length:
            body = view[at + 8 : at + 8 + length]
            yield kind, body, len(body) == length
        if kind == b"IEND":
            return
        at += 12 + length


def _chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4)
