"""Where the entropy-coded data of a sequential JPEG end, block by block: decoders fill what is missing without a word.

A walk over the Huffman codes (ITU-T T.81, annex F.2.2) that keeps no coefficients. In Python it takes about a second for a
megabyte, so it is only for files with which a strict decoder finds fault, or which it cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from worker.intake.jpeg_segments import Frame, Layout, Scan

__all__ = ["BrokenScanError", "Measured", "measure", "measure_first_coefficients"]

_RESTART = re.compile(rb"\xff([\xd0-\xd7])", re.DOTALL)
_DHT, _DRI = 0xC4, 0xDD
_END_OF_BLOCK = 128
_KINDS = frozenset({0, 1, 2, 3, 0x10, 0x11, 0x12, 0x13})
MOST_TABLES = 64
"""Segments of Huffman tables in a file; four are usual, one for each scan and table would be sixteen."""
_STANDARD = bytes.fromhex(
    "0000010501010101010100000000000000000102030405060708090a0b100002010303020403050504040000017d0102030004110512213141061351"
    "6107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a63"
    "6465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2"
    "d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa0100030101010101010101010000000000000102030405060708090a0b110002"
    "0102040403040705040400010277000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f1171819"
    "1a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798"
    "999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)
"""T.81, tables K.3 to K.6: what holds where a file has none, as frames of MJPEG films have none (webcams write them)."""
_Table = list[int]
_BIT: _Table = [1 | 1 << 8] * 65536


class BrokenScanError(Exception):
    """A scan whose codes, blocks or restart markers are not those of its frame."""


@dataclass(frozen=True)
class Measured:
    """A scan's intervals between restart markers: the data that its blocks use, and what is left behind them."""

    used: tuple[bytes, ...]
    left: tuple[bytes, ...]

    def data(self) -> bytes:
        """The scan without what is left over."""
        parts = [self.used[0]]
        for number, part in enumerate(self.used[1:]):
            parts += [bytes([0xFF, 0xD0 + number % 8]), part]
        return b"".join(parts)


def measure(layout: Layout) -> list[Measured]:
    """Measure every scan of a sequential picture.

    Raises:
        BrokenScanError: data are missing, or cannot be what was written.

    """
    if layout.frame is None:
        raise BrokenScanError
    found = list[Measured]()
    for scan, tables, interval in _with_tables(layout):
        is_last = scan is layout.scans[-1]
        found.append(_scan(layout.frame, scan, tables, interval, layout.tail if is_last and not layout.ended else None))
    return found


def _with_tables(layout: Layout) -> Iterator[tuple[Scan, dict[int, _Table], int]]:
    """Each scan with the Huffman tables and the restart interval that hold for it."""
    tables = _huffman(_STANDARD)
    interval, made = 0, 0
    for scan in layout.scans:
        for marker, body in scan.tables:
            if marker == _DHT:
                made += 1
                if made > MOST_TABLES:
                    raise BrokenScanError
                tables |= _huffman(body)
            elif marker == _DRI and len(body) >= 2:
                interval = int.from_bytes(body[:2])
        yield scan, tables, interval


def measure_first_coefficients(layout: Layout) -> None:
    """Measure those scans of a progressive picture that send first coefficients, which its components may share.

    Raises:
        BrokenScanError: data are missing, left over, or cannot be what was written.

    """
    if layout.frame is None:
        raise BrokenScanError
    for scan, tables, interval in _with_tables(layout):
        if scan.header[-3:-1] != b"\0\0":
            continue
        # Lower bits of it: one for each block.
        codes = dict.fromkeys(range(4), _BIT) if scan.header[-1] >> 4 else tables
        found = _scan(layout.frame, scan, codes, interval, None, first_alone=True)
        if any(len(set(left)) > 1 for left in found.left):
            raise BrokenScanError


def _scan(
    frame: Frame, scan: Scan, tables: dict[int, _Table], interval: int, tail: bytes | None, *, first_alone: bool = False
) -> Measured:
    """Measure one scan; ``tail`` is what follows it where no end marker does, and is left over with what stands before it."""
    blocks, mcus = _plan(frame, scan, tables, first_alone=first_alone)
    wanted = [min(interval, mcus - start) for start in range(0, mcus, interval)] if interval else [mcus]
    parts, numbers = _intervals(scan.data)
    if tail is not None and len(parts) > len(wanted):
        # What looks like a restart marker behind the last interval belongs to the tail.
        end = sum(len(part) + 2 for part in parts[: len(wanted)]) - 2
        parts, numbers, tail = parts[: len(wanted)], numbers[: len(wanted) - 1], scan.data[end:] + tail
    if len(parts) != len(wanted) or numbers != [n % 8 for n in range(len(numbers))]:
        raise BrokenScanError
    used, left = [], []
    for part, count in zip(parts, wanted, strict=True):
        # Any number of FF may stand before a marker.
        plain = part.rstrip(b"\xff").replace(b"\xff\x00", b"\xff")
        end = _walk(plain, blocks, count, 1 if first_alone else 64)
        used.append(plain[:end].replace(b"\xff", b"\xff\x00"))
        left.append(plain[end:])
    return Measured(tuple(used), (*left[:-1], left[-1] + (tail or b"")))


