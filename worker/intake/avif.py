"""AVIF, by libavif and dav1d through Pillow.

Turning: ``irot`` and ``imir`` say how a picture is shown; Pillow tells them as if they were EXIF's orientation, in place of it.
"""

from __future__ import annotations

import io

from PIL import AvifImagePlugin, Image

from worker.errors import PictureError
from worker.intake import boxes
from worker.intake.header import Header, Pixels
from worker.intake.heif import check_whole
from worker.intake.rgb import to_rgb

__all__ = ["decode", "read_header"]

ORIENTATION = 0x0112
# A child has one core; each thread of dav1d's holds frames of its own.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def read_header(data: bytes) -> Header:
    """The header of an AVIF; nothing is decoded.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    with _open(data) as image:
        return Header("AVIF", image.width, image.height, image.mode, _orientation(image))


def decode(data: bytes, header: Header) -> Pixels:
    """The picture, or a sequence's first frame, as stored; of 10 and 12 bits the upper 8.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    check_whole(data, "AVIF")
    with _open(data) as image:
        try:
            image.load()
            return to_rgb(image)
        except MemoryError:
            raise
        except Exception as error:
            raise PictureError("damaged", "the AVIF's data cannot be decoded: send it again, or as JPEG") from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=["AVIF"])
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", "more pixels by its header than are ever decoded: send it smaller") from error
    except Exception as error:  # libavif's errors, and what the plugin stumbles over
        check_whole(data, "AVIF")
        raise PictureError("damaged", "the AVIF's header cannot be read: send it again, or as JPEG") from error


def _orientation(image: Image.Image) -> int:
    """From where Pillow puts it: ``getexif`` would look into XMP as well."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        value = exif.get(ORIENTATION, 1)
    except Exception:  # EXIF of a good picture may be rubbish: then it lies as it is stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
