"""Animations that begin blank: they fade in, or their first frame is empty. What people see of them comes later."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from worker.intake.header import Pixels
from worker.intake.rgb import to_rgb

__all__ = ["first_seen"]

BLANK = 16
"""Levels between the darkest and the lightest value of a channel that nobody sees."""
SEEN = 64
"""Levels from which on a frame shows what it is; those of a fade come before."""
MOST_FRAMES = 40
"""Frames that are looked at: two seconds of most animations."""
MOST_PIXELS = 50_000_000
"""Pixels of all these frames together: as many as one picture may have."""


def first_seen(data: bytes, name: str, first: Pixels) -> Pixels:
    """``first``, the first frame, unless it is blank; then the first one that shows something, else the one that shows most.

    Args:
        data: the file, in the format ``name`` of Pillow's.
        first: H x W x 3, uint8, RGB; later frames come in the same size.

    """
    if not _is_blank(first):
        return first
    best, most = first, _levels(first)
    try:
        with Image.open(io.BytesIO(data), formats=[name]) as image:
            for number in range(1, min(MOST_FRAMES, MOST_PIXELS // (image.width * image.height)) + 1):
                image.seek(number)
                frame = to_rgb(image)
                if (levels := _levels(frame)) > most and frame.shape == first.shape:
                    best, most = frame, levels
                if most >= SEEN:
                    break
    except MemoryError:
        raise
    except Exception:  # the end, or a damaged frame: what came before it counts
        return best
    return best


def _is_blank(pixels: Pixels) -> bool:
    """Whether all of it is one colour, as far as eyes can tell."""
    # Of most pictures a few pixels tell.
    return _levels(pixels[::8, ::8]) < BLANK and _levels(pixels) < BLANK


def _levels(pixels: Pixels) -> int:
    return int(np.max(np.ptp(pixels.reshape(-1, 3), axis=0)))
