"""Formats that Pillow reads and decodes."""

from __future__ import annotations

import io
import math
import warnings

from PIL import Image

from worker.errors import PictureError
from worker.intake.animation import first_seen
from worker.intake.exif import orientation
from worker.intake.faults import fault
from worker.intake.header import SCALED_LONGEST, Header, Pixels
from worker.intake.rgb import to_rgb

__all__ = ["MOST_PIXELS", "decode", "how_it_lies", "read_header"]

ANIMATED = frozenset({"GIF", "WEBP"})
KINDS = {"WEBP": "WebP", "GIF": "GIF", "BMP": "BMP", "JPEG": "JPEG"}
"""What is read here, as people write it."""

LEAST_BYTES = 64
"""A file of fewer holds no more than the beginning of a header."""

MOST_PIXELS = 150_000_000
"""No setting allows more. Headers are read by Pillow, and frames of a GIF may grow its canvas while it reads them."""

# Pillow refuses beyond twice its value; below that it warns, and the limit that counts is checked here.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def read_header(data: bytes, name: str) -> Header:
    """The header of ``data``, which is in the format ``name``.

    Raises:
        PictureError: ``truncated``, ``damaged`` or ``too_many_pixels``.

    """
    with _open(data, name) as image:
        return Header(name, image.width, image.height, image.mode, how_it_lies(image))


def how_it_lies(image: Image.Image) -> int:
    """The orientation, 1-8, by EXIF alone: Pillow's own reading heeds XMP as well, which other programs do not."""
    exif = image.info.get("exif")
    return orientation(exif.removeprefix(b"Exif\0\0")) if isinstance(exif, bytes) else 1


def decode(data: bytes, header: Header) -> Pixels:
    """The first frame; of an animation that begins blank, the first one that is not.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    with _open(data, header.format) as image:
        try:
            if image.format == "JPEG":
                # Scaled by the decoder itself, as far as that goes.
                side = SCALED_LONGEST / max(image.size)
                image.draft(None, (math.ceil(image.width * side), math.ceil(image.height * side)))
            pixels = to_rgb(_first_frame(image))
        except MemoryError:
            raise
        except Exception as error:  # the library raises whatever it stumbles over
            raise fault(KINDS[header.format], cut="truncated" in str(error)) from error
    return first_seen(data, header.format, pixels) if header.format in ANIMATED else pixels


def _first_frame(image: Image.Image) -> Image.Image:
    """Decoded. What a GIF's first frame does not cover is transparent, as browsers have it."""
    tiles = getattr(image, "tile", None) if image.format == "GIF" else None
    covered = tuple(tiles[0][1]) if tiles else None
    image.load()
    if covered is None or covered == (0, 0, *image.size):
        return image
    layer = Image.new("RGBA", image.size)
    layer.paste(image.convert("RGBA").crop(covered), covered[:2])
    return layer


def _open(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=["JPEG", "MPO"] if name == "JPEG" else [name])
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", f"more than {MOST_PIXELS} pixels by its header: send it smaller") from error
    except Exception as error:  # damaged headers raise whatever the plugin stumbles over
        raise fault(KINDS[name], cut=_is_cut(data, name)) from error


def _is_cut(data: bytes, name: str) -> bool:
    """Whether a file whose header cannot be read is shorter than it says, or than any header."""
    if name == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return len(data) < LEAST_BYTES
