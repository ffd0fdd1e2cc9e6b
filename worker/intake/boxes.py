"""The boxes of a HEIF or AVIF file: which items its picture is made of, and whether their bytes are all there.

ISO/IEC 14496-12 (boxes, 4.2; item location, 8.11.3; item references, 8.11.12), ISO/IEC 23008-12 (derived images, 6.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from worker.errors import PictureError

__all__ = [
    "Item",
    "Span",
    "brands",
    "coded_items",
    "coded_units",
    "is_cut",
    "is_film",
    "largest",
    "outermost",
    "picture_items",
    "primary_type",
    "with_merged_associations",
    "without_metadata",
]

Span = tuple[int, int]
"""Where bytes begin, and where they end."""

MOST_ITEMS = 20_000
"""libheif takes 1,000; a picture of 150 million pixels has 580 tiles of 512 x 512."""
MOST_SPANS = 40_000
"""Of all items together."""
MOST_BOXES = 100_000
"""One after the other; what follows is not seen. A file may hold millions of empty ones."""
MOST_SHARED = 4
"""How many times the file's length its items may be, which may lie on top of each other."""
DERIVED_FROM, ALPHA_OF = b"dimg", b"auxl"
ALPHA_NAMES = (b":alpha", b":auxid:1\0")
"""Ends of the names that auxiliary items of alpha have (ISO/IEC 23008-12, ISO/IEC 23000-22)."""
METADATA = {b"Exif", b"mime", b"uri "}


class _ShortError(Exception):
    """A box ends before what it should hold."""


@dataclass
class Item:
    """One picture, tile or block of metadata inside the file.

    Attributes:
        kind: four characters: ``hvc1``, ``av01``, ``grid``, ...
        kind_at: where in the file its kind stands.
        spans: where its bytes lie in the file; those of items inside other items are left out.

    """

    kind: bytes = b""
    kind_at: int = 0
    spans: list[Span] = field(default_factory=list)


@dataclass
class _Meta:
    primary: int = -1
    items: dict[int, Item] = field(default_factory=dict)
    references: list[tuple[bytes, int, list[int]]] = field(default_factory=list)
    length_sizes: set[int] = field(default_factory=set)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    spans: int = 0
    auxiliary: dict[int, bytes] = field(default_factory=dict)
    associations: dict[int, list[int]] = field(default_factory=dict)

    def may_be_alpha(self, number: int) -> bool:
        """Whether an auxiliary item is one: some are depths or gain maps, which nobody sees."""
        told = [self.auxiliary[each] for each in self.associations.get(number, []) if each in self.auxiliary]
        return not told or any(name in part for part in told for name in ALPHA_NAMES)


class _Reader:
    """Big-endian numbers out of a span of bytes."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data, self.at, self.end = data, at, end

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def take(self, size: int) -> bytes:
        if self.at + size > self.end:
            raise _ShortError
        self.at += size
        return self.data[self.at - size : self.at]


def brands(data: bytes) -> list[bytes]:
    """The brands that the file says it follows, the major one first; none if it does not begin with them."""
    size = int.from_bytes(data[:4])
    if data[4:8] != b"ftyp" or size < 12:
        return []
    return [data[8:12], *(data[at : at + 4] for at in range(16, min(size, len(data), 400), 4))]


def outermost(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of what is inside of each box that is in no other one."""
    return _boxes(data, 0, len(data))


def primary_type(data: bytes) -> bytes:
    """The kind of the item that is to be shown, of a derived one that of its first part; empty if the file does not say."""
    meta = _read(data)
    kinds = [meta.items[number].kind for number in _parts(meta) if number in meta.items]
    coded = [kind for kind in kinds if kind not in {b"grid", b"iovl", b"iden", b"tmap"}]
    return next(iter(coded or kinds), b"")


def picture_items(data: bytes) -> list[Item]:
    """The item that is to be shown, those that it is derived from, and their alpha; without thumbnails and metadata."""
    meta = _read(data)
    return [meta.items[number] for number in _parts(meta) if number in meta.items]


def largest(data: bytes) -> tuple[int, int]:
    """Width and height of the largest picture that the file says it holds; (0, 0) if it says nothing."""
    return max(_read(data).sizes, key=lambda size: size[0] * size[1], default=(0, 0))


def is_cut(data: bytes) -> bool:
    """Whether the last box goes on behind the end of the file, or begins where nothing follows."""
    at, left = 0, MOST_BOXES
    while at + 8 <= len(data) and left:
        left -= 1
        size = int.from_bytes(data[at : at + 4])
        if size == 1 and at + 16 <= len(data):
            size = int.from_bytes(data[at + 8 : at + 16])
        if size == 0:
            return False
        at += max(size, 8)
    return bool(left) and at != len(data)


