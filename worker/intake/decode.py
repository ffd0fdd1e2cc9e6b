"""From bytes to upright RGB pixels, probed before they are decoded.

The header alone decides whether a picture is decoded at all: its format, its size, its pixel count. Only the first frame is
decoded. A JPEG must be whole: libjpeg would fill what is missing with grey and call it a picture.
"""

from __future__ import annotations

import io
import math
import re
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from engines.preprocess import fit_longest
from worker.errors import PictureError

__all__ = ["DECODING", "MOST_BYTES", "MOST_PIXELS", "Header", "Picture", "decode", "jpeg_is_whole", "probe"]

DECODING = "upright-rgb-white-scaled1600@2"
"""Names this module's behaviour inside fingerprints: raise it when equal bytes may give other pixels."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SCALED_LONGEST = 1600
"""Pictures at least twice as long are decoded, or shrunk, by a whole factor to no less than this."""

STRIP_ROWS = 1024
"""Rows that are converted at a time."""

MOST_BYTES = 3 * (2 * SCALED_LONGEST) ** 2
"""Of a ``Picture``'s pixels."""

LARGE_PIXELS = 12_000_000
"""Larger pictures in formats that cannot be scaled while they are decoded take turns: 50 million pixels of WebP need 800 MB."""

_LARGE = threading.Lock()

ORIENTATION = 0x0112
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_EOI, _SOS = 0xD9, 0xDA

MOST_PIXELS = 150_000_000
"""No setting allows more. Headers are read by Pillow, and frames of a GIF may grow its canvas while it reads them."""

# Pillow refuses beyond twice its value; below that it warns, and the limit that counts is checked here.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Header:
    """What a file says about its picture before anything is decoded; width and height as stored, before rotation."""

    format: str
    width: int
    height: int
    mode: str
    orientation: int


@dataclass(frozen=True)
class Picture:
    """Decoded pixels.

    Attributes:
        pixels: H x W x 3, uint8, RGB, upright; at most 3,200 on the longest side.
        width: as uploaded, upright, in pixels.
        height: as uploaded, upright, in pixels.
        format: of the file: JPEG, PNG, WEBP, GIF or BMP.

    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str


def probe(data: bytes, max_pixels: int) -> Header:
    """Read the header of ``data``.

    Raises:
        PictureError: ``not_an_image`` or ``too_many_pixels``.

    """
    with _open(data) as image:
        header = Header(str(image.format), image.width, image.height, image.mode, _orientation(image))
    if header.width * header.height > max_pixels:
        raise PictureError("too_many_pixels", f"{header.width} x {header.height}, at most {max_pixels} pixels are decoded")
    return header


def decode(data: bytes, max_pixels: int, large: AbstractContextManager[object] = _LARGE) -> Picture:
    """Decode the first frame of ``data``: rotated upright, transparency on white, 16 bits to 8, any colour mode to RGB.

    ``large`` is held while a large picture is decoded; by default a lock of this process.

    Raises:
        PictureError: ``not_an_image``, ``too_many_pixels``, ``truncated`` or ``damaged``.

    """
    header = probe(data, max_pixels)
    jpeg = header.format in {"JPEG", "MPO"}
    if jpeg and not jpeg_is_whole(data):
        raise PictureError("truncated", "the JPEG ends before its end marker")
    if jpeg and header.mode in {"RGB", "L"}:
        pixels = _decode_jpeg(data, header)
    else:
        with large if header.width * header.height > LARGE_PIXELS else nullcontext():
            pixels = _decode_pillow(data)
    turned = header.orientation >= 5
    return Picture(
        pixels=np.ascontiguousarray(_upright(fit_longest(pixels, 2 * SCALED_LONGEST), header.orientation)),
        width=header.height if turned else header.width,
        height=header.width if turned else header.height,
        format="JPEG" if jpeg else header.format,
    )


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


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", f"more than {MOST_PIXELS} pixels by its header") from error
    except Exception as error:  # damaged headers raise whatever the plugin stumbles over
        raise PictureError("not_an_image", f"not one of {', '.join(FORMATS)}, or its header is damaged") from error


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # EXIF of a good picture may be rubbish: then it lies as it is stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _decode_jpeg(data: bytes, header: Header) -> NDArray[np.uint8]:
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


def _decode_pillow(data: bytes) -> NDArray[np.uint8]:
    with _open(data) as image:
        try:
            if image.format == "JPEG":
                # Scaled by the decoder itself, as far as that goes.
                side = SCALED_LONGEST / max(image.size)
                image.draft(None, (math.ceil(image.width * side), math.ceil(image.height * side)))
            image.load()
            return _to_rgb(image)
        except MemoryError:
            raise
        except Exception as error:
            code = "truncated" if "truncated" in str(error) else "damaged"
            raise PictureError(code, f"the {image.format}'s data is {code}: {error}") from error


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """RGB, shrunk by a whole factor if it is large; strip by strip, since whole copies of a large picture add up."""
    factor = max(1, max(image.size) // SCALED_LONGEST)
    strip = STRIP_ROWS // factor * factor
    parts = [
        _shrink(_strip_to_rgb(image.crop((0, top, image.width, min(top + strip, image.height)))), factor)
        for top in range(0, image.height, strip)
    ]
    return np.concatenate(parts)


def _shrink(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    if factor == 1:
        return pixels
    size = (math.ceil(pixels.shape[1] / factor), math.ceil(pixels.shape[0] / factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _strip_to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I") or image.mode == "F":
        eight = np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8)
        return np.repeat(eight[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image.alpha_composite(layer)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation, 1-8 (CIPA DC-008, tag 0x0112)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels
