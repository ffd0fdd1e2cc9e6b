"""A PNG is its critical chunks: whatever stands beside them, it is decoded once, and whole."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.pictures import encode, photo
from worker.errors import PictureError
from worker.intake import png
from worker.intake.decode import decode, probe

MOST = 50_000_000
IMAGE = photo(120, 90)
WHOLE = encode(IMAGE, "PNG")
PIXELS = np.asarray(IMAGE)


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return len(body).to_bytes(4) + kind + body + checksum.to_bytes(4)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def with_chunk(more: bytes, data: bytes = WHOLE, before: bytes = b"IDAT") -> bytes:
    at = data.index(before) - 4
    return data[:at] + more + data[at:]


def code_of(data: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, MOST)
    return caught.value.code


ANCILLARY = [
    b"gAMA",
    b"pHYs",
    b"tEXt",
    b"iTXt",
    b"zTXt",
    b"sRGB",
    b"tIME",
    b"cHRM",
    b"eXIf",
    b"bKGD",
    b"iCCP",
    b"prVt",
    b"sBIT",
]


@pytest.mark.parametrize("kind", ANCILLARY)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("wrong", ["checksum", "short", "long"])
def test_ancillary_chunks_refuse_nothing(kind: bytes, before: bytes, wrong: str) -> None:
    """A wrong checksum, too few bytes, or two million of them, compressed ones too."""
    body = {"checksum": b"a\0\0\0abc", "short": b"", "long": b"a\0\0" + zlib.compress(bytes(2_000_000))}[wrong]
    data = with_chunk(chunk(kind, body, 1 if wrong == "checksum" else None), before=before)
    assert (decode(data, MOST).pixels == PIXELS).all()


def test_a_damaged_animation_is_still_a_picture() -> None:
    """Wrong numbers, frames beyond the canvas: its still picture is whole."""
    control = chunk(b"acTL", bytes(3) + b"\x02" + bytes(4))
    frame = chunk(b"fcTL", b"\0\0\0\x09" + (5000).to_bytes(4) * 2 + bytes(16))
    assert (decode(with_chunk(control + frame), MOST).pixels == PIXELS).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_modes(mode: str) -> None:
    """As Pillow has them, from the rebuilt file."""
    image = Image.fromarray(np.asarray(IMAGE.convert("L"), np.uint16) * 257) if mode == "I;16" else IMAGE.convert(mode)
    wanted = np.asarray(IMAGE.convert("L").convert("RGB") if mode == "I;16" else image.convert("RGB"))
    assert (decode(encode(image, "PNG"), MOST).pixels == wanted).all()


def made(
    width: int, height: int, rows: int, *, depth: int = 8, colour: int = 2, interlace: int = 0, more: bytes = b""
) -> bytes:
    """A grey PNG whose data hold so many rows."""
    size = width.to_bytes(4) + height.to_bytes(4) + bytes([depth, colour, 0, 0, interlace])
    row = b"\0" + b"\x80" * (width * png.CHANNELS[colour] * depth // 8)
    data = chunk(b"IDAT", zlib.compress(row * rows))
    return png.SIGNATURE + chunk(b"IHDR", size) + more + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(("rows", "whole"), [(60, True), (61, True), (59, False), (10, False), (0, False)])
def test_too_few_rows(rows: int, whole: bool) -> None:
    """Decoders leave the rest black, and say nothing."""
    data = made(40, 60, rows)
    if whole:
        assert decode(data, MOST).pixels.min() == 128
    else:
        assert code_of(data) == "truncated"


def test_too_few_rows_of_black() -> None:
    """What is black by right is not what is missing; interlaced pictures are counted, too."""
    black = encode(Image.new("RGB", (40, 60)), "PNG")
    assert decode(black, MOST).pixels.max() == 0
    size = chunk(b"IHDR", (8).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 1]))
    for count, whole in ((64 + 15, True), (64 + 14, False), (40, False)):
        data = png.SIGNATURE + size + chunk(b"IDAT", zlib.compress(bytes(count))) + chunk(b"IEND", b"")
        if whole:
            assert decode(data, MOST).width == 8
        else:
            assert code_of(data) == "truncated"


def test_data_in_any_number_of_chunks() -> None:
    """One for each byte, empty ones before and between: the same picture."""
    wanted = decode(WHOLE, MOST).pixels
    data = b"".join(body for kind, body in chunks(WHOLE) if kind == b"IDAT")
    empty = chunk(b"IDAT", b"")
    parts = empty * 9 + b"".join(chunk(b"IDAT", data[at : at + 1]) + empty for at in range(len(data)))
    start, end = WHOLE.index(b"IDAT") - 4, WHOLE.index(b"IEND") - 4
    many = WHOLE[:start] + parts + WHOLE[end:]
    assert len(data) > png.MOST_PARTS
    assert (decode(many, MOST).pixels == wanted).all()
    assert code_of(WHOLE[:start] + parts[: len(parts) // 2] + WHOLE[end:]) in {"damaged", "truncated"}


def test_what_counting_leaves_is_not_copied_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A black last row makes the data be counted; handed over whole, what each call leaves would be copied each time."""
    handed = list[int]()
    real = zlib.decompressobj

    class Counted:
        def __init__(self) -> None:
            self.inflate = real()

        def decompress(self, data: bytes, most: int) -> bytes:
            handed.append(len(data))
            return self.inflate.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self.inflate, name)

    monkeypatch.setattr("worker.intake.inflate.zlib.decompressobj", Counted)
    image = np.random.default_rng(1).integers(0, 256, (600, 900, 3), np.uint8)
    image[-1] = 0
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in image), 1)
    head = chunk(b"IHDR", (900).to_bytes(4) + (600).to_bytes(4) + bytes([8, 2, 0, 0, 0]))
    assert decode(png.SIGNATURE + head + chunk(b"IDAT", packed) + chunk(b"IEND", b""), MOST).height == 600
    assert len(packed) <= sum(handed) <= 2 * len(packed)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_cut_anywhere(share: float) -> None:
    """Within the data; but where only the last checksums are missing, all is there."""
    assert code_of(WHOLE[: int(len(WHOLE) * share)]) == "truncated"
    for less in (12, 14, 16):
        assert (decode(WHOLE[:-less], MOST).pixels == PIXELS).all()