def is_film(data: bytes) -> bool:
    """Whether the file holds tracks, as films do, and no picture of its own."""
    kinds = {kind for kind, _, _ in _boxes(data, 0, len(data))}
    return b"moov" in kinds and _read(data).primary < 0


def without_metadata(data: bytes) -> bytes:
    """The same file with its EXIF and XMP called something that nobody reads: no pixel depends on them, whatever is in them."""
    patched = bytearray(data)
    for item in _read(data).items.values():
        # A kind that is no text ends pi_heif's process (1.4.0, ``_CtxImage_metadata``: seen by fuzzing).
        if item.kind_at and (item.kind in METADATA or not item.kind.isalnum()):
            patched[item.kind_at : item.kind_at + 4] = b"skip"
    return bytes(patched)


def with_merged_associations(data: bytes) -> bytes:
    """The same file with one box of associations for several that follow each other, which libavif refuses.

    Encoders of 2020 wrote one for each item. What their headers took becomes a free box behind them, so nothing moves.
    """
    outer = _first_inside(data, (0, len(data)), b"meta")
    around = _first_inside(data, (outer[0] + 4, outer[1]), b"iprp")
    spans = [(start, end) for kind, start, end in _boxes(data, *around) if kind == b"ipma"]
    heads = {data[start : start + 4] for start, _ in spans}
    adjacent = all(after[0] == before[1] + 8 for before, after in pairwise(spans))
    if len(spans) < 2 or len(heads) > 1 or not adjacent or spans[-1][1] != around[1]:
        return data
    count = sum(int.from_bytes(data[start + 4 : start + 8]) for start, _ in spans)
    entries = b"".join(data[start + 8 : end] for start, end in spans)
    freed, first = 16 * (len(spans) - 1), spans[0][0]
    merged = (16 + len(entries)).to_bytes(4) + b"ipma" + data[first : first + 4] + count.to_bytes(4) + entries
    size = (around[1] - around[0] + 8 - freed).to_bytes(4)
    free = freed.to_bytes(4) + b"free" + bytes(freed - 8)
    return data[: around[0] - 8] + size + b"iprp" + data[around[0] : first - 8] + merged + free + data[around[1] :]


def _first_inside(data: bytes, span: Span, name: bytes) -> Span:
    """Begin and end of what is inside of the first box of a kind; nothing if there is none."""
    return next(((start, end) for kind, start, end in _boxes(data, *span) if kind == name), (0, 0))


def coded_items(data: bytes) -> Iterator[tuple[Item, bytes]]:
    """``picture_items``, each with its bytes.

    Raises:
        PictureError: ``damaged``, where they lie on top of each other so often that no encoder has written them.

    """
    left = MOST_SHARED * len(data)
    for item in picture_items(data):
        left -= sum(max(0, min(end, len(data)) - start) for start, end in item.spans)
        if left < 0:
            raise PictureError("damaged", "its parts lie on top of each other: save the picture again and upload it")
        yield item, b"".join(data[start:end] for start, end in item.spans)


def coded_units(data: bytes) -> Iterator[bytes | None]:
    """The units of HEVC data that the picture is made of, and ``None`` for each item that is no sequence of whole units.

    Each has its length in front of it, in as many bytes as the decoder configuration says (ISO/IEC 14496-15, 8.3).
    """
    sizes = _read(data).length_sizes
    if len(sizes) != 1:
        return
    size = next(iter(sizes))
    for item, coded in coded_items(data):
        if item.kind == b"hvc1":
            at = 0
            while at < len(coded):
                length = int.from_bytes(coded[at : at + size])
                end = at + size + length
                if not length or end > len(coded):
                    yield None
                    break
                yield coded[at + size : end]
                at = end


def _parts(meta: _Meta) -> list[int]:
    """Numbers of the items that the picture is made of, the primary one first."""
    found, seen = [meta.primary], {meta.primary}
    sources: dict[int, list[int]] = {}
    for kind, start, ends in meta.references:
        if kind == DERIVED_FROM:
            sources.setdefault(start, []).extend(ends)
        elif kind == ALPHA_OF and meta.may_be_alpha(start):
            for end in ends:
                sources.setdefault(end, []).append(start)
    for number in found:
        new = dict.fromkeys(each for each in sources.get(number, []) if each not in seen)
        seen.update(new)
        found.extend(new)
    return found


