"""Formats that Pillow reads and decodes."""

from __future__ import annotations

import io
import math
import warnings

from PIL import Image

from worker.errors import PictureError
from worker.intake.header import SCALED_LONGEST, Header, Pixels
from worker.intake.rgb import to_rgb

__all__ = ["MOST_PIXELS", "decode", "read_header"]

ORIENTATION = 0x0112

MOST_PIXELS = 150_000_000
"""No setting allows more. Headers are read by Pillow, and frames of a GIF may grow its canvas while it reads them."""

# Pillow refuses beyond twice its value; below that it warns, and the limit that counts is checked here.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def read_header(data: bytes, name: str) -> Header:
    """The header of ``data``, which is in the format ``name``.

    Raises:
        PictureError: ``not_an_image`` or ``too_many_pixels``.

    """
    with _open(data, name) as image:
        return Header(name, image.width, image.height, image.mode, _orientation(image))


def decode(data: bytes, header: Header) -> Pixels:
    """The first frame.

    Raises:
        PictureError: ``truncated`` or ``damaged``.

    """
    with _open(data, header.format) as image:
        try:
            if image.format == "JPEG":
                # Scaled by the decoder itself, as far as that goes.
                side = SCALED_LONGEST / max(image.size)
                image.draft(None, (math.ceil(image.width * side), math.ceil(image.height * side)))
            image.load()
            return to_rgb(image)
        except MemoryError:
            raise
        except Exception as error:
            code = "truncated" if "truncated" in str(error) else "damaged"
            raise PictureError(code, f"the {image.format}'s data is {code}: {error}") from error


def _open(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=["JPEG", "MPO"] if name == "JPEG" else [name])
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", f"more than {MOST_PIXELS} pixels by its header") from error
    except Exception as error:  # damaged headers raise whatever the plugin stumbles over
        raise PictureError("not_an_image", f"its {name} header is damaged") from error


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # EXIF of a good picture may be rubbish: then it lies as it is stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
