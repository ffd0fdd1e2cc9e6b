"""AVIF, by libavif and dav1d through Pillow.

Turning: ``irot`` and ``imir`` say how a picture is shown; Pillow tells them as if they were EXIF's orientation, in place of it.
EXIF itself is taken out before: libavif refuses a picture whose EXIF is rubbish.
"""

from __future__ import annotations

import io

from PIL import AvifImagePlugin, Image

from worker.errors import PictureError
from worker.intake import boxes
from worker.intake.header import Header, Pixels
from worker.intake.heif import check_size, check_whole, header_fault
from worker.intake.pillow_formats import how_it_lies
from worker.intake.rgb import to_rgb

__all__ = ["decode", "read_header"]

HOLE = 32
"""Zeros in a row that coded data, which look random, do not hold."""
# A child has one core; each thread of dav1d's holds frames of its own.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def read_header(data: bytes) -> Header:
    """The header of an AVIF; nothing is decoded.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    with _open(data) as image:
        return Header("AVIF", image.width, image.height, image.mode, how_it_lies(image))


def decode(data: bytes, _: Header) -> Pixels:
    """The picture, or a sequence's first frame, as stored; of 10 and 12 bits the upper 8.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    check_whole(data, "AVIF")
    _check_coded_data(data)
    with _open(data) as image:
        try:
            image.load()
            return to_rgb(image)
        except MemoryError:
            raise
        except Exception as error:
            raise PictureError("damaged", "the AVIF's data cannot be decoded: send it again, or as JPEG") from error


def _open(data: bytes) -> Image.Image:
    if b"mif3" in boxes.brands(data):
        raise PictureError(
            "unsupported_format", "an AVIF with the short header of 2024: send it as JPEG, or as an ordinary AVIF"
        )
    check_size(data)
    try:
        return Image.open(io.BytesIO(boxes.with_merged_associations(boxes.without_metadata(data))), formats=["AVIF"])
    except MemoryError:
        raise
    except Exception as error:  # libavif's errors, and what the plugin stumbles over
        raise header_fault(data, "AVIF", "send it again, or as JPEG") from error


def _check_coded_data(data: bytes) -> None:
    """Refuse holes: dav1d takes zeros for data."""
    for item, coded in boxes.coded_items(data):
        if item.kind == b"av01" and bytes(HOLE) in coded:
            raise PictureError("damaged", "a part of the AVIF is missing or overwritten: send it again, or as JPEG")
