"""HEIF with HEVC inside (HEIC, what iPhones and newer Samsung phones write), by libheif and libde265 through ``pi_heif``.

Turning: ``irot`` and ``imir`` say how a picture is shown, and libheif follows them. EXIF's orientation tells how the camera was
held and is not followed, as in libheif's own programs and libvips: most phones write both, and following both turns twice.
"""

from __future__ import annotations

import re
from typing import Any

import pi_heif
from pi_heif import HeifFile

from worker.errors import PictureError
from worker.intake import boxes
from worker.intake.faults import fault
from worker.intake.header import Header, Pixels
from worker.intake.pillow_formats import MOST_PIXELS
from worker.intake.rgb import to_rgb

__all__ = ["check_size", "check_whole", "decode", "header_fault", "read_header"]

# A child has one core, and nothing but the picture itself is wanted.
pi_heif.options.DECODE_THREADS = 1
pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False

OTHER_CODINGS = {
    b"av01": "AV1", b"avc1": "H.264", b"vvc1": "VVC", b"j2k1": "JPEG 2000", b"jpeg": "JPEG", b"unci": "uncompressed data",
    b"mski": "a mask", b"evc1": "EVC",
}  # fmt: skip

_FORBIDDEN = re.compile(rb"\x00\x00[\x00-\x02]")
"""Three bytes that HEVC data never hold (ITU-T H.265, 7.4.2): a hole of zeros does."""


def read_header(data: bytes) -> Header:
    """The header of a HEIF file: the size of its primary picture as it is shown, turned already; nothing is decoded.

    Raises:
        PictureError: ``unsupported_format``, ``truncated`` or ``damaged``.

    """
    coding = boxes.primary_type(data)
    if coding in OTHER_CODINGS:
        what = f"a HEIF file with {OTHER_CODINGS[coding]} inside, not HEVC as phones write it"
        raise PictureError("unsupported_format", f"{what}: export it as an ordinary JPEG and send that")
    if boxes.is_film(data):
        raise PictureError("unsupported_format", "a HEIF film without a still picture: send a still picture, as JPEG")
    _, image = _open(data)
    width, height = image.size
    return Header("HEIF", width, height, image.mode, 1)


def decode(data: bytes, _: Header) -> Pixels:
    """The primary picture, upright; of 10 and 12 bits the upper 8.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    check_whole(data, "HEIC")
    _check_coded_data(data)
    # The file is held until the pixels are copied: pi_heif 1.4.0 frees them with it (pillow_heif issue 453).
    file, image = _open(data)
    try:
        picture = image.to_pillow()
        del image, file
        return to_rgb(picture.convert("LA") if picture.mode == "La" else picture)
    except MemoryError:
        raise
    except Exception as error:
        raise PictureError("damaged", "the HEIC's data cannot be decoded: export the photo as JPEG and send that") from error


def check_whole(data: bytes, name: str) -> None:
    """Refuse a file that ends before its picture does.

    Raises:
        PictureError: ``truncated``.

    """
    end = max((stop for item in boxes.picture_items(data) for _, stop in item.spans), default=0)
    if end > len(data):
        raise PictureError("truncated", f"the {name} ends after {len(data)} of at least {end} bytes: send it again, whole")


def check_size(data: bytes) -> None:
    """Refuse a file that says that it is larger than any setting allows, and than its decoder takes.

    Raises:
        PictureError: ``too_many_pixels``.

    """
    width, height = boxes.largest(data)
    if width * height > MOST_PIXELS:
        raise PictureError(
            "too_many_pixels", f"{width} x {height}, at most {MOST_PIXELS} pixels are ever decoded: send it smaller"
        )


def header_fault(data: bytes, name: str, remedy: str) -> PictureError:
    """What is said of a file whose header its library cannot read: ``truncated`` if it is cut, else ``damaged``.

    Raises:
        PictureError: ``truncated``, where the file tells how many bytes are missing.

    """
    check_whole(data, name)
    if boxes.is_cut(data):
        return fault(name, cut=True)
    return PictureError("damaged", f"the {name}'s header cannot be read: {remedy}")


def _open(data: bytes) -> tuple[HeifFile, Any]:
    check_size(data)
    try:
        file = HeifFile(boxes.without_metadata(data))
        return file, file[file.primary_index]
    except MemoryError:
        raise
    except Exception as error:  # libheif's errors, and what the wrapper stumbles over
        raise header_fault(data, "HEIC", "export the photo as JPEG and send that") from error


def _check_coded_data(data: bytes) -> None:
    """Refuse holes. libheif leaves out a tile that cannot be decoded, without a word, and libde265 guesses what is missing."""
    for unit in boxes.coded_units(data):
        if unit is None or unit.endswith(b"\x00") or _FORBIDDEN.search(unit):
            raise PictureError("damaged", "a part of the HEIC is missing or overwritten: send it again, or as JPEG")
