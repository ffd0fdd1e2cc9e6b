"""Which format a file is in, by its bytes alone: names and types that senders give are often wrong.

What is recognised and not taken is told by its name and with what to do, to the person who reads the verdict.
"""

from __future__ import annotations

import re

from worker.errors import PictureError
from worker.intake import boxes
from worker.intake.signatures import OTHERS, PICTURES, RAW
from worker.intake.text_files import describe_text
from worker.intake.tiff_tags import Tags, read_tags

__all__ = ["FORMATS", "recognise"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "HEIF", "AVIF", "TIFF", "JXL")
"""What is decoded."""

HEIF_BRANDS = {
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"mif3", b"msf1", b"avci",
    b"avcs", b"vvic", b"j2ki", b"jpeg",
}  # fmt: skip
AVIF_BRANDS = {b"avif", b"avis"}
RAW_COMPRESSIONS = {32767: "Sony (ARW)", 34713: "Nikon (NEF)", 65535: "Pentax (PEF)"}
RAW_PHOTOMETRIC = {32803, 34892}
DNG_VERSION, SUBFILE, PHOTOMETRIC, COMPRESSION, MAKE, SUB_IFDS = 50706, 254, 262, 259, 271, 330
LEAST_BYTES = 16
"""Fewer are no picture, and too few to say what they are."""
LOOKED_AT = 4096
"""Bytes that are searched for what may stand a little later."""
_LATE_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBPVP8|....ftyp(?:heic|avif|mif1)", re.DOTALL)


def recognise(data: bytes) -> str:
    """The format of ``data``, one of ``FORMATS``.

    Raises:
        PictureError: ``not_an_image`` or ``unsupported_format``, naming what was found and what to do.

    """
    for name, pattern in PICTURES:
        if pattern.match(data):
            return name
    if data[4:8] == b"ftyp":
        return _of_base_media(data)
    if data[:4] in {b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"}:
        return _of_tiff(data)
    raise _refusal(data)


def _of_base_media(data: bytes) -> str:
    """HEIF, AVIF and films share one container: brands tell, and what is inside knows better."""
    found = boxes.brands(data)
    if not {*found} & (HEIF_BRANDS | AVIF_BRANDS):
        raise _refusal(data)
    coding = boxes.primary_type(data)
    says_avif = bool({*found} & AVIF_BRANDS) or data[8:16] == b"mif3avif"
    return "AVIF" if coding == b"av01" or (says_avif and coding != b"hvc1") else "HEIF"


def _of_tiff(data: bytes) -> str:
    """Raw photos are TIFFs whose first page is a small preview, if there is any that can be shown."""
    if data[8:10] == b"CR":
        raise _raw("Canon (CR2)")
    tags = read_tags(data) or {}
    if DNG_VERSION in tags:
        raise _raw("any make (DNG)")
    compression = _first(tags, COMPRESSION)
    preview = _first(tags, SUBFILE) & 1 and SUB_IFDS in tags and MAKE in tags
    if compression in RAW_COMPRESSIONS or _first(tags, PHOTOMETRIC) in RAW_PHOTOMETRIC or preview:
        make = bytes(each & 0xFF for each in tags.get(MAKE, b"")[:40]).upper()
        known = next((name for start, name in RAW.items() if make.startswith(start)), "some make")
        raise _raw(RAW_COMPRESSIONS.get(compression, known))
    return "TIFF"


def _first(tags: Tags, tag: int) -> int:
    values = tags.get(tag, ())
    return values[0] if len(values) else 0


def _refusal(data: bytes) -> PictureError:
    if not data:
        return _no_image("an empty file", "send the picture again")
    if not data.strip(data[:1]):
        what = "nothing but zeros" if data[0] == 0 else f"nothing but the byte {data[0]:02x}"
        return _no_image(what, "the upload was cut short or never written, send the picture again")
    head = data[:LOOKED_AT]
    for pattern, code, detail in OTHERS:
        if pattern.match(head):
            return PictureError(code, detail)
    if len(data) < LEAST_BYTES:
        return _no_image(f"only {len(data)} bytes", "the upload was cut short, send the picture again")
    if data[-18:] == b"TRUEVISION-XFILE.\x00":
        return _unsupported("a Targa picture (TGA)", "send it as JPEG or PNG")
    if late := _LATE_PICTURE.search(head):
        remedy = "what sent it has put something before the file; send the file as it is"
        return _no_image(f"a picture with {late.start()} other bytes in front of it", remedy)
    if (text := describe_text(head)) is not None:
        return PictureError(*text)
    what = f"no picture of a known format, or one that is damaged at its beginning (first bytes: {head[:8].hex(' ')})"
    return _no_image(what, "send it as JPEG or PNG")


def _raw(make: str) -> PictureError:
    return _unsupported(f"a raw photo of a camera of {make}", "export it as JPEG and send that")


def _unsupported(what: str, remedy: str) -> PictureError:
    return PictureError("unsupported_format", f"{what}: {remedy}")


def _no_image(what: str, remedy: str) -> PictureError:
    return PictureError("not_an_image", f"{what}: {remedy}")
