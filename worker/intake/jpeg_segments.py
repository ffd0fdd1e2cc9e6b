"""A JPEG's segments and scans (ITU-T T.81, annex B), and the same picture without what no pixel depends on."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["MOST_SCANS", "Frame", "Layout", "Scan", "walk"]

_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_END_OF_SCAN = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_SOI, _EOI, _SOS, _DQT, _DHT, _DAC, _DRI, _TEM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDD, 0x01
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_TABLES = frozenset({_DQT, _DHT, _DAC, _DRI, 0xDC, 0xDE, 0xDF})
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_ARITHMETIC = frozenset({0xC9, 0xCA})
MOST_MARKERS = 100_000
"""Before and between scans. A file of nothing else would take seconds to walk through; what comes behind them is not seen."""
LEAST_JFIF = 14
"""Bytes of a JFIF segment; shorter ones are none."""
MOST_SCANS = 200
"""Encoders write up to some twenty; a thousand of them, in 300 KB, take 13 s to decode."""
_JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ADOBE = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0"


@dataclass(frozen=True)
class Frame:
    """A frame header.

    Attributes:
        marker: its second byte: 0xC0 for baseline.
        bits: of a sample.
        components: of each its identifier, and its horizontal and vertical sampling factor.

    """

    marker: int
    bits: int
    height: int
    width: int
    components: tuple[tuple[int, int, int], ...]

    @property
    def is_sequential(self) -> bool:
        """Whether each scan holds all there is of its components, coded by Huffman: baseline, or extended."""
        return self.marker in _SEQUENTIAL

    @property
    def is_arithmetic(self) -> bool:
        """Whether its data are coded arithmetically, not by Huffman."""
        return self.marker in _ARITHMETIC

    @property
    def is_progressive(self) -> bool:
        """Whether scans send coefficients bit by bit, coded by Huffman or arithmetically."""
        return self.marker in _PROGRESSIVE


@dataclass(frozen=True)
class Scan:
    """A scan: the tables that stand before it, its header, and its entropy-coded data with restart markers."""

    tables: tuple[tuple[int, bytes], ...]
    header: bytes
    data: bytes

    @property
    def components(self) -> tuple[int, ...]:
        """Identifiers of the components that it holds; none if its header is too short for them."""
        count = self.header[0] if self.header else 0
        return tuple(self.header[1 : 1 + 2 * count : 2]) if len(self.header) >= 4 + 2 * count else ()


@dataclass
class Layout:
    """What a walk has found.

    Attributes:
        frame: the first frame header, if there is one.
        frames: how many there are.
        scans: in their order.
        ended: whether the end marker follows the scans.
        tail: of a sequential picture without it, what follows the data of its last scan up to the end of the file.
        exif: what follows ``Exif`` and two zeros in the first such segment.
        adobe: the colour transform of Adobe's segment, if there is a whole one.

    """

    frame: Frame | None = None
    frames: int = 0
    scans: list[Scan] = field(default_factory=list)
    ended: bool = False
    tail: bytes = b""
    exif: bytes = b""
    adobe: int | None = None
    jfif: bool = False

    def lacks_scans(self) -> bool:
        """Whether scans are missing that must have been there: decoders take what they hold for zeros, without a word.

        Every component must have been sent, and every bit of a coefficient whose higher bits were. Coefficients of which a
        progressive picture sends nothing at all may have been left out by its maker.
        """
        if self.frame is None:
            return True
        # Of each component, by coefficient: the lowest bit that was sent.
        sent = {identifier: [0] * 64 for scan in self.scans for identifier in scan.components}
        begun = set[int]()
        for scan in self.scans:
            if not scan.components:
                continue
            first, last, low = scan.header[-3], min(scan.header[-2], 63), scan.header[-1] & 15
            if not self.frame.is_progressive or (first == 0 and not scan.header[-1] >> 4):
                begun |= set(scan.components)
            for identifier in scan.components if self.frame.is_progressive else ():
                sent[identifier][first : last + 1] = [low] * (last + 1 - first)
        return any(identifier not in begun or any(sent[identifier]) for identifier, _, _ in self.frame.components)

    def rewrite(self, scans: list[bytes] | None = None) -> bytes:
        """The same picture: tables, frame, scans (with ``scans`` for their data), end marker; colours told as they were.

        A sequential scan's spectral selection and approximation mean nothing and are set to what they must be (T.81, B.2.3):
        some phones write something else.
        """
        parts, framed = [b"\xff\xd8", self._colours()], False
        datas = scans if scans is not None else [scan.data for scan in self.scans]
        for scan, data in zip(self.scans, datas, strict=True):
            for marker, body in scan.tables:
                framed |= marker in _FRAMES
                parts.append(_segment(marker, body))
            header = scan.header
            if self.frame and self.frame.is_sequential:
                header = header[:-3] + b"\x00\x3f\x00"
            parts += [_segment(_SOS, header), data]
        return b"".join([*parts, b"\xff\xd9"])

    def alone(self, number: int) -> bytes:
        """A grey picture of what one component of a progressive one has but first coefficients, which are all 0.

        What it shows means nothing, but every decoder reads it, whatever the sampling, and can tell whether the data are whole.
        """
        if self.frame is None:
            raise ValueError(number)
        identifier, h, v = self.frame.components[number]
        width = -(-self.frame.width * h // max(part[1] for part in self.frame.components))
        height = -(-self.frame.height * v // max(part[2] for part in self.frame.components))
        whole, bits = divmod(-(-width // 8) * -(-height // 8), 8)
        zeros = bytes(whole) + (bytes([0xFF >> bits]) if bits else b"")
        parts = [
            b"\xff\xd8",
            _segment(_DQT, b"\0" + b"\1" * 64),
            _segment(self.frame.marker, b"\x08" + height.to_bytes(2) + width.to_bytes(2) + bytes([1, identifier, 0x11, 0])),
            _segment(_DHT, b"\0\1" + bytes(16)),
            _segment(_SOS, bytes([1, identifier, 0, 0, 0, 0])),
            zeros,
        ]
        for scan in self.scans:
            parts += [_segment(marker, body) for marker, body in scan.tables if marker in {_DHT, _DRI}]
            if scan.components == (identifier,) and scan.header[-3]:
                parts += [_segment(_SOS, scan.header), scan.data]
        return b"".join([*parts, b"\xff\xd9"])

    def _colours(self) -> bytes:
        count = len(self.frame.components) if self.frame else 0
        if self.jfif and count == 3:
            # Colours are JFIF's then, whatever Adobe's segment says (libjpeg).
            return _JFIF
        if self.adobe is not None and count in {3, 4}:
            # Other transforms are unknown; decoders take them for YCbCr and YCCK.
            known = {3: (0, 1), 4: (0, 2)}[count]
            return _ADOBE + bytes([self.adobe if self.adobe in known else known[1]])
        return _JFIF if self.jfif else b""


def walk(data: bytes) -> Layout:
    """Find segments and scans. What is no segment between two is passed over, as decoders do; thumbnails lie in segments."""
    found, tables, at, left = Layout(), list[tuple[int, bytes]](), 2, MOST_MARKERS
    sent = Counter[int]()
    while left and (match := _MARKER.search(data, at)):
        marker, at, left = match.group(1)[0], match.end(), left - 1
        if marker == _EOI:
            found.ended = bool(found.scans)
            break
        if marker in {_SOI, _TEM} or 0xD0 <= marker <= 0xD7:
            continue
        if at + 2 > len(data):
            break
        length = int.from_bytes(data[at : at + 2])
        body, at = data[at + 2 : at + max(2, length)], at + max(2, length)
        if at > len(data):
            break
        if marker == _SOS:
            end = _END_OF_SCAN.search(data, at)
            stop = end.start() if end else len(data)
            found.scans.append(Scan(tuple(tables), body, data[at:stop]))
            tables, at = [], stop
            sent.update(found.scans[-1].components)
            if _is_all(found.frame, sent):
                # What follows is no part of the picture: marks in a film or a preview behind it are no segments.
                found.ended = data.startswith(b"\xff\xd9", stop)
                found.tail = b"" if found.ended else data[stop:]
                break
        elif marker in _FRAMES or marker in _TABLES:
            tables.append((marker, body))
            if marker in _FRAMES:
                found.frames += 1
                found.frame = found.frame or _frame(marker, body)
        else:
            _note(found, marker, body)
    return found


def _is_all(frame: Frame | None, sent: Counter[int]) -> bool:
    """Whether every component of a sequential picture has had its one scan. Identifiers need not differ."""
    if frame is None or not frame.is_sequential:
        return False
    return all(sent[identifier] >= many for identifier, many in Counter(part[0] for part in frame.components).items())


def _note(found: Layout, marker: int, body: bytes) -> None:
    if marker == 0xE1 and body.startswith(b"Exif\0") and not found.exif:
        found.exif = body[6:]
    elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
        found.adobe = body[11]
    elif marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= LEAST_JFIF:
        found.jfif = True


def _frame(marker: int, body: bytes) -> Frame | None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        return None
    parts = (body[6 + 3 * n : 9 + 3 * n] for n in range(body[5]))
    components = tuple((part[0], part[1] >> 4, part[1] & 15) for part in parts)
    return Frame(marker, body[0], int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), components)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body
