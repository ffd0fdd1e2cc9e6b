"""From bytes to upright RGB pixels: recognised, measured by the header alone, and only then decoded.

``recognise`` tells the format by the first bytes; the format's module reads its header and decodes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np

from engines.preprocess import fit_longest
from worker.errors import PictureError
from worker.intake import avif, bmp, heif, jpeg, jpegxl, pillow_formats, png, tiff, webp
from worker.intake.exif import upright
from worker.intake.header import SCALED_LONGEST, Header, Picture, Pixels
from worker.intake.recognise import recognise

__all__ = ["DECODING", "MOST_BYTES", "Header", "Picture", "decode", "probe"]

DECODING = "upright-rgb-scaled1000@4"
"""Names this package's behaviour inside fingerprints: raise it when equal bytes may give other pixels."""

MOST_BYTES = 3 * (2 * SCALED_LONGEST) ** 2
"""Of a ``Picture``'s pixels."""

LARGE_PIXELS = 12_000_000
"""Larger pictures in formats that cannot be scaled while they are decoded take turns: 50 million pixels of WebP need 800 MB."""

_LARGE = threading.Lock()


@dataclass(frozen=True)
class _Codec:
    """How one format is read.

    Attributes:
        read_header: from the bytes, without decoding anything.
        decode: pixels as stored, of at most some 2,000 on the longest side if the format can be scaled.
        takes_turns: whether a picture of it is decoded alone if it is large.

    """

    read_header: Callable[[bytes], Header]
    decode: Callable[[bytes, Header], Pixels]
    takes_turns: Callable[[Header], bool] = lambda _: True


_CODECS = {
    "JPEG": _Codec(jpeg.read_header, jpeg.decode, jpeg.takes_turns),
    "PNG": _Codec(png.read_header, png.decode),
    "WEBP": _Codec(webp.read_header, webp.decode),
    "GIF": _Codec(partial(pillow_formats.read_header, name="GIF"), pillow_formats.decode),
    "BMP": _Codec(bmp.read_header, bmp.decode),
    "HEIF": _Codec(heif.read_header, heif.decode),
    "AVIF": _Codec(avif.read_header, avif.decode),
    "TIFF": _Codec(tiff.read_header, tiff.decode),
    "JXL": _Codec(jpegxl.read_header, jpegxl.decode),
}


def probe(data: bytes, max_pixels: int) -> Header:
    """Read the header of ``data``.

    Raises:
        PictureError: ``not_an_image``, ``unsupported_format`` or ``too_many_pixels``.

    """
    header = _CODECS[recognise(data)].read_header(data)
    if header.width * header.height > max_pixels:
        raise PictureError(
            "too_many_pixels", f"{header.width} x {header.height}, at most {max_pixels} pixels are decoded: send it smaller"
        )
    return header


def decode(data: bytes, max_pixels: int, large: AbstractContextManager[object] = _LARGE) -> Picture:
    """Decode ``data``: rotated upright, 16 bits to 8, any colour mode to RGB, transparency on a backdrop.

    ``large`` is held while a large picture is decoded; by default a lock of this process.

    Raises:
        PictureError: ``not_an_image``, ``unsupported_format``, ``too_many_pixels``, ``truncated`` or ``damaged``.

    """
    header = probe(data, max_pixels)
    codec = _CODECS[header.format]
    waits = header.width * header.height > LARGE_PIXELS and codec.takes_turns(header)
    with large if waits else nullcontext():
        pixels = codec.decode(data, header)
    turned = header.orientation >= 5
    return Picture(
        pixels=np.ascontiguousarray(upright(fit_longest(pixels, 2 * SCALED_LONGEST), header.orientation)),
        width=header.height if turned else header.width,
        height=header.width if turned else header.height,
        format=header.format,
    )
