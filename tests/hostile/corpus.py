"""More than five hundred files that a decoder should not be given, each with a name that says what is wrong with it.

Cut at every structural point, with lengths and checksums that lie, with sizes that cannot be, two formats at once, metadata
that points at itself. Nothing here is taken from elsewhere: all of it is built from small pictures of our own.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.pictures import encode, photo

__all__ = ["Hostile", "hostile_files"]

Hostile = tuple[str, bytes]
PNG = b"\x89PNG\r\n\x1a\n"
STEPS = 12
FLIPS = 24


def chunk(kind: bytes, body: bytes, *, length: int | None = None, crc: int | None = None) -> bytes:
    """A chunk of a PNG; length and checksum lie if told to."""
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", checksum)


def png(width: int, height: int, depth: int = 8, colour: int = 2, data: bytes = b"", extra: bytes = b"") -> bytes:
    """A PNG with any header and any (compressed) data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def seeds() -> dict[str, bytes]:
    """Good pictures in every format that is taken, and variants that decode by other paths."""
    small = photo(96, 72)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    frames = [photo(64, 48, seed) for seed in range(3)]
    sixteen = Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21)
    return {
        "jpeg": encode(small, "JPEG", quality=90),
        "jpeg-progressive": encode(small, "JPEG", quality=90, progressive=True),
        "jpeg-exif": encode(small, "JPEG", quality=90, exif=exif),
        "jpeg-cmyk": encode(small.convert("CMYK"), "JPEG", quality=90),
        "jpeg-restart": encode(small, "JPEG", quality=90, restart_marker_blocks=2),
        "png": encode(small, "PNG"),
        "png-palette": encode(small.convert("P"), "PNG"),
        "png-16": encode(sixteen, "PNG"),
        "png-alpha": encode(small.convert("RGBA"), "PNG"),
        "webp": encode(small, "WEBP", quality=80),
        "webp-lossless": encode(small, "WEBP", lossless=True),
        "webp-animated": encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "gif": encode(small, "GIF"),
        "gif-animated": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "bmp": encode(small, "BMP"),
    }