def test_damaged_data() -> None:
    """A flipped byte in the stream that zlib notices."""
    at = WHOLE.index(b"IDAT") + 40
    assert code_of(WHOLE[:at] + bytes(50) + WHOLE[at + 50 :]) in {"damaged", "truncated"}
    assert code_of(WHOLE[:24] + b"\x03" + WHOLE[25:]) == "damaged"


def test_one_decode_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header is read without Pillow, which decodes all of a PNG to look for EXIF."""
    loads = list[int]()
    real = PngImagePlugin.PngImageFile.load_prepare

    def counted(self: PngImagePlugin.PngImageFile) -> None:
        loads.append(self.width * self.height)
        real(self)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", counted)
    with pytest.raises(PictureError, match="too_many_pixels"):
        decode(WHOLE, 120 * 90 - 1)
    assert probe(WHOLE, MOST).width == 120
    assert loads == []
    decode(WHOLE, MOST)
    assert loads == [120 * 90]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_exif_turns_and_xmp_does_not(before: bytes) -> None:
    """In front of the pixels or behind them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(with_chunk(chunk(b"eXIf", exif.tobytes()[6:]), before=before), MOST).width == 90
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    assert decode(with_chunk(chunk(b"iTXt", xmp), before=before), MOST).width == 120


@pytest.mark.parametrize(("colour", "body"), [(0, b"\x80\x80"), (2, b"\x80\x80" * 3)])
def test_a_transparent_colour_of_16_bits(colour: int, body: bytes) -> None:
    """It is transparent, and no colour beside it."""
    clear = made(8, 8, 8, depth=16, colour=colour, more=chunk(b"tRNS", body))
    near = made(8, 8, 8, depth=16, colour=colour, more=chunk(b"tRNS", body[:-1] + b"\x81"))
    assert decode(clear, MOST).pixels.min() == 255
    assert set(np.unique(decode(near, MOST).pixels)) == {128}


def test_transparency_longer_than_the_palette_is_none() -> None:
    """As libpng has it."""
    palette = chunk(b"PLTE", b"\x80\x80\x80")
    row = b"\0" + bytes(8)
    size = (8).to_bytes(4) * 2 + bytes([8, 3, 0, 0, 0])
    parts = [
        chunk(b"IHDR", size),
        palette,
        chunk(b"tRNS", bytes(9)),
        chunk(b"IDAT", zlib.compress(row * 8)),
        chunk(b"IEND", b""),
    ]
    assert set(np.unique(decode(png.SIGNATURE + b"".join(parts), MOST).pixels)) == {128}


@pytest.mark.parametrize("size", [(1, 2_000_000), (2_000_000, 1)])
def test_very_long_sides(size: tuple[int, int]) -> None:
    """Whatever they are good for."""
    picture = decode(encode(Image.new("RGB", size, (9, 9, 9)), "PNG"), MOST)
    assert (picture.width, picture.height) == size
    assert picture.pixels.max() == 9


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(8, len(WHOLE) - 1), st.integers(0, 255)), max_size=5), st.integers(0, len(WHOLE)))
def test_any_bytes_give_a_picture_or_a_reason(changes: list[tuple[int, int]], end: int) -> None:
    """In words for people."""
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    try:
        decode(bytes(data[: max(8, end)]), 1_000_000)
    except PictureError as error:
        assert error.code in {"truncated", "damaged", "too_many_pixels"}
        assert "upload" in error.detail or "pixels" in error.detail


def test_the_rebuilt_file_is_the_same_picture() -> None:
    """All of its data, once."""
    file = io.BytesIO()
    IMAGE.save(file, "PNG", dpi=(72, 72))
    kinds = [kind for kind, _ in chunks(png._read(file.getvalue()).rebuilt())]
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_level_of_grey(depth: int) -> None:
    """Whatever the depth, it and no other."""
    levels = 1 << depth
    for clear in range(min(levels, 4)):
        bits = "".join(format(value % levels, f"0{depth}b") for value in range(16))
        row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8)
        head = chunk(b"IHDR", (16).to_bytes(4) + (2).to_bytes(4) + bytes([depth, 0, 0, 0, 0]))
        data = png.SIGNATURE + head + chunk(b"tRNS", clear.to_bytes(2)) + chunk(b"IDAT", zlib.compress(row * 2))
        found = decode(data + chunk(b"IEND", b""), MOST).pixels[0, :, 0]
        wanted = np.array([value % levels * 255 // (levels - 1) for value in range(16)])
        shown = np.array([value % levels != clear for value in range(16)])
        assert (found[shown] == wanted[shown]).all()
        assert set(found[~shown].tolist()) <= {64, 255}


def test_a_png_of_apples_own_kind() -> None:
    """Its data lack what makes them data for others."""
    assert code_of(png.SIGNATURE + chunk(b"CgBI", b"P\0 \2") + WHOLE[8:]) == "unsupported_format"
