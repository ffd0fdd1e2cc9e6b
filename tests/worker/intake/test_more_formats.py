"""HEIF, AVIF and WebP come out as the same upright RGB, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.pictures import corners, encode, photo, pixels
from worker.errors import PictureError
from worker.intake import boxes, heif
from worker.intake.decode import decode, probe

MOST = 50_000_000
CORNERS = pixels(corners())
FILES = Path(__file__).with_name("files")
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def heic(name: str) -> bytes:
    return (FILES / f"{name}.heic").read_bytes()


def code_of(data: bytes, most: int = MOST) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, most)
    assert not any(word in caught.value.detail.lower() for word in ("libheif", "pillow", "decoder_", "errno", "exception"))
    return caught.value.code


def like_corners(data: bytes, kind: str, tolerance: int = 30) -> bool:
    picture = decode(data, MOST)
    assert (picture.width, picture.height, picture.format) == (64, 48, kind)
    return bool(np.abs(picture.pixels.astype(int) - CORNERS)[4:-4:8, 4:-4:8].max() <= tolerance)


@pytest.mark.parametrize("name", ["corners", "turned", "ten-bits", "second-is-primary"])
def test_heic(name: str) -> None:
    """One that its container turns while its EXIF says so, too; ten bits; several pictures, of which one is the primary."""
    assert like_corners(heic(name), "HEIF")
    assert probe(heic(name), MOST).orientation == 1


def test_heic_of_tiles() -> None:
    """As phones write it."""
    picture = decode(heic("grid"), MOST)
    assert (picture.width, picture.height) == (256, 192)
    assert np.abs(picture.pixels.astype(int) - np.asarray(photo(256, 192))).mean() < 12


def test_heic_with_alpha() -> None:
    """Its right half is transparent."""
    found = decode(heic("alpha"), MOST).pixels
    assert found[4:-4, 40:].min() > 245
    assert np.abs(found[4:-4:8, 4:28:8].astype(int) - CORNERS[4:-4:8, 4:28:8]).max() <= 30


@pytest.mark.parametrize("name", ["corners", "grid", "alpha"])
def test_heic_that_is_cut_or_holed(name: str) -> None:
    """libheif would leave tiles out, or guess."""
    data = heic(name)
    for end in (20, 60, len(data) // 3, len(data) // 2, len(data) - 40, len(data) - 1):
        assert code_of(data[:end]) == "truncated"
    at = len(data) - 120
    assert code_of(data[:at] + bytes(80) + data[at + 80 :]) == "damaged"


@pytest.mark.parametrize("length", [64, 1000])
def test_a_hole_of_zeros_at_the_end(length: int) -> None:
    """Decoders take it for data, or leave a tile out."""
    for data in (heic("grid"), heic("corners"), encode(photo(200, 150), "AVIF", quality=80)):
        most = min(length, len(data) // 4)
        assert code_of(data[:-most] + bytes(most)) == "damaged"


def test_flat_pictures_have_no_holes() -> None:
    """Their data are short."""
    for colour in ((255, 255, 255), (0, 0, 0), (3, 200, 90)):
        for size in ((2000, 1500), (64, 64)):
            for options in ({"quality": 100}, {"quality": 30, "speed": 10}):
                assert decode(encode(Image.new("RGBA", size, (*colour, 128)), "AVIF", **options), MOST).width == size[0]


def test_heic_with_a_kind_that_is_no_text() -> None:
    """A flipped bit there ended the process."""
    data = heic("turned")
    at = data.index(b"Exif", data.index(b"infe"))
    for kind in (b"\xc5xif", b"mi\xffe", b"\0\0\0\0", b"uri "):
        assert like_corners(data[:at] + kind + data[at + 4 :], "HEIF")


def test_a_location_of_an_item_that_is_not_there() -> None:
    """Its kind stands nowhere, so nothing is to be called something else."""
    exif = Image.Exif()
    exif[0x010E] = "a description"
    for data, kind in (
        (heic("turned"), "HEIF"),
        (encode(corners(), "AVIF", quality=95, subsampling="4:4:4", exif=exif), "AVIF"),
    ):
        entry = data.rindex(b"infe", 0, data.index(b"Exif"))
        odd = data[: entry + 8] + (900).to_bytes(2) + data[entry + 10 :]
        assert boxes.without_metadata(odd)[:8] == data[:8]
        assert like_corners(odd, kind)


def test_heic_size_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is decoded for it."""
    monkeypatch.setattr(heif, "decode", lambda *_: pytest.fail("decoded"))
    assert probe(heic("grid"), MOST).width == 256
    assert code_of(heic("grid"), 256 * 192 - 1) == "too_many_pixels"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["AVIF", "TIFF"])