def truncated(name: str, data: bytes) -> Iterator[Hostile]:
    """Cut in the header, at even steps, and just before the end."""
    cuts = {1, 2, 3, 4, 8, 12, 16, 20, 24, 30, 33, 54, len(data) - 1, len(data) - 2, len(data) - 4}
    cuts |= {len(data) * step // STEPS for step in range(1, STEPS)}
    for cut in sorted(cut for cut in cuts if 0 < cut < len(data)):
        yield f"{name}-cut-{cut}", data[:cut]


def flipped(name: str, data: bytes) -> Iterator[Hostile]:
    """Single bytes set to their opposite: in the header, and all over."""
    rng = np.random.default_rng(len(data))
    places = {*range(2, min(14, len(data))), *(int(rng.integers(len(data))) for _ in range(FLIPS - 12))}
    for at in sorted(places):
        yield f"{name}-flip-{at}", data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def bombs() -> Iterator[Hostile]:
    """Little to send, much to decode."""
    yield "png-bomb-40-megapixels", png(8000, 5000, data=bytes(8000 * 3 * 5000 + 5000))
    yield "png-bomb-10-gigapixels", png(100_000, 100_000, data=bytes(1000))
    yield "png-bomb-widest", png(2**31 - 1, 1, data=bytes(100))
    yield "png-bomb-highest", png(1, 2**31 - 1, data=bytes(100))
    yield "png-bomb-text", png(8, 8, data=bytes(200), extra=chunk(b"zTXt", b"k\x00\x00" + zlib.compress(bytes(80_000_000), 9)))
    yield "png-bomb-icc", png(8, 8, data=bytes(200), extra=chunk(b"iCCP", b"k\x00\x00" + zlib.compress(bytes(80_000_000), 9)))
    yield (
        "png-bomb-itxt",
        png(8, 8, data=bytes(200), extra=chunk(b"iTXt", b"k\x00\x01\x00\x00\x00" + zlib.compress(bytes(80_000_000)))),
    )
    flat = Image.new("RGB", (16_383, 3000))
    yield "webp-bomb-49-megapixels", encode(flat, "WEBP", lossless=True, quality=0, method=0)
    yield "gif-bomb-frames", gif_frames(5000)
    yield "gif-bomb-canvas", b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b"\x3b"
    yield "gif-bomb-frame", gif_with_a_large_frame()
    yield "bmp-bomb-header", bmp(2**30, 2**30)
    yield "bmp-negative-height", bmp(64, -48)
    yield "bmp-negative-width", bmp(-64, 48)
    yield "bmp-rle-endless", bmp(64, 48, compression=1, bits=8)
    yield "jpeg-bomb-65535", jpeg_of_size(65_535, 65_535)
    yield "jpeg-many-scans", many_scans()
    yield "jpeg-many-comments", comments()


def gif_frames(count: int) -> bytes:
    """A GIF whose only large thing is the number of its frames."""
    one = encode(Image.new("P", (4, 4)), "GIF")
    head, frame = one[:13], one[one.index(b"\x2c") : -1]
    table = one[13 : one.index(b"\x2c")] if one[10] & 0x80 else b""
    return head + table + frame * count + b"\x3b"


def gif_with_a_large_frame() -> bytes:
    """A canvas of 64 x 64 and a first frame of 65,535 x 65,535 that is to be cleared: 4 GB for its header (by fuzzing)."""
    control = b"\x21\xf9\x04" + bytes([2 << 2]) + bytes(4)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x01\x00\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + bytes(6) + control + frame + b"\x3b"


def bmp(width: int, height: int, compression: int = 0, bits: int = 24) -> bytes:
    """A BMP header with a few bytes of data behind it."""
    info = struct.pack("<IiiHHIIiiII", 40, max(-(2**31), width), height, 1, bits, compression, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + info + bytes(100)


def jpeg_of_size(width: int, height: int) -> bytes:
    """A small JPEG whose frame header says that it is of another size."""
    data = bytearray(encode(photo(64, 48), "JPEG", quality=90))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans() -> bytes:
    """A progressive JPEG whose last scan is repeated five hundred times: much work for few bytes."""
    data = encode(photo(1000, 800), "JPEG", quality=70, progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * 500 + b"\xff\xd9"


def comments() -> bytes:
    """Two thousand comment segments before anything else."""
    data = encode(photo(64, 48), "JPEG")
    return data[:2] + b"\xff\xfe\x00\x04hi" * 2000 + data[2:]


def sizes() -> Iterator[Hostile]:
    """Sizes that are zero, one, or as large as the format can say."""
    for width, height in (
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 65_500),
        (65_500, 1),
        (1, 65_535),
        (65_535, 1),
        (1, 65_536),
        (3, 20_000),
    ):
        row = bytes(1 + 3 * width)
        yield f"png-{width}x{height}", png(width, height, data=row * min(height, 70_000))
        if 0 < width <= 65_500 and 0 < height <= 65_500:
            yield f"jpeg-{width}x{height}", encode(Image.new("RGB", (width, height)), "JPEG")
            yield f"gif-{width}x{height}", encode(Image.new("P", (width, height)), "GIF")
        if width <= 65_535 and height <= 65_535:
            yield f"jpeg-says-{width}x{height}", jpeg_of_size(width, height)


def lies() -> Iterator[Hostile]:
    """Wrong lengths, wrong checksums, depths and colour types that do not exist."""
    good = png(16, 16, data=bytes(49 * 16))
    yield "png-wrong-crc", good[:29] + bytes(4) + good[33:]
    for depth in (0, 3, 7, 32, 255):
        yield f"png-depth-{depth}", png(16, 16, depth=depth, data=bytes(1000))
    for colour in (1, 5, 7, 255):
        yield f"png-colour-{colour}", png(16, 16, colour=colour, data=bytes(1000))
    for length in (0, 1, 2**31 - 1, 2**32 - 1):
        body = zlib.compress(bytes(49 * 16))
        yield f"png-idat-length-{length}", PNG + good[8:33] + chunk(b"IDAT", body, length=length) + chunk(b"IEND", b"")
    yield "png-no-data", PNG + good[8:33] + chunk(b"IEND", b"")
    yield "png-two-headers", PNG + good[8:33] + good[8:]
    yield "png-palette-missing", png(16, 16, colour=3, data=bytes(17 * 16))
    yield "png-data-too-long", png(16, 16, data=bytes(49 * 160_000))
    yield "png-data-too-short", png(160, 160, data=bytes(49 * 16))
    webp = encode(photo(64, 48), "WEBP")
    for size in (0, 4, 2**31 - 1, 2**32 - 1):
        yield f"webp-riff-{size}", webp[:4] + struct.pack("<I", size) + webp[8:]
        yield f"webp-vp8-{size}", webp[:16] + struct.pack("<I", size) + webp[20:]
    jpeg = encode(photo(64, 48), "JPEG")
    for marker in (b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda"):
        at = jpeg.index(marker) + 2
        for size in (0, 1, 2, 65_535):
            yield f"jpeg-{marker[1]:x}-length-{size}", jpeg[:at] + struct.pack(">H", size) + jpeg[at + 2 :]
    for components in (0, 2, 4, 255):
        at = jpeg.index(b"\xff\xc0") + 9
        yield f"jpeg-components-{components}", jpeg[:at] + bytes([components]) + jpeg[at + 1 :]


def metadata() -> Iterator[Hostile]:
    """EXIF that points at itself, colour profiles that are none, thumbnails."""
    loop = b"Exif\x00\x00MM\x00\x2a" + struct.pack(">I", 8) + struct.pack(">HHHII", 1, 0x8769, 4, 1, 8) + struct.pack(">I", 8)
    deep = b"Exif\x00\x00II\x2a\x00" + struct.pack("<IH", 8, 65_535)
    far = b"Exif\x00\x00MM\x00\x2a" + struct.pack(">I", 2**32 - 1)
    huge = b"Exif\x00\x00MM\x00\x2a" + struct.pack(">IHHHII", 8, 1, 0x010E, 2, 2**31, 8)
    jpeg = encode(photo(64, 48), "JPEG")
    for name, body in (
        ("loop", loop),
        ("many-entries", deep),
        ("far", far),
        ("huge-count", huge),
        ("nothing", b"Exif\x00\x00"),
    ):
        yield f"exif-{name}", jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
        yield f"png-exif-{name}", png(16, 16, data=bytes(49 * 16), extra=chunk(b"eXIf", body[6:]))
    for size in (0, 4, 128, 60_000):
        profile = b"ICC_PROFILE\x00\x01\x01" + bytes(range(256)) * (size // 256) + bytes(size % 256)
        yield f"icc-junk-{size}", jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(profile) + 2) + profile + jpeg[2:]
    thumbnail = b"Exif\x00\x00" + encode(photo(32, 24), "JPEG")
    yield "thumbnail-only", b"\xff\xd8\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    yield "thumbnail-before", jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + jpeg[2:]


def impostors() -> Iterator[Hostile]:
    """Two formats at once, and other things under a picture's first bytes."""
    jpeg, gif, image = encode(photo(64, 48), "JPEG"), encode(photo(64, 48), "GIF"), png(16, 16, data=bytes(49 * 16))
    yield "jpeg-then-html", jpeg + b"<html><script>alert(1)</script>"
    yield "jpeg-then-zip", jpeg + b"PK\x03\x04" + bytes(100)
    yield "gif-then-jpeg", gif + jpeg
    yield "png-then-jpeg", image + jpeg
    yield "gif-and-script", b"GIF89a=1;alert(1)//" + gif[6:]
    yield "jpeg-in-comment", jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(image) + 2) + image + jpeg[2:]
    for name, body in {
        "html": b"<!doctype html><title>x</title>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://169.254.169.254/"/></svg>',
        "svg-bomb": b'<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>',
        "pdf": b"%PDF-1.7\n1 0 obj<<>>endobj",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\nquit",
        "mp4": b"\x00\x00\x00\x18ftypmp42" + bytes(200),
        "heic": b"\x00\x00\x00\x18ftypheic" + bytes(200),
        "avif": b"\x00\x00\x00\x18ftypavif" + bytes(200),
        "ico": b"\x00\x00\x01\x00\x01\x00" + bytes(200),
        "psd": b"8BPS\x00\x01" + bytes(200),
        "tiff": tiff(),
        "tiff-loop": b"II\x2a\x00" + struct.pack("<IHI", 8, 0, 8),
        "jpeg2000": b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(200),
        "fits": b"SIMPLE  =                    T" + b" " * 2850,
        "xpm": b'/* XPM */\nstatic char *a[]={"99999 99999 1 1"};',
        "ppm": b"P6 99999 99999 255\n" + bytes(100),
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
    }.items():
        yield f"impostor-{name}", body
        yield f"impostor-{name}-as-jpeg", b"\xff\xd8\xff\xe0" + body
        yield f"impostor-{name}-as-png", PNG + body


def tiff() -> bytes:
    """A good TIFF."""
    buffer = io.BytesIO()
    photo(32, 24).save(buffer, "TIFF")
    return buffer.getvalue()


def hostile_files() -> list[Hostile]:
    """All of them; names are unique."""
    found = [*bombs(), *sizes(), *lies(), *metadata(), *impostors()]
    for name, data in seeds().items():
        found += [*truncated(name, data), *flipped(name, data)]
    return found
