"""Every format comes out as upright RGB; nothing is half decoded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import corners, encode, photo, pixels
from worker.errors import PictureError
from worker.intake.decode import decode, probe
from worker.intake.header import SCALED_LONGEST
from worker.intake.jpeg_segments import walk

MOST = 50_000_000
CORNERS = pixels(corners())


def code_of(data: bytes, most: int = MOST) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, most)
    return caught.value.code


@pytest.mark.parametrize(
    ("kind", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}, 12),
        ("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}, 12),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 60),
        ("GIF", {}, 12),
        ("BMP", {}, 0),
    ],
)
def test_formats(kind: str, options: dict[str, object], tolerance: int) -> None:
    """The same picture out of every format."""
    picture = decode(encode(corners(), kind, **options), MOST)
    assert (picture.width, picture.height, picture.format) == (64, 48, kind)
    assert picture.pixels.dtype == np.uint8
    assert np.abs(picture.pixels.astype(int) - CORNERS)[4:-4:8, 4:-4:8].max() <= tolerance


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "I;16", "CMYK"])
def test_colour_modes(mode: str) -> None:
    """Grey, palette, black and white, alpha, 16 bits, CMYK."""
    grey = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (48, 1)))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    else:
        image = grey.convert("RGB").convert(mode) if mode in {"P", "CMYK", "RGBA"} else grey.convert(mode)
    data = encode(image, "JPEG", quality=98) if mode == "CMYK" else encode(image, "PNG")
    decoded = decode(data, MOST).pixels.astype(int)
    assert decoded.shape == (48, 64, 3)
    assert np.abs(decoded[0, 0] - 0).max() < 12
    assert np.abs(decoded[0, -1] - 255).max() < 12


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_becomes_white(kind: str) -> None:
    """Logos are shown on white."""
    image = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    assert (decode(encode(image, kind), MOST).pixels == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    """All eight, undone once, in every format that can say so."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = corners() if orientation == 1 else corners().transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    picture = decode(encode(stored, kind, exif=exif, **options), MOST)
    assert (picture.width, picture.height) == (64, 48)
    assert np.abs(picture.pixels.astype(int) - CORNERS)[4:-4:8, 4:-4:8].max() <= 12


@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_is_never_half_decoded(progressive: bool) -> None:
    """Cut anywhere; a thumbnail's own end marker does not help. (By the end marker alone: see ``test_jpeg``.)"""
    exif = Image.Exif()
    exif[0x010E] = encode(corners(32, 32)).decode("latin-1")
    data = encode(photo(300, 200), quality=85, progressive=progressive, exif=exif)
    assert walk(data).ended
    assert decode(data, MOST).width == 300
    for cut in (2, 100, *range(len(data) // 2, len(data) - 3, len(data) // 9), len(data) - 3):
        assert code_of(data[:cut]) in {"truncated", "not_an_image"}, cut


def test_a_truncated_jpeg_with_an_end_marker_glued_on() -> None:
    """The marker is there, the data is not: libjpeg would fill in grey."""
    data = encode(photo(300, 200), quality=85)
    assert code_of(data[: len(data) // 2] + b"\xff\xd9") == "damaged"


def test_bytes_after_the_end_do_no_harm() -> None:
    """Some phones append a video."""
    data = encode(corners(), quality=90) + b"\x00" * 999
    assert decode(data, MOST).width == 64


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP"])
def test_other_truncated_formats(kind: str) -> None:
    """Half a file is no picture either."""
    data = encode(photo(200, 150), kind)
    assert code_of(data[: len(data) // 2]) in {"truncated", "damaged", "not_an_image"}


def test_only_the_first_frame_counts() -> None:
    """Of animations."""
    frames = [corners(), Image.new("RGB", (64, 48), "black")]
    for kind in ("GIF", "WEBP"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert decode(data, MOST).pixels[40, 60].min() > 240


def test_pixels_are_counted_before_they_are_decoded() -> None:
    """A header that promises 10 gigapixels costs nothing but a verdict."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    assert code_of(bomb) == "too_many_pixels"
    assert code_of(encode(corners(), "PNG"), most=64 * 48 - 1) == "too_many_pixels"
    assert probe(encode(corners(), "PNG"), 64 * 48).width == 64


def test_large_pictures_are_decoded_smaller_and_keep_their_size_in_the_signals() -> None:
    """JPEGs by the decoder's own scaling, others after decoding."""
    large = photo(800, 400).resize((4000, 2000))
    for kind in ("JPEG", "PNG"):
        picture = decode(encode(large, kind), MOST)
        assert (picture.width, picture.height) == (4000, 2000)
        assert SCALED_LONGEST <= max(picture.pixels.shape) <= 2 * SCALED_LONGEST
        assert picture.pixels.shape[1] == 2 * picture.pixels.shape[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"<html></html>",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x04\x00\x00\x00WEBP",
        b"BM" + b"\x00" * 60,
    ],
)
def test_not_an_image(data: bytes) -> None:
    """Whatever it pretends to be."""
    assert code_of(data) in {"not_an_image", "damaged", "truncated"}


SEEDS = [encode(photo(60, 50), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")]
SEEDS += [encode(photo(60, 50), "TIFF", compression="tiff_lzw")]
SEEDS += [(Path(__file__).parent / "files" / f"{name}.heic").read_bytes() for name in ("corners", "grid")]


@settings(max_examples=350, deadline=None)
@example(SEEDS[0], [(177, 0)])
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_give_a_picture_or_a_reason(seed: bytes, flips: list[tuple[int, int]]) -> None:
    """Never another exception."""
    data = bytearray(seed)
    for at, value in flips:
        data[at % len(data)] = value
    try:
        picture = decode(bytes(data), 1_000_000)
    except PictureError as error:
        assert error.code in {"not_an_image", "too_many_pixels", "truncated", "damaged", "unsupported_format"}
    else:
        assert picture.pixels.ndim == 3


STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\xff\x00\x00\x00WEBPVP8 ", b"")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_any_header_gives_a_size_or_a_reason(start: bytes, rest: bytes) -> None:
    """Behind the first bytes of every format."""
    walk(start + rest)
    try:
        header = probe(start + rest, 1_000_000)
    except PictureError as error:
        assert error.code in {"not_an_image", "too_many_pixels", "truncated", "damaged", "unsupported_format"}
    else:
        assert header.width * header.height <= 1_000_000


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("WEBP", "RGB"), ("GIF", "P"), ("JPEG", "CMYK"), ("JPEG", "RGB")])
def test_large_pictures_are_shrunk_the_same_in_every_format(kind: str, mode: str) -> None:
    """By a whole factor, strip by strip, without a seam: close to shrinking the whole at once, and never below 1,600."""
    smooth = photo(500, 370).resize((5003, 3701), Image.Resampling.BICUBIC)
    whole = np.asarray(smooth.resize((1668, 1234), Image.Resampling.BOX), dtype=np.float32)
    picture = decode(encode(smooth.convert(mode), kind, **({"quality": 95} if kind in {"JPEG", "WEBP"} else {})), 50_000_000)
    assert (picture.width, picture.height) == (5003, 3701)
    assert SCALED_LONGEST <= max(picture.pixels.shape) <= 2 * SCALED_LONGEST
    found = cv2.resize(picture.pixels, (1668, 1234), interpolation=cv2.INTER_AREA).astype(np.float32)
    rows = np.abs(found - whole).mean(axis=(1, 2))
    # Palettes and CMYK lose some colour everywhere; a seam would show as single rows that differ more.
    assert rows.mean() < 12
    assert rows.max() < rows.mean() + 4