def _read(data: bytes) -> _Meta:
    """As much of the ``meta`` box as can be read."""
    meta = _Meta()
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            inside = list(_boxes(data, start + 4, end))
            idat = next(((at, stop) for name, at, stop in inside if name == b"idat"), (0, 0))
            for name, at, stop in inside:
                try:
                    _read_box(meta, name, _Reader(data, at, stop), idat)
                except _ShortError:
                    continue
            break
    return meta


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of what is inside of each box; the last one may end before its length says."""
    left = MOST_BOXES
    while at + 8 <= end and left:
        left -= 1
        size, head = int.from_bytes(data[at : at + 4]), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16]), 16
        elif size == 0:
            size = end - at
        if size < head:
            return
        yield data[at + 4 : at + 8], at + head, min(at + size, end)
        at += size


def _read_box(meta: _Meta, name: bytes, box: _Reader, idat: Span) -> None:
    if name == b"iprp":
        readers = {b"ipco": _read_properties, b"ipma": _read_associations}
        for each, at, stop in _boxes(box.data, box.at, box.end):
            if each in readers:
                readers[each](meta, _Reader(box.data, at, stop))
    if name not in {b"pitm", b"iinf", b"iloc", b"iref"}:
        return
    version = box.number(4) >> 24
    if name == b"pitm":
        meta.primary = box.number(4 if version else 2)
    elif name == b"iinf":
        box.take(4 if version else 2)
        for kind, at, stop in _boxes(box.data, box.at, box.end):
            if kind == b"infe":
                _read_entry(meta, _Reader(box.data, at, stop))
    elif name == b"iloc":
        _read_locations(meta, box, version, idat)
    else:
        _read_references(meta, box, 4 if version else 2)


def _read_properties(meta: _Meta, box: _Reader) -> None:
    for number, (kind, at, stop) in enumerate(_boxes(box.data, box.at, box.end), 1):
        inside = _Reader(box.data, at, stop)
        if kind == b"auxC":
            meta.auxiliary[number] = box.data[at + 4 : min(stop, at + 100)]
        elif kind == b"hvcC":
            # The last two bits of its 22nd byte: the bytes of a length, less one.
            meta.length_sizes.add((inside.take(22)[-1] & 3) + 1)
        elif kind == b"ispe":
            inside.take(4)
            meta.sizes.append((inside.number(4), inside.number(4)))


def _read_associations(meta: _Meta, box: _Reader) -> None:
    head = box.number(4)
    for _ in range(min(box.number(4), MOST_ITEMS)):
        number = box.number(4 if head >> 24 else 2)
        # The first bit says that it is essential, the others are its number.
        wide = 2 if head & 1 else 1
        found = [box.number(wide) & ((1 << (8 * wide - 1)) - 1) for _ in range(box.number(1))]
        meta.associations.setdefault(number, []).extend(found)


def _read_entry(meta: _Meta, box: _Reader) -> None:
    version = box.number(4) >> 24
    if version < 2 or len(meta.items) >= MOST_ITEMS:
        return
    number = box.number(4 if version > 2 else 2)
    box.take(2)
    item = meta.items.setdefault(number, Item())
    item.kind, item.kind_at = box.take(4), box.at - 4


def _read_locations(meta: _Meta, box: _Reader, version: int, idat: Span) -> None:
    sizes, more = box.number(1), box.number(1)
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    for _ in range(box.number(4 if version > 1 else 2)):
        number = box.number(4 if version > 1 else 2)
        method = box.number(2) & 15 if version else 0
        box.take(2)
        base, extents = box.number(base_size), box.number(2)
        # Extents that take no bytes of the box could be many for nothing.
        for _ in range(extents if index_size + offset_size + length_size else min(extents, 1)):
            box.take(index_size)
            start, length = base + box.number(offset_size), box.number(length_size)
            meta.spans += 1
            if meta.spans > MOST_SPANS:
                return
            if method < 2 and len(meta.items) < MOST_ITEMS:
                start += idat[0] if method else 0
                meta.items.setdefault(number, Item()).spans.append((start, start + length if length else len(box.data)))


def _read_references(meta: _Meta, box: _Reader, size: int) -> None:
    for kind, at, stop in _boxes(box.data, box.at, box.end):
        if len(meta.references) >= MOST_ITEMS:
            return
        inside = _Reader(box.data, at, stop)
        start = inside.number(size)
        meta.references.append((kind, start, [inside.number(size) for _ in range(inside.number(2))]))
