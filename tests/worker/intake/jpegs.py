"""JPEGs of many makes, for the tests of what is whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.pictures import encode, photo
from worker.errors import PictureError
from worker.intake.decode import decode
from worker.intake.jpeg_segments import Scan, walk

MOST = 50_000_000
WHOLE = encode(photo(320, 240), quality=85)
RESTARTS = encode(photo(320, 240), quality=85, restart_marker_blocks=4)
PROGRESSIVE = encode(photo(320, 240), quality=85, progressive=True)
EOI = b"\xff\xd9"


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body


def after_start(more: bytes, data: bytes = WHOLE) -> bytes:
    return data[:2] + more + data[2:]


def before(marker: int, more: bytes, data: bytes = WHOLE) -> bytes:
    at = data.index(bytes([0xFF, marker]))
    return data[:at] + more + data[at:]


def scan(data: bytes) -> tuple[int, int]:
    """Where the first scan's data begin and end."""
    found = walk(data).scans[0].data
    at = data.index(found)
    return at, at + len(found)


def same(data: bytes, whole: bytes = WHOLE) -> bool:
    return bool((decode(data, MOST).pixels == decode(whole, MOST).pixels).all())


def code_of(data: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, MOST)
    assert not any(word in caught.value.detail for word in ("libjpeg", "tj", "Warning", "Corrupt", "extraneous"))
    return caught.value.code


def flat(factors: list[tuple[int, int]], width: int = 100, height: int = 70) -> bytes:
    """A grey picture with any sampling: every block is the same as the one before, and has nothing but that."""
    tables = [part for part in walk(encode(photo(64, 64))).scans[0].tables if part[0] in {0xC4, 0xDB}]
    components = b"".join(bytes([n + 1, h << 4 | v, min(n, 1)]) for n, (h, v) in enumerate(factors))
    frame = b"\x08" + height.to_bytes(2) + width.to_bytes(2) + bytes([len(factors)]) + components
    header = bytes([len(factors)]) + b"".join(bytes([n + 1, 0x11 * min(n, 1)]) for n in range(len(factors))) + b"\0\x3f\0"
    most_h, most_v = max(h for h, _ in factors), max(v for _, v in factors)
    if len(factors) == 1:
        # A scan of one component is not interleaved: its units are single blocks.
        factors, most_h, most_v = [(1, 1)], 1, 1
    count = -(-width // (8 * most_h)) * -(-height // (8 * most_v))
    # T.81, tables K.3 to K.6: no difference 00; end of block 1010 for luminance, 00 for chrominance.
    unit = "".join(("001010" if n == 0 else "0000") * (h * v) for n, (h, v) in enumerate(factors))
    bits = unit * count
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    parts = [segment(marker, body) for marker, body in tables]
    return b"\xff\xd8" + b"".join(parts) + segment(0xC0, frame) + segment(0xDA, header) + data + EOI


def scans_of(data: bytes, numbers: list[int]) -> bytes:
    layout, kept, tables = walk(data), list[Scan](), tuple[tuple[int, bytes], ...]()
    for number, each in enumerate(layout.scans):
        tables += each.tables
        if number in numbers:
            kept.append(replace(each, tables=tables))
            tables = ()
    layout.scans = kept
    return layout.rewrite()


def apart_flat(count: int) -> bytes:
    """Each component of ``flat`` in a scan of its own."""
    whole = flat([(1, 1)] * count)
    frame = whole.index(b"\xff\xc0")
    end = frame + 2 + int.from_bytes(whole[frame + 2 : frame + 4])
    scans = []
    for number in range(count):
        header = bytes([1, number + 1, 0x11 * min(number, 1)]) + b"\0\x3f\0"
        bits = ("001010" if number == 0 else "0000") * (13 * 9)
        bits += "1" * (-len(bits) % 8)
        scans.append(segment(0xDA, header) + int(bits, 2).to_bytes(len(bits) // 8))
    return whole[:end] + b"".join(scans) + EOI


def oddly_progressive(factors: tuple[int, int]) -> bytes:
    """``PROGRESSIVE``'s own data with a sampling that is not known: grey pictures have any, and three of them make one."""
    image = photo(320, 240)
    h, v = factors
    parts = [image.convert("L"), *(image.getchannel(n).resize((-(-320 // h), -(-240 // v))) for n in (0, 2))]
    layouts = [walk(encode(part, quality=85, progressive=True)) for part in parts]
    sizes = b"\x08" + (240).to_bytes(2) + (320).to_bytes(2)
    frame = sizes + bytes([3, 1, h << 4 | v, 0, 2, 0x11, 0, 3, 0x11, 0])
    quantised = next(body for marker, body in layouts[0].scans[0].tables if marker == 0xDB)
    data = b"\xff\xd8" + segment(0xDB, quantised) + segment(0xC2, frame)
    for number, layout in enumerate(layouts, 1):
        for scan in layout.scans:
            tables = [segment(marker, body) for marker, body in scan.tables if marker == 0xC4]
            data += b"".join(tables) + segment(0xDA, bytes([1, number]) + scan.header[2:]) + scan.data
    return data + EOI


ODDLY = oddly_progressive((3, 2))


def spans(data: bytes) -> list[tuple[int, int]]:
    """Where the data of each scan begin, and how many they are."""
    found, at = [], 0
    for scan in walk(data).scans:
        at = data.index(scan.data, at)
        found.append((at, len(scan.data)))
    return found