def test_orientation(kind: str, orientation: int) -> None:
    """All eight, undone once."""
    assert features.check("avif")
    stored = corners() if orientation == 1 else corners().transpose(UNDO[orientation])
    if kind == "AVIF":
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encode(stored, "AVIF", quality=95, subsampling="4:4:4", exif=exif)
    else:
        data = encode(stored, "TIFF", tiffinfo={274: orientation})
    assert like_corners(data, kind)


def test_avif_alpha_sequence_and_limit() -> None:
    """Transparent is white; the first frame counts; the header is enough to refuse."""
    clear = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    assert decode(encode(clear, "AVIF"), MOST).pixels.min() > 250
    file = io.BytesIO()
    corners().save(file, "AVIF", save_all=True, append_images=[Image.new("RGB", (64, 48))], quality=95, subsampling="4:4:4")
    assert like_corners(file.getvalue(), "AVIF")
    assert code_of(file.getvalue(), 64 * 48 - 1) == "too_many_pixels"


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["AVIF", "TIFF"])
def test_cut(kind: str, share: float) -> None:
    """Not one line is filled in."""
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    data = encode(photo(200, 150), kind, **options)
    assert code_of(data[: int(len(data) * share)]) in {"truncated", "damaged"}


@pytest.mark.parametrize("odd", [True, False])
def test_webp_without_its_last_padding(odd: bool) -> None:
    """It holds nothing, and some programs do not count it; any other last byte is part of the picture."""
    image = np.random.default_rng(4)
    data = next(
        data
        for width in range(20, 90)
        if (data := encode(Image.fromarray(image.integers(0, 256, (30, width, 3), np.uint8)), "WEBP", lossless=True))[16] % 2
        == odd
    )
    size = int.from_bytes(data[4:8], "little")
    uncounted = data[:4] + (size - 1).to_bytes(4, "little") + data[8:]
    assert same_pixels(uncounted, data)
    for other in (data[:-1], uncounted[:-1]):
        if odd:
            assert same_pixels(other, data)
        else:
            assert code_of(other) in {"truncated", "damaged"}


def same_pixels(data: bytes, whole: bytes) -> bool:
    return bool((decode(data, MOST).pixels == decode(whole, MOST).pixels).all())


def test_webp_cut_behind_its_picture() -> None:
    """Nothing that is seen is missing; nor where the outer size is any number, or a second frame is cut."""
    exif = Image.Exif()
    exif[0x0112] = 3
    plain = encode(photo(80, 60), "WEBP", quality=80)
    data = encode(photo(80, 60), "WEBP", quality=80, exif=exif.tobytes() + bytes(500))
    at = data.index(b"EXIF")
    for end in (at, at + 3, at + 8, len(data) - 100):
        assert same_pixels(data[:end], plain)
    assert probe(data, MOST).orientation == 3
    for size in (0, 17, 0xFFFFFFFF):
        assert same_pixels(plain[:4] + size.to_bytes(4, "little") + plain[8:], plain)
    file = io.BytesIO()
    photo(80, 60).save(file, "WEBP", save_all=True, append_images=[photo(80, 60, 7)], lossless=True)
    assert same_pixels(file.getvalue()[:-200], file.getvalue())


def test_heic_cut_behind_its_picture() -> None:
    """A gain map or a depth is no part of it; alpha is."""
    data = heic("alpha")
    end = max(stop for item in boxes.picture_items(data) for _, stop in item.spans)
    assert len([item for item in boxes.picture_items(data) if item.kind == b"hvc1"]) == 2
    at = data.index(b"auxC") + 8
    stop = data.index(b"\0", at)
    other = data[:at] + b"urn:x:hdrgainmap".ljust(stop - at, b"x") + data[stop:]
    assert len([item for item in boxes.picture_items(other) if item.kind == b"hvc1"]) == 1
    first = max(stop for item in boxes.picture_items(other) for _, stop in item.spans)
    assert first <= end


def test_avif_with_associations_apart() -> None:
    """One box of them for each item, as encoders of 2020 wrote them."""
    image = photo(80, 60)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = encode(image, "AVIF", quality=90)
    at = data.index(b"ipma")
    size, count = int.from_bytes(data[at - 4 : at]), int.from_bytes(data[at + 8 : at + 12])
    assert count == 2
    entries = data[at + 12 : at - 4 + size]
    # Of each: an identifier of two bytes, the number of its properties, and a byte for each.
    first = entries[: 3 + entries[2]]
    parts = [
        (16 + len(entry)).to_bytes(4) + b"ipma" + data[at + 4 : at + 8] + (1).to_bytes(4) + entry
        for entry in (first, entries[len(first) :])
    ]
    apart = bytearray(data[: at - 4] + b"".join(parts) + data[at - 4 + size :])
    for name in (b"iprp", b"meta"):
        place = apart.index(name) - 4
        apart[place : place + 4] = (int.from_bytes(apart[place : place + 4]) + 16).to_bytes(4)
    # Locations: offsets of four bytes, behind numbers of item, method or place, and extents (version 0).
    place = apart.index(b"iloc") + 4
    assert apart[place : place + 5] == b"\0\0\0\0\x44"
    for number in range(2):
        offset = place + 8 + 14 * number + 6
        apart[offset : offset + 4] = (int.from_bytes(apart[offset : offset + 4]) + 16).to_bytes(4)
    assert (decode(bytes(apart), MOST).pixels == decode(data, MOST).pixels).all()


def box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + kind + body


def a_file(brand: bytes, count: int, locations: bytes, *more: bytes) -> bytes:
    """Of so many items, the first of which is the picture; ``locations`` is their table, from its sizes on."""
    kind = b"av01" if brand == b"avif" else b"hvc1"
    entries = b"".join(
        box(b"infe", b"\2\0\0\0" + number.to_bytes(2) + b"\0\0" + kind + b"\0") for number in range(1, count + 1)
    )
    items = box(b"iinf", bytes(4) + count.to_bytes(2) + entries)
    inside = box(b"pitm", bytes(4) + b"\0\1") + items + box(b"iloc", bytes(4) + locations) + b"".join(more)
    return box(b"ftyp", brand + bytes(4) + b"mif1" + brand) + box(b"meta", bytes(4) + inside)


@pytest.mark.parametrize("brand", [b"avif", b"heic"])
def test_files_that_would_take_for_ever(brand: bytes) -> None:
    """Spans without number, items that lie on top of each other, boxes of nothing."""
    spans = a_file(brand, 1, b"\x11\0\0\2" + (b"\0\1\0\0\xff\xff" + b"\0\0" * 65535) * 2)
    assert sum(len(item.spans) for item in boxes.picture_items(spans)) <= boxes.MOST_SPANS
    many = 300
    table = b"\x44\0" + many.to_bytes(2) + b"".join(n.to_bytes(2) + b"\0\0\0\1" + bytes(8) for n in range(1, many + 1))
    parts = box(b"dimg", b"\0\1" + many.to_bytes(2) + b"".join(n.to_bytes(2) for n in range(1, many + 1)))
    shared = a_file(brand, many, table, box(b"iref", bytes(4) + parts))
    with pytest.raises(PictureError, match="on top of each other"):
        list(boxes.coded_items(shared))
    empty = box(b"free", b"") * (boxes.MOST_BOXES + 9)
    assert len(list(boxes.outermost(spans + empty))) == boxes.MOST_BOXES
    for data in (spans, shared, spans + empty):
        assert code_of(data) in {"damaged", "truncated"}
