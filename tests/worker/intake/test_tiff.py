"""The first page of a TIFF, whole or not at all."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.pictures import corners, encode, photo, pixels
from tests.worker.intake.test_more_formats import MOST, UNDO, code_of, like_corners
from worker.intake.decode import decode


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd"])
def test_tiff_compressions(compression: str) -> None:
    """What scanners and editors write."""
    options = {"quality": 95} if compression == "jpeg" else {}
    assert like_corners(encode(corners(), "TIFF", compression=compression, **options), "TIFF", 60)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "RGBA", "I;16", "F"])
def test_tiff_modes(mode: str) -> None:
    """Grey runs from black to white in each."""
    grey = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1)))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(grey, np.float32) / 255)
    else:
        image = grey.convert("RGB").convert(mode) if mode in {"P", "CMYK", "RGBA"} else grey.convert(mode)
    found = decode(encode(image, "TIFF"), MOST).pixels.astype(int)
    assert found.shape == (48, 64, 3)
    assert found[0, 0].max() < 12
    assert found[0, -1].min() > 243


def test_tiff_of_several_pages() -> None:
    """The first one counts."""
    file = io.BytesIO()
    corners().save(file, "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert like_corners(file.getvalue(), "TIFF", 0)


def test_tiff_whose_colours_have_8_bits() -> None:
    """Some scanners write them so."""
    data = bytearray(encode(corners().convert("P"), "TIFF"))
    wanted = decode(bytes(data), MOST).pixels
    at = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, at)[0]):
        number, _, count, place = struct.unpack_from("<HHII", data, at + 2 + 12 * entry)
        if number == 320:
            values = struct.unpack_from(f"<{count}H", data, place)
            struct.pack_into(f"<{count}H", data, place, *(value >> 8 for value in values))
    assert (decode(bytes(data), MOST).pixels == wanted).all()


def test_tiff_with_parts_that_are_missing() -> None:
    """A decoder leaves them black, white or grey."""
    data = bytearray(encode(photo(200, 150), "TIFF"))
    at = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, at)[0]):
        place = at + 2 + 12 * entry
        if struct.unpack_from("<H", data, place)[0] == 273:
            count, value = struct.unpack_from("<II", data, place + 4)
            struct.pack_into("<I", data, place + 8 if count == 1 else value, 0)
    assert code_of(bytes(data)) == "damaged"


def tiff_tags(data: bytes) -> Iterator[int]:
    """Where each tag of the first page stands."""
    at = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, at)[0]):
        yield at + 2 + 12 * entry


@pytest.mark.filterwarnings("ignore:Tag data larger than file")
def test_tiff_with_an_absurd_tag() -> None:
    """One whose values would be longer than the file hides none behind it."""
    data = bytearray(encode(corners(), "TIFF", tiffinfo={270: "a description"}))
    for place in tiff_tags(bytes(data)):
        if struct.unpack_from("<H", data, place)[0] == 270:
            struct.pack_into("<HHII", data, place, 270, 2, 0xFFFFFFF0, 8)
    assert bytes(data).count(b"\xf0\xff\xff\xff") == 1
    assert like_corners(bytes(data), "TIFF", 0)


def test_tiff_that_does_not_say_how_many_bits() -> None:
    """Colours apart, and none of them of any size."""
    data = bytearray(encode(corners(), "TIFF"))
    for place in tiff_tags(bytes(data)):
        if struct.unpack_from("<H", data, place)[0] == 258:
            struct.pack_into("<HHII", data, place, 258, 3, 0, 0)
        if struct.unpack_from("<H", data, place)[0] == 284:
            struct.pack_into("<HHII", data, place, 284, 3, 1, 2)
    assert code_of(bytes(data)) in {"damaged", "truncated", "unsupported_format"}


def test_tiff_with_damaged_deflate() -> None:
    """libtiff does not look at its checksum."""
    data = encode(photo(300, 200), "TIFF", compression="tiff_adobe_deflate")
    at = len(data) // 2
    assert code_of(data[:at] + bytes(400) + data[at + 400 :]) == "damaged"
    assert code_of(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]) == "damaged"


def test_tiff_whose_white_is_0() -> None:
    """Of 16 bits as of 8: no negative. Of the other byte order Pillow knows none."""
    grey = np.asarray(corners().convert("L")).astype(np.uint16) * 257
    size = 64 * 48 * 2
    tags = [
        (256, 3, 64),
        (257, 3, 48),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 0),
        (273, 4, 200),
        (277, 3, 1),
        (278, 3, 48),
        (279, 4, size),
    ]
    table = struct.pack("<H", len(tags))
    for number, kind, value in tags:
        table += struct.pack("<HHI", number, kind, 1)
        table += struct.pack("<HH" if kind == 3 else "<I", *((value, 0) if kind == 3 else (value,)))
    head = b"II*\0" + struct.pack("<I", 8)
    data = (head + table + bytes(4)).ljust(200, b"\0") + (65535 - grey).astype("<u2").tobytes()
    assert np.abs(decode(data, MOST).pixels[:, :, 0].astype(int) - (grey >> 8)).max() <= 1


def planes_of_16_bits(image: Image.Image, orientation: int) -> bytes:
    """A TIFF with each colour in a strip of its own."""
    values = np.moveaxis(pixels(image).astype("<u2") * 257, -1, 0)
    size = image.width * image.height * 2
    strips = [300 + plane * size for plane in range(3)]
    longs = struct.pack("<3H6I", 16, 16, 16, *strips, *[size] * 3)
    tags = [
        (256, 3, 1, image.width), (257, 3, 1, image.height), (258, 3, 3, 200), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, 206),
        (274, 3, 1, orientation), (277, 3, 1, 3), (278, 3, 1, image.height), (279, 4, 3, 218), (284, 3, 1, 2),
    ]  # fmt: skip
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return (b"II*\0\x08\0\0\0" + table).ljust(200, b"\0") + longs.ljust(100, b"\0") + values.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_of_planes_of_16_bits(orientation: int) -> None:
    """Pillow would take each for one of 8."""
    stored = corners() if orientation == 1 else corners().transpose(UNDO[orientation])
    assert like_corners(planes_of_16_bits(stored, orientation), "TIFF", 0)
