"""TIFF's first page, by Pillow and libtiff; what they would fill in is looked for before (TIFF 6.0, sections 3, 15 and 22)."""

from __future__ import annotations

import io
import math
import warnings
import zlib

import numpy as np
from imagecodecs import tiff_decode
from PIL import Image

from worker.errors import PictureError
from worker.intake.exif import upright
from worker.intake.faults import fault
from worker.intake.header import Header, Pixels
from worker.intake.inflate import count_inflated
from worker.intake.pillow_formats import MOST_PIXELS
from worker.intake.rgb import shrunk, to_rgb
from worker.intake.tiff_tags import Tags, read_tags

__all__ = ["decode", "read_header"]

WIDTH, HEIGHT, BITS, COMPRESSION, OFFSETS, SAMPLES, ROWS, COUNTS, PLANAR = 256, 257, 258, 259, 273, 277, 278, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, ORIENTATION = 322, 323, 324, 325, 274
COLOUR_MAP, PHOTOMETRIC = 320, 262
EXTRA, OLD_JPEG_OFFSET, OLD_JPEG_LENGTH = 338, 513, 514
NONE, OLD_JPEG, JPEG = 1, 6, 7
DEFLATE = {8, 32946}
COMPRESSIONS = {NONE, 2, 3, 4, 5, OLD_JPEG, JPEG, 8, 32773, 32946, 34925, 50000}
"""None, CCITT RLE, T.4, T.6, LZW, JPEG (old, new), Deflate (twice), PackBits, LZMA, Zstandard: what Pillow's libtiff has."""
JPEG_END = b"\xff\xd9"
MOST_SIDE = 1_000_000
NOT_SHOWN = {"I": "whole numbers of 32 bits, as instruments write them", "LAB": "Lab colour"}
"""Modes of Pillow's that it cannot turn into RGB."""
# What it warns of is looked for here, and told in a verdict.
warnings.filterwarnings("ignore", module="PIL.TiffImagePlugin")


def read_header(data: bytes) -> Header:
    """The header of a TIFF's first page, its size as it is shown, turned already (Pillow turns it while it decodes).

    Raises:
        PictureError: ``unsupported_format``, ``too_many_pixels``, ``truncated`` or ``damaged``.

    """
    tags = read_tags(data)
    if tags is None:
        raise PictureError("truncated", "the TIFF ends before the table that says what is in it: send it again, whole")
    width, height = _first(tags, WIDTH, 0), _first(tags, HEIGHT, 0)
    if not 0 < width <= MOST_SIDE or not 0 < height <= MOST_SIDE:
        raise PictureError("damaged", f"the TIFF says that it is {width} x {height}: send it again, or as JPEG")
    if (compression := _first(tags, COMPRESSION, NONE)) not in COMPRESSIONS:
        detail = f"a TIFF with compression {compression}, which is not taken: send it as JPEG or PNG"
        raise PictureError("unsupported_format", detail)
    if 5 <= _first(tags, ORIENTATION, 1) <= 8:
        width, height = height, width
    with _open(data) as image:
        if image.mode in NOT_SHOWN:
            raise PictureError("unsupported_format", f"a TIFF with {NOT_SHOWN[image.mode]}: send it as JPEG or PNG")
        return Header("TIFF", width, height, image.mode, 1)


