"""BMP with masks that Pillow does not know: 4 bits a channel, 10, or any other (BITMAPV3INFOHEADER, BI_BITFIELDS)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from worker.errors import PictureError
from worker.intake import pillow_formats
from worker.intake.faults import fault
from worker.intake.header import Header, Pixels
from worker.intake.rgb import to_rgb

__all__ = ["decode", "read_header"]

MASKS = "masks"
"""The mode of those that are decoded here."""
_BITFIELDS = (3, 6)
_MOST_SIDE = 1 << 31
STRIP_ROWS = 256


@dataclass(frozen=True)
class _Fields:
    start: int
    width: int
    height: int
    bits: int
    masks: tuple[int, ...]
    upside_down: bool

    @property
    def row_bytes(self) -> int:
        """Of a row; rows begin at multiples of four bytes."""
        return -(-self.width * self.bits // 32) * 4


def read_header(data: bytes) -> Header:
    """The header of a BMP.

    Raises:
        PictureError: ``truncated``, ``damaged`` or ``too_many_pixels``.

    """
    try:
        return pillow_formats.read_header(data, "BMP")
    except PictureError as error:
        if error.code == "too_many_pixels" or (fields := _fields(data)) is None:
            raise
        return Header("BMP", fields.width, fields.height, MASKS, 1)


def decode(data: bytes, header: Header) -> Pixels:
    """Pixels as they lie.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    fields = _fields(data) if header.mode == MASKS else None
    if fields is None:
        return pillow_formats.decode(data, header)
    if fields.start + fields.row_bytes * fields.height > len(data):
        raise fault("BMP", cut=True)
    whole = np.frombuffer(data, np.uint8, fields.row_bytes * fields.height, fields.start).reshape(fields.height, -1)
    rows = whole if fields.upside_down else whole[::-1]
    pixels = np.empty((fields.height, fields.width, len(fields.masks)), np.uint8)
    # In strips: the words of 50 million pixels would take 200 MB, and as much again for each channel.
    for top in range(0, fields.height, STRIP_ROWS):
        part = np.ascontiguousarray(rows[top : top + STRIP_ROWS])
        words = part.view("<u2" if fields.bits == 16 else "<u4")[:, : fields.width]
        for number, mask in enumerate(fields.masks):
            pixels[top : top + STRIP_ROWS, :, number] = _channel(words, mask)
    # Alpha that is zero everywhere means that the writer did not care.
    has_alpha = len(fields.masks) == 4 and pixels[:, :, 3].any()
    return to_rgb(Image.fromarray(pixels if has_alpha else np.ascontiguousarray(pixels[:, :, :3])))


def _channel(words: np.ndarray[tuple[int, ...], np.dtype[np.uint32]], mask: int) -> Pixels:
    if mask == 0:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    return np.asarray(((words & mask) >> shift).astype(np.float32) * np.float32(255 / most) + np.float32(0.5), np.uint8)


def _fields(data: bytes) -> _Fields | None:
    """The header, if it is one with masks."""
    if len(data) < 66:
        return None

    def number(at: int, size: int = 4) -> int:
        return int.from_bytes(data[at : at + size], "little")

    header_size, width, height, bits = number(14), number(18), number(22), number(28, 2)
    upside_down = height >= _MOST_SIDE
    height = (1 << 32) - height if upside_down else height
    if header_size < 40 or number(30) not in _BITFIELDS or bits not in {16, 32}:
        return None
    if not (0 < width < _MOST_SIDE and 0 < height < _MOST_SIDE):
        return None
    has_alpha = header_size >= 56 or number(30) == 6
    masks = tuple(number(54 + 4 * n) for n in range(4 if has_alpha and len(data) >= 70 and number(66) else 3))
    joined = [mask >> ((mask & -mask).bit_length() - 1) if mask else 0 for mask in masks]
    # Bits of a mask are neighbours.
    if any(mask >= 1 << bits for mask in masks) or any(part & (part + 1) for part in joined) or not any(masks[:3]):
        return None
    return _Fields(number(10), width, height, bits, masks, upside_down)
