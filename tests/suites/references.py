"""Two decoders beside ours: libvips, or OpenCV for BMP, which libvips as packed for Python lacks; and ImageMagick.

Both stand on the same libraries for some formats (libjpeg-turbo, libtiff, libheif), and what such a library
does is seen by neither. HEIC is left to ImageMagick alone, since the packed libvips has no HEVC.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "SIDE",
    "WHITE",
    "Reference",
    "Seen",
    "by_magick",
    "by_opencv",
    "by_vips",
    "from_ppm",
    "magick",
    "references",
    "small",
]

SIDE = 64
"""Pictures are compared at this width and height."""
MOST_S = 60.0
MOST_PIXELS = 50_000_000
LIMITS = ("-limit", "memory", "2GiB", "-limit", "map", "0", "-limit", "disk", "0", "-limit", "area", "100MP")
_HEAD = re.compile(rb"P6\s(?:#.*\n)*(\d+)\s+(\d+)\s+255\s")
"""Of a binary PPM of 8 bits: its last number is the largest value, and one white space is before the pixels."""

Seen = tuple[int, int, NDArray[np.float32]]
"""Width and height, upright, and SIDE x SIDE x 3 values of 0 to 255, transparency on a ground."""
Reference = Callable[[Path, int], Seen | None]
"""Of a file, and of the level of 0 to 255 of the grey that lies behind transparency; ``None``: it refuses the file."""
WHITE = 255


def small(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of the parts of H x W x 3 pixels; smaller ones repeated."""
    height, width = pixels.shape[:2]
    rows, columns = np.arange(SIDE + 1) * height // SIDE, np.arange(SIDE + 1) * width // SIDE
    if height < SIDE or width < SIDE:
        return np.asarray(pixels[rows[:-1]][:, columns[:-1]], np.float32)
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float32), rows[:-1], axis=0), columns[:-1], axis=1)
    return np.asarray(sums / (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]), np.float32)


def by_vips(path: Path, ground: int = WHITE) -> Seen | None:
    """libvips: every warning that its loaders raise an error for counts as one."""
    import pyvips

    if _begins(path, b"BM"):
        return by_opencv(path, ground)
    try:
        # Not sequentially: rows of a picture that is turned are not read in their order.
        image = pyvips.Image.new_from_file(str(path), fail_on="error")
        if image.width * image.height > MOST_PIXELS:
            return None
        image = image.autorot()
        if image.hasalpha():
            most = 65535 if image.format == "ushort" else 255
            image = image.flatten(background=[most * ground // 255] * (image.bands - 1), max_alpha=most)
        image = image.colourspace("srgb").cast("uchar")[0:3]
        pixels = np.ndarray(buffer=image.write_to_memory(), dtype=np.uint8, shape=(image.height, image.width, image.bands))
    except (pyvips.Error, ValueError):
        return None
    return image.width, image.height, small(np.repeat(pixels, 3, axis=2) if image.bands == 1 else pixels)


def by_magick(path: Path, ground: int = WHITE) -> Seen | None:
    """ImageMagick, the first frame; what it complains of and shows all the same counts as shown."""
    # A first frame that is smaller than its canvas is laid on it.
    canvas = ["-coalesce"] if _begins(path, b"GIF8") else []
    options = [*LIMITS, f"{path}[0]", *canvas, "-auto-orient"]
    options += ["-background", f"rgb({ground},{ground},{ground})", "-alpha", "remove"]
    command = [magick() or "convert", *options, "-colorspace", "sRGB", "-strip", "-depth", "8", "ppm:-"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=MOST_S)
    except subprocess.TimeoutExpired:
        return None
    return from_ppm(done.stdout)


def from_ppm(data: bytes) -> Seen | None:
    """Of a binary PPM; ``None`` if it is none, too large, or not whole."""
    head = _HEAD.match(data)
    if head is None or not 0 < int(head[1]) * int(head[2]) <= MOST_PIXELS:
        return None
    width, height = int(head[1]), int(head[2])
    size = width * height * 3
    pixels = np.frombuffer(data, np.uint8)[head.end() : head.end() + size]
    if pixels.size < size:
        return None
    return width, height, small(pixels.reshape(height, width, 3))


def by_opencv(path: Path, ground: int = WHITE) -> Seen | None:
    """OpenCV; files of more than 8 bits are left out."""
    try:
        found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if found is None or found.dtype != np.uint8:
        return None
    pixels: NDArray[Any] = np.asarray(found, np.float32)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.shape[2] == 4:
        cover = pixels[:, :, 3:] / 255
        pixels = pixels[:, :, :3] * cover + ground * (1 - cover)
    return pixels.shape[1], pixels.shape[0], small(np.asarray(np.round(pixels[:, :, 2::-1]), np.uint8))


def _begins(path: Path, signature: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(signature)) == signature


def references() -> dict[str, Reference]:
    """Those that are on this machine."""
    found: dict[str, Reference] = {}
    try:
        import pyvips  # noqa: F401
    except ImportError:
        pass
    else:
        found["libvips"] = by_vips
    if magick():
        found["ImageMagick"] = by_magick
    return found


@cache
def magick() -> str | None:
    """The program's name is ``magick`` from ImageMagick 7 on; other programs are called ``convert``, too."""
    for name in filter(None, map(shutil.which, ("magick", "convert"))):
        said = subprocess.run([name, "-version"], capture_output=True, text=True, check=False)
        if said.stdout.startswith("Version: ImageMagick"):
            return name
    return None
