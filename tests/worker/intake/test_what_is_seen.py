"""Transparency, animations and masks come out as people see them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.pictures import encode, photo
from worker.errors import PictureError
from worker.intake.backdrop import DARK, WHITE, backdrop
from worker.intake.decode import decode

MOST = 50_000_000
Words = NDArray[np.uint64]


def logo(colour: tuple[int, int, int], *, shadow: int = 0) -> Image.Image:
    image = Image.new("RGBA", (200, 120))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 100, 100), (*colour, 255))
    draw.rectangle((120, 40, 180, 80), (*colour, 255))
    draw.rectangle((0, 0, 199, shadow - 1), (0, 0, 0, 255)) if shadow else None
    return image


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
@pytest.mark.parametrize(
    ("colour", "behind"), [((255, 255, 255), 64), ((245, 245, 245), 64), ((0, 0, 0), 255), ((0, 0, 200), 255)]
)
def test_a_logo_shows_on_its_backdrop(kind: str, colour: tuple[int, int, int], behind: int) -> None:
    """White, unless the logo is white itself."""
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode(encode(logo(colour), kind, **options), MOST).pixels.astype(int)
    assert abs(pixels[5, 5] - behind).max() <= 2
    assert abs(pixels[60, 60] - colour).max() <= 8


def test_when_the_backdrop_is_dark() -> None:
    """Nearly all that is drawn must be nearly white; without a transparent pixel, or anything drawn, it stays white."""
    assert backdrop(logo((255, 255, 255))) == DARK
    assert backdrop(logo((255, 255, 255), shadow=2)) == WHITE
    assert backdrop(logo((220, 220, 220))) == WHITE
    assert backdrop(Image.new("RGBA", (9, 9))) == WHITE
    assert backdrop(Image.new("RGBA", (9, 9), (255, 255, 255, 255))) == WHITE
    assert backdrop(Image.new("LA", (9, 9))) == WHITE


def animated(kind: str, frames: list[Image.Image]) -> bytes:
    file = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=40, loop=0, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("ground", [(255, 255, 255), (0, 0, 0)])
def test_an_animation_that_fades_in(kind: str, ground: tuple[int, int, int]) -> None:
    """Blank, then hardly to be seen, then a picture: that one counts, not the next."""
    wanted, blank = photo(160, 120), Image.new("RGB", (160, 120), ground)
    frames = [blank, Image.blend(blank, wanted, 0.05), wanted, Image.new("RGB", (160, 120), (200, 0, 0))]
    pixels = decode(animated(kind, frames), MOST).pixels.astype(int)
    assert np.abs(pixels - np.asarray(wanted)).mean() < 12


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_that_shows_something_at_once(kind: str) -> None:
    """Its first frame counts; and one that never shows anything is what it is."""
    first = photo(160, 120)
    pixels = decode(animated(kind, [first, Image.new("RGB", (160, 120), (0, 0, 0))]), MOST).pixels.astype(int)
    assert np.abs(pixels - np.asarray(first)).mean() < 12
    blank = [Image.new("RGB", (60, 40), (250 - n, 250, 250)) for n in range(3)]
    assert np.ptp(decode(animated(kind, blank), MOST).pixels.reshape(-1, 3), axis=0).max() <= 2


def test_frames_are_looked_at_within_a_budget() -> None:
    """A picture behind a hundred blank frames is not waited for."""
    blank = [Image.new("RGB", (32, 32), (255 - n % 2, 255, 255)) for n in range(100)]
    pixels = decode(animated("WEBP", [*blank, photo(32, 32)]), MOST).pixels
    assert np.ptp(pixels.reshape(-1, 3), axis=0).max() <= 2


def test_what_a_first_frame_does_not_cover_is_transparent() -> None:
    """A GIF's canvas may be larger than its first frame."""
    small = encode(Image.new("P", (10, 8), 0).convert("RGB"), "GIF")
    data = bytearray(small)
    data[6:10] = struct.pack("<HH", 30, 20)
    pixels = decode(bytes(data), MOST).pixels
    assert pixels.shape == (20, 30, 3)
    assert pixels[:8, :10].max() == 0
    assert pixels[8:].min() == pixels[:, 10:].min() == 255


def bitmap(bits: int, masks: tuple[int, ...], words: Words, *, top_down: bool = False) -> bytes:
    height, width = words.shape
    rows = words if top_down else words[::-1]
    raw = rows.astype("<u2" if bits == 16 else "<u4").tobytes()
    head = struct.pack("<IiiHHIIiiII", 56, width, -height if top_down else height, 1, bits, 3, len(raw), 0, 0, 0, 0)
    head += struct.pack("<4I", *masks, *(0,) * (4 - len(masks)))
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(raw), 0, 0, 14 + len(head)) + head + raw


@pytest.mark.parametrize(
    ("bits", "widths"),
    [
        (16, (4, 4, 4, 4)),
        (16, (5, 6, 5, 0)),
        (16, (5, 5, 5, 1)),
        (32, (10, 10, 10, 2)),
        (32, (7, 18, 7, 0)),
        (16, (3, 3, 2, 0)),
    ],
)
@pytest.mark.parametrize("top_down", [False, True])
def test_bitmaps_with_any_masks(bits: int, widths: tuple[int, int, int, int], top_down: bool) -> None:
    """Each channel to eight bits, rows in their order."""
    colours = np.asarray(photo(16, 12)).astype(np.float64)
    words, masks, at = np.zeros((12, 16), np.uint64), [], 0
    for number, width in enumerate(widths):
        most = (1 << width) - 1
        values = np.round(colours[:, :, number] * most / 255) if number < 3 else np.full((12, 16), most)
        words |= values.astype(np.uint64) << np.uint64(at)
        masks.append(most << at)
        at += width
    pixels = decode(bitmap(bits, tuple(masks), words, top_down=top_down), MOST).pixels.astype(int)
    assert np.abs(pixels - colours).max() <= 255 / (2 ** min(widths[:3]) - 1) / 2 + 9


def test_a_bitmap_that_is_cut() -> None:
    """Its rows are counted before any is read."""
    data = bitmap(16, (0xF00, 0xF0, 0xF, 0xF000), np.full((20, 30), 0xF888, np.uint64))
    assert decode(data, MOST).pixels.min() == 136
    for end in (len(data) - 1, len(data) // 2):
        with pytest.raises(PictureError, match="truncated"):
            decode(data[:end], MOST)


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP"])
def test_cut_files_are_said_to_be_cut(kind: str) -> None:
    """Wherever that is."""
    data = encode(photo(200, 150), kind)
    for end in (40, len(data) // 4, len(data) // 2, len(data) * 9 // 10):
        with pytest.raises(PictureError) as caught:
            decode(data[:end], MOST)
        assert (caught.value.code, "upload" in caught.value.detail) == ("truncated", True)


def test_xmp_turns_no_webp() -> None:
    """EXIF alone does."""
    xmp = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    assert decode(encode(photo(60, 40), "WEBP", xmp=xmp), MOST).width == 60
