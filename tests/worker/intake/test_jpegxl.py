"""JPEG XL comes out as the same upright RGB, whole or not at all, and its header alone tells its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imagecodecs import jpegxl_encode
from numpy.typing import NDArray
from PIL import Image

from tests.pictures import corners, photo, pixels
from worker.errors import PictureError
from worker.intake import jpegxl
from worker.intake.decode import decode, probe

MOST = 50_000_000
PHOTO = pixels(photo(200, 150))
SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
KIND = b"\0\0\0\x14ftypjxl \0\0\0\0jxl "


def encoded(values: NDArray[Any], **options: Any) -> bytes:
    return bytes(jpegxl_encode(values, **options))


def code_of(data: bytes, most: int = MOST) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, most)
    assert not any(word in caught.value.detail.lower() for word in ("libjxl", "jxl_", "imagecodecs", "decoder", "exception"))
    return caught.value.code


def box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + kind + body


@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_modes(mode: str, container: bool) -> None:
    """Exactly as they were written; transparency on white."""
    image = photo(90, 70).convert(mode)
    data = encoded(np.asarray(image), lossless=True, usecontainer=container)
    picture = decode(data, MOST)
    assert (picture.width, picture.height, picture.format) == (90, 70, "JXL")
    assert (picture.pixels == pixels(image)).all()


def test_transparency_is_white() -> None:
    """As in other formats."""
    image = np.dstack([PHOTO, np.zeros(PHOTO.shape[:2], np.uint8)])
    image[:50, :50, 3] = 255
    found = decode(encoded(image, lossless=True), MOST).pixels
    assert (found[:50, :50] == PHOTO[:50, :50]).all()
    assert (found[50:, 50:] == 255).all()


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_more_than_8_bits(kind: type) -> None:
    """The upper 8 of 16; 0 to 1 is black to white."""
    values = PHOTO.astype(kind) * 257 if kind is np.uint16 else PHOTO.astype(kind) / 255
    found = decode(encoded(values.astype(kind), lossless=True), MOST).pixels
    assert np.abs(found.astype(int) - PHOTO).max() <= 1


def test_lossy_and_in_parts() -> None:
    """A container may hold the codestream in parts, and begin with metadata."""
    data = encoded(pixels(corners()), level=95)
    wanted = decode(data, MOST).pixels
    assert np.abs(wanted[::8, ::8].astype(int) - pixels(corners())[::8, ::8]).mean() < 12
    parts = box(b"jxlp", b"\0\0\0\0" + data[:5]) + box(b"jxlp", b"\x80\0\0\x01" + data[5:])
    boxed = SIGNATURE + KIND + box(b"Exif", b"\0\0\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0") + parts
    assert (decode(boxed, MOST).pixels == wanted).all()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_cut(share: float) -> None:
    """No part of it is made up."""
    for options in ({"lossless": True}, {"level": 80}):
        data = encoded(PHOTO, **options)
        assert code_of(data[: int(len(data) * share)]) == "truncated"


def test_damaged() -> None:
    """A reason, not an exception."""
    data = encoded(PHOTO, level=80)
    assert code_of(data[:100] + bytes(400) + data[500:]) in {"damaged", "truncated"}
    assert code_of(SIGNATURE + KIND + box(b"jxlc", b"nothing of it" * 9)) == "damaged"


def test_the_header_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is decoded before the limit."""
    monkeypatch.setattr(jpegxl, "jpegxl_decode", lambda *_, **__: pytest.fail("decoded"))
    data = encoded(PHOTO)
    assert code_of(data, 200 * 150 - 1) == "too_many_pixels"
    assert (probe(data, MOST).width, probe(data, MOST).height) == (200, 150)


class Written:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self) -> None:
        self.value = self.count = 0

    def put(self, number: int, bits: int) -> None:
        self.value |= number << self.count
        self.count += bits

    def side(self, length: int) -> None:
        number = next(n for n, bits in enumerate((9, 13, 18, 30)) if length <= 1 << bits)
        self.put(number, 2)
        self.put(length - 1, (9, 13, 18, 30)[number])

    def stream(self) -> bytes:
        return b"\xff\x0a" + self.value.to_bytes(64, "little")


@given(st.integers(1, 1 << 20), st.integers(1, 1 << 20), st.integers(1, 8))
def test_sizes_of_any_length(width: int, height: int, orientation: int) -> None:
    """As shown: what lies on its side is wide where it was high."""
    bits = Written()
    bits.put(0, 1)
    bits.side(height)
    bits.put(0, 3)
    bits.side(width)
    bits.put(0, 1)
    bits.put(1, 1)
    bits.put(orientation - 1, 3)
    header = jpegxl.read_header(bits.stream())
    assert (header.width, header.height) == ((height, width) if orientation >= 5 else (width, height))
    assert header.orientation == 1


@pytest.mark.parametrize(
    ("size", "ratio"),
    [((64, 64), 1), ((96, 80), 2), ((128, 96), 3), ((96, 64), 4), ((256, 144), 5), ((80, 64), 6), ((128, 64), 7)],
)
def test_ratios(size: tuple[int, int], ratio: int) -> None:
    """Sides of whole eights take less room; libjxl writes the same, and turns nothing."""
    bits = Written()
    bits.put(1, 1)
    bits.put(size[1] // 8 - 1, 5)
    bits.put(ratio, 3)
    bits.put(1, 1)
    header = jpegxl.read_header(bits.stream())
    assert (header.width, header.height) == size
    decoded = decode(encoded(pixels(Image.new("RGB", size))), MOST)
    assert (decoded.width, decoded.height) == size


@given(st.binary(max_size=100), st.sampled_from([b"\xff\x0a", SIGNATURE, SIGNATURE + KIND]))
def test_any_bytes_give_a_header_or_a_reason(rest: bytes, start: bytes) -> None:
    """And nothing else."""
    try:
        header = jpegxl.read_header(start + rest)
    except PictureError as error:
        assert error.code in {"truncated", "damaged"}
    else:
        assert header.width > 0
        assert header.height > 0
