"""How a picture lies, out of EXIF; and upright again."""

from __future__ import annotations

from worker.intake.header import Pixels

__all__ = ["orientation", "upright"]

ORIENTATION = 0x0112
MOST_ENTRIES = 1000
_SHORT, _LONG = 3, 4


def orientation(tiff: bytes) -> int:
    """The orientation, 1-8, that EXIF data tell in their first directory; 1 where they tell none, or are rubbish.

    Args:
        tiff: what follows ``Exif`` and two zeros: a TIFF header and its directories (CIPA DC-008, 4.5; TIFF 6.0, section 2).

    """
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(tiff[:4])
    if order is None:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if order == "little" else "big")

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), MOST_ENTRIES)):
        at = directory + 2 + 12 * entry
        if at + 12 > len(tiff):
            return 1
        if number(at, 2) == ORIENTATION:
            kind = number(at + 2, 2)
            value = number(at + 8, 2 if kind == _SHORT else 4) if kind in {_SHORT, _LONG} else 0
            return value if 1 <= value <= 8 else 1
    return 1


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation, 1-8 (CIPA DC-008, tag 0x0112)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels
