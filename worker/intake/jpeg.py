"""JPEG: whole, and only whole. libjpeg would fill what is missing with grey and call it a picture.

A file that a strict decoder takes as it is costs nothing more. With any other one, what no pixel depends on is left out
(``jpeg_segments``) and the rest decoded strictly again. If the decoder still finds fault, sequential data are measured block by
block (``jpeg_entropy``): padding behind the last block is taken out, and the rest must decode strictly. Padding is one byte
again and again; where the end marker is missing, also a text, or a phone's trailer, a film or a preview by how it begins.
Anything else that is left over are data of a stream that has gone out of step.

What no decoder can see stays unseen: a byte that is another one and still makes valid codes of the right number; progressive
scans that are missing and that no other one announces.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import numpy as np
import simplejpeg

from worker.errors import PictureError
from worker.intake import pillow_formats
from worker.intake.exif import orientation
from worker.intake.faults import fault
from worker.intake.header import SCALED_LONGEST, Header, Pixels
from worker.intake.jpeg_entropy import BrokenScanError, measure, measure_first_coefficients
from worker.intake.jpeg_segments import MOST_SCANS, Layout, walk

__all__ = ["decode", "read_header", "takes_turns"]

MODES = {1: "L", 3: "RGB", 4: "CMYK"}
LEAST_TRAILER = 4
"""Fewer bytes than that behind the last block tell nothing of what they are."""
MOST_ZEROS = 3
"""Of those at the end of progressive data that may be data themselves: the last bits of a byte are seldom all used, and 0."""
MOST_PASSED = 3_000_000_000
"""Pixels that all scans pass over: sixty scans of a picture of 50 million."""
LEFT_OUT = 16
"""Zeros that an arithmetic encoder may leave out at the end of its data (T.81, D.1.8)."""
NOISE = bytes(1 + number * 167 % 251 for number in range(1024))
"""Data that are none: the decoder would draw something else of them."""
_TRAILER = re.compile(
    rb"""[\0\xff]*+ (?: .{0,16}(?:ftyp|SEFH|MotionPhoto)  # a film, or the table or a block of Samsung's trailer:
    | .{1,2}[\x04-\x40]\0\0\0[A-Z][A-Za-z0-9_]{3} )        # its kind, the length of its name, its name
    | \0*+\xff\xd8\xff                                      # another picture""",
    re.DOTALL | re.VERBOSE,
)
_TEXT = re.compile(rb"[\t\r\n -~]+")
_UNKNOWN = frozenset({0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
"""Frames of hierarchical and of arithmetic-coded lossless pictures, which libjpeg does not decode."""
_LOSSLESS = 0xC3
_EOI = b"\xff\xd9"


def read_header(data: bytes) -> Header:
    """The header of a JPEG.

    Raises:
        PictureError: ``not_an_image``, ``truncated``, ``damaged``, or ``unsupported_format`` where the kind of JPEG is.

    """
    layout = walk(data)
    frame = layout.frame
    if frame is None:
        raise PictureError("truncated", "the JPEG ends within its header: upload it again")
    if layout.frames > 1 or frame.height == 0 or frame.width == 0:
        raise PictureError("damaged", "the JPEG's header does not tell one size: save the picture again and upload it")
    if frame.marker in _UNKNOWN:
        raise PictureError(
            "unsupported_format", "a hierarchical or lossless JPEG: save the picture as an ordinary JPEG of 8 bits"
        )
    if frame.bits not in ({8, 12, 16} if frame.marker != _LOSSLESS else range(2, 17)):
        raise PictureError("damaged", "the JPEG's header is damaged: upload the picture again from its source")
    if frame.bits != 8 or len(frame.components) not in MODES:
        kind = f"{frame.bits} bits" if frame.bits != 8 else f"{len(frame.components)} colour channels"
        raise PictureError("unsupported_format", f"a JPEG of {kind}: save the picture as an ordinary JPEG of 8 bits")
    return Header("JPEG", frame.width, frame.height, MODES[len(frame.components)], orientation(layout.exif))


def takes_turns(header: Header) -> bool:
    """Whether it is decoded alone if it is large: those that libjpeg scales need little memory."""
    return header.mode == "CMYK"


def decode(data: bytes, header: Header) -> Pixels:
    """Pixels as stored, scaled by the decoder where the picture is large.

    Raises:
        PictureError: ``truncated`` or ``damaged``; ``unsupported_format`` for a rare sampling in a rare coding.

    """
    layout = walk(data)
    if len(layout.scans) > min(MOST_SCANS, MOST_PASSED // (header.width * header.height)):
        raise PictureError("damaged", f"a JPEG in {len(layout.scans)} passes over the picture: save it as an ordinary JPEG")
    if layout.lacks_scans() or not (layout.ended or (layout.frame and layout.frame.is_sequential)):
        raise _fault(layout)
    if layout.frame and layout.frame.is_arithmetic and _reads_on(layout, header):
        raise _fault(layout)
    # Pillow, which converts CMYK, is slow with some metadata and stumbles over others.
    if layout.ended and header.mode != "CMYK" and (pixels := _strictly(data, header)) is not None:
        return pixels
    plain = layout.rewrite()
    if (pixels := _strictly(plain, header)) is not None:
        return pixels
    odd = _is_odd(plain)
    taken = _of_any_sampling if odd else _strictly
    for mended in _without_padding(layout):
        # Where nothing was taken out it is what the strict decoder has refused above.
        if (odd or mended != plain) and (pixels := taken(mended, header)) is not None:
            return pixels
    raise _fault(layout)


def _strictly(data: bytes, header: Header) -> Pixels | None:
    """The pixels, if the decoder finds no fault at all with ``data``."""
    longest = max(header.width, header.height)
    scale = min(1.0, SCALED_LONGEST / longest) if longest >= 2 * SCALED_LONGEST else 1.0
    sides = {"min_width": max(1, round(header.width * scale)), "min_height": max(1, round(header.height * scale))}
    options = {**sides, "min_factor": 1} if scale < 1 else {}
    try:
        if header.mode != "CMYK":
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True, **options), dtype=np.uint8)
    except ValueError:
        return None
    # Read whole only to see whether it is: its colours are converted by Pillow.
    return pillow_formats.decode(data, header) if _is_faultless(data, "CMYK") else None


def _reads_on(layout: Layout, header: Header) -> bool:
    """Whether arithmetic-coded data end before their picture does.

    Behind the end a decoder reads zeros for as long as it needs data (ITU-T T.81, D.2.6), and finds no fault. One that needs
    none does not care what stands there.
    """
    *before, last = [scan.data for scan in layout.scans]
    mode = "CMYK" if header.mode == "CMYK" else "RGB"
    shown = set()
    for more in (bytes(LEFT_OUT + len(NOISE)), bytes(LEFT_OUT) + NOISE):
        data = layout.rewrite([*before, _without_zeros(last) + more])
        try:
            shown.add(hashlib.blake2b(np.ascontiguousarray(simplejpeg.decode_jpeg(data, mode, strict=False)).data).digest())
        except ValueError:
            return False
    return len(shown) > 1


def _is_faultless(data: bytes, mode: str) -> bool:
    """Whether the decoder finds no fault, at its smallest scale."""
    try:
        simplejpeg.decode_jpeg(data, mode, strict=True, min_width=1, min_height=1, min_factor=1)
    except ValueError:
        return False
    return True


def _of_any_sampling(data: bytes, header: Header) -> Pixels | None:
    """Pixels by Pillow, which does not tell what is missing: sequential data have been measured, progressive ones are here.

    Raises:
        PictureError: ``damaged``, or ``unsupported_format`` where nothing tells.

    """
    layout = walk(data)
    frame = layout.frame
    if frame is None or not (frame.is_sequential or (frame.is_progressive and not frame.is_arithmetic)):
        raise PictureError("unsupported_format", "a JPEG of a rare coding and sampling: save the picture as an ordinary JPEG")
    if frame.is_progressive:
        try:
            measure_first_coefficients(layout)
        except BrokenScanError:
            return None
        if not all(_is_faultless(layout.alone(number), "GRAY") for number in range(len(frame.components))):
            return None
    return pillow_formats.decode(data, header)


def _is_odd(data: bytes) -> bool:
    """Whether the decoder cannot even read the header: it knows only usual samplings, libjpeg itself any."""
    try:
        simplejpeg.decode_jpeg_header(data, strict=True)
    except KeyError:
        # One that it decodes, and has no name for (1.9.0: 4:4:1).
        return False
    except ValueError as error:
        return "subsampling" in str(error)
    return False


def _without_padding(layout: Layout) -> Iterator[bytes]:
    """What the file may be without what lies behind the last block of its scans.

    Raises:
        PictureError: blocks are missing or damaged, or what is left over is none of what programs leave there.

    """
    if layout.frame is None or not layout.frame.is_sequential:
        # Progressive data are not measured: zeros before a marker may go, if the rest is faultless without them.
        yield from (layout.rewrite(datas) for datas in _with_fewer_zeros([scan.data for scan in layout.scans]))
        return
    try:
        measured = measure(layout)
    except BrokenScanError as error:
        raise _fault(layout) from error
    *within, last = [part for scan in measured for part in scan.left]
    if not all(_is_padding(part) for part in within) or not (_is_padding(last) or (not layout.ended and _is_trailer(last))):
        raise _fault(layout)
    yield layout.rewrite([scan.data() for scan in measured])


def _is_padding(part: bytes) -> bool:
    return len(set(part)) <= 1


def _is_trailer(part: bytes) -> bool:
    """Whether what stands where the end marker is missing is no data of a stream that has gone out of step."""
    if part.isspace():
        return True
    return len(part) >= LEAST_TRAILER and bool(_TEXT.fullmatch(part) or _TRAILER.match(part))


def _with_fewer_zeros(datas: list[bytes]) -> Iterator[list[bytes]]:
    """As they are; without zeros behind the last, of which the first ones may belong to it; without any behind each."""
    yield datas
    *before, last = datas
    short = _without_zeros(last)
    for kept in range(min(MOST_ZEROS, len(last) - len(short))):
        yield [*before, short + bytes(kept)]
    if before != (shorter := [_without_zeros(data) for data in before]):
        yield [*shorter, short]


def _without_zeros(data: bytes) -> bytes:
    short = data.rstrip(b"\x00")
    # A zero behind FF belongs to it.
    return data[: len(short) + 1] if short.endswith(b"\xff") and len(short) < len(data) else short


def _fault(layout: Layout) -> PictureError:
    if layout.ended or _EOI in layout.tail:
        return PictureError("damaged", "part of the JPEG's data is damaged or lost: upload the picture again from its source")
    return fault("JPEG", cut=True)