def _intervals(data: bytes) -> tuple[list[bytes], list[int]]:
    parts, numbers, at = [], [], 0
    for found in _RESTART.finditer(data):
        parts.append(data[at : found.start()])
        numbers.append(found.group(1)[0] - 0xD0)
        at = found.end()
    return [*parts, data[at:]], numbers


def _plan(frame: Frame, scan: Scan, tables: dict[int, _Table], *, first_alone: bool) -> tuple[list[tuple[_Table, _Table]], int]:
    """The tables of each block of a minimum coded unit, and the number of units (T.81, A.2)."""
    factors = {identifier: (h, v) for identifier, h, v in frame.components}
    count = scan.header[0] if scan.header else 0
    if not 1 <= count <= 4 or len(scan.header) < 4 + 2 * count or any(0 in (h, v) for h, v in factors.values()):
        raise BrokenScanError
    most_h, most_v = max(h for h, _ in factors.values()), max(v for _, v in factors.values())
    chosen = [(scan.header[1 + 2 * n], scan.header[2 + 2 * n]) for n in range(count)]
    try:
        coded = [(factors[i], (tables[t >> 4], [] if first_alone else tables[0x10 | t & 15])) for i, t in chosen]
    except KeyError as error:
        raise BrokenScanError from error
    if count > 1:
        blocks = [pair for (h, v), pair in coded for _ in range(h * v)]
        return blocks, _parts(frame.width, 8 * most_h) * _parts(frame.height, 8 * most_v)
    (h, v), pair = coded[0]
    return [pair], _parts(_parts(frame.width * h, most_h), 8) * _parts(_parts(frame.height * v, most_v), 8)


def _parts(length: int, size: int) -> int:
    return -(-length // size)


def _walk(plain: bytes, blocks: list[tuple[_Table, _Table]], count: int, coefficients: int) -> int:
    """Bytes that ``count`` units use, whose blocks are of so many ``coefficients``."""
    size, at, bits, held = len(plain), 0, 0, 0
    for _ in range(count):
        for dc, ac in blocks:
            k, table = 0, dc
            while k < coefficients:
                if bits < 32:
                    held = (held & ((1 << bits) - 1)) << 64 | int.from_bytes(plain[at : at + 8].ljust(8, b"\xff"))
                    at, bits = at + 8, bits + 64
                step = table[(held >> (bits - 16)) & 0xFFFF]
                bits -= step & 0xFF
                k += step >> 8
                table = ac
                if not step:
                    raise BrokenScanError
            if 64 < k < _END_OF_BLOCK:
                raise BrokenScanError
        if at - bits // 8 > size:
            raise BrokenScanError
    return at - bits // 8


def _huffman(body: bytes) -> dict[int, _Table]:
    """Of each table in a segment, by the next 16 bits: bits of a code with its value, and 256 times the steps that it makes.

    Classes and destinations as in the segment: 0x00 the first for DC, 0x10 the first for AC.
    """
    found, at = {}, 0
    while at + 17 <= len(body):
        kind, counts = body[at], body[at + 1 : at + 17]
        values, at = body[at + 17 : at + 17 + sum(counts)], at + 17 + sum(counts)
        if kind not in _KINDS:
            raise BrokenScanError
        table, code, number = [0] * 65536, 0, 0
        for length, many in enumerate(counts, 1):
            for value in values[number : number + many]:
                start, width = code << (16 - length), 1 << (16 - length)
                if start + width > 65536:
                    raise BrokenScanError
                table[start : start + width] = [_step(kind, length, value)] * width
                code += 1
            number += many
            code <<= 1
        found[kind] = table
    return found


def _step(kind: int, length: int, value: int) -> int:
    if not kind & 0x10:
        return length + (value & 15) | 1 << 8
    run, size = value >> 4, value & 15
    if size == 0:
        return length | (16 if run == 15 else _END_OF_BLOCK) << 8
    return length + size | run + 1 << 8