def decode(data: bytes, _: Header) -> Pixels:
    """The first page, upright. Grey of floating point: 0 to 1, or 0 to 255 if anything is above 1, is black to white.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    tags = read_tags(data) or {}
    _check_whole(data, tags)
    with _open(data) as image:
        # Pillow would turn it by XMP as well.
        image.info.pop("xmp", None)
        try:
            if _first(tags, PLANAR, 1) == 2 and 16 in tags.get(BITS, ()) and image.mode == "RGB":
                return upright(_by_planes_of_16_bits(data), _first(tags, ORIENTATION, 1))
            image.load()
            return to_rgb(_plain(image, tags))
        except MemoryError:
            raise
        except Exception as error:
            raise PictureError("damaged", "the TIFF's data cannot be decoded: send it again, or as JPEG") from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=["TIFF"])
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", "more pixels by its header than are ever decoded: send it smaller") from error
    except Exception as error:  # its tags could be read: what the plugin stumbles over is what they say
        detail = "a TIFF of a kind that is not taken (its colours, bits or compression): send it as JPEG or PNG"
        raise PictureError("unsupported_format", detail) from error


def _by_planes_of_16_bits(data: bytes) -> Pixels:
    """Pillow takes each plane of 16 bits for one of 8; the same libtiff without Pillow does not. As stored, not turned."""
    planes = np.asarray(tiff_decode(data, index=0))
    if planes.dtype != np.uint16 or planes.ndim != 3 or planes.shape[0] not in {3, 4}:
        raise ValueError
    return shrunk(np.ascontiguousarray(np.moveaxis((planes[:3] >> 8).astype(np.uint8), 0, -1)))


def _plain(image: Image.Image, tags: Tags) -> Image.Image:
    """In a mode that all can convert."""
    if image.mode == "La":
        return image.convert("LA")
    if image.mode == "P" and 0 < max(colours := tags.get(COLOUR_MAP, (0,))) < 256:
        # Values of 8 bits where 16 belong: libtiff takes them for what they are, Pillow for black.
        third = len(colours) // 3
        image.putpalette([colours[plane * third + number] for number in range(third) for plane in range(3)])
    if image.mode.startswith("I;16") and _first(tags, PHOTOMETRIC, 1) == 0:
        # White is 0, which Pillow heeds for 8 bits alone.
        return Image.fromarray((255 - (np.asarray(image) >> 8)).astype(np.uint8))
    if _first(tags, BITS, 1) == 12:
        return Image.fromarray((np.asarray(image) // 16).clip(0, 255).astype(np.uint8))
    if image.mode != "F":
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0)
    scale = 255.0 if values.max(initial=0.0) <= 1 else 1.0
    return Image.fromarray(np.clip(values * scale, 0, 255).astype(np.uint8))


def _check_whole(data: bytes, tags: Tags) -> None:
    """Refuse a file with strips or tiles missing: decoders leave them black, white or grey.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    tiled = TILE_OFFSETS in tags
    width, height = tags[WIDTH][0], tags[HEIGHT][0]
    across, rows = (_first(tags, TILE_WIDTH, 0), _first(tags, TILE_HEIGHT, 0)) if tiled else (width, _first(tags, ROWS, height))
    offsets, counts = tags.get(TILE_OFFSETS if tiled else OFFSETS, ()), tags.get(TILE_COUNTS if tiled else COUNTS, ())
    if not across or not rows:
        raise PictureError("damaged", "the TIFF does not say how large its parts are: send it again, or as JPEG")
    layers = _layers(tags) if _first(tags, PLANAR, 1) == 2 else 1
    needed = math.ceil(width / across) * math.ceil(height / rows) * layers
    compression = _first(tags, COMPRESSION, NONE)
    if compression == OLD_JPEG and (end := _first(tags, OLD_JPEG_OFFSET, 0) + _first(tags, OLD_JPEG_LENGTH, 0)) > len(data):
        raise PictureError("truncated", f"the TIFF ends after {len(data)} of at least {end} bytes: send it again, whole")
    if compression == OLD_JPEG and OLD_JPEG_OFFSET in tags:
        return
    if len(offsets) < needed:
        raise PictureError("truncated", f"the TIFF holds {len(offsets)} of {needed} parts of its picture: send it again, whole")
    if compression == NONE:
        counts = _plain_sizes(tags, across, rows, height, needed, tiled=tiled)
    for offset, count in zip(offsets[:needed], counts[:needed], strict=False):
        if not offset or not count:
            raise PictureError("damaged", "a part of the TIFF's picture is missing: send it again, or as JPEG")
        if offset + count > len(data):
            detail = f"the TIFF ends after {len(data)} of at least {offset + count} bytes: send it again, whole"
            raise PictureError("truncated", detail)
        _check_part(memoryview(data)[offset : offset + count], compression)


def _check_part(part: memoryview, compression: int) -> None:
    if compression == JPEG and JPEG_END not in bytes(part[-16:]):
        raise PictureError("damaged", "a part of the TIFF's picture ends early: send it again, or as JPEG")
    if compression in DEFLATE and not _inflates(part):
        raise fault("TIFF", cut=False)


def _inflates(part: memoryview) -> bool:
    """Whether Deflate data are whole: libtiff does not look at their checksum."""
    try:
        # No part of a picture that is taken is larger; what is beyond that is none.
        count_inflated([part], MOST_PIXELS)
    except zlib.error:
        return False
    return True


def _plain_sizes(tags: Tags, across: int, rows: int, height: int, needed: int, *, tiled: bool) -> list[int]:
    """Bytes of each part that is not compressed: some writers' counts are wrong, and no decoder needs them."""
    bits = list(tags.get(BITS, (1,)))
    samples = _layers(tags) if _first(tags, PLANAR, 1) == 2 else _first(tags, SAMPLES, 1)
    bits = bits * samples if len(bits) == 1 else bits[:samples]
    if not bits:
        raise PictureError("damaged", "the TIFF does not say of how many bits its colours are: send it again, or as JPEG")
    planes = [[each] for each in bits] if _first(tags, PLANAR, 1) == 2 else [bits]
    of_row = [math.ceil(across * sum(plane) / 8) for plane in planes]
    parts = needed // len(planes)
    last = rows if tiled else height - (parts - 1) * rows
    return [size * (last if part == parts - 1 else rows) for size in of_row for part in range(parts)]


def _layers(tags: Tags) -> int:
    """Samples that are stored apart from each other; extra ones of no meaning are not read."""
    extra = tags.get(EXTRA, ())
    return _first(tags, SAMPLES, 1) - (len(extra) if len(extra) and not any(extra) else 0)


def _first(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag, ())
    return values[0] if len(values) else default
