"""A JPEG is judged if no pixel is missing, whatever else is odd about it, and only then."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures import encode, photo
from tests.worker.intake.jpegs import (
    EOI,
    MOST,
    PROGRESSIVE,
    RESTARTS,
    WHOLE,
    after_start,
    before,
    code_of,
    flat,
    same,
    scan,
    segment,
)
from worker.errors import PictureError
from worker.intake.decode import decode
from worker.intake.exif import orientation
from worker.intake.jpeg_entropy import BrokenScanError, measure
from worker.intake.jpeg_segments import MOST_SCANS, walk


@pytest.mark.parametrize("values", [(0, 0, 0), (0, 63, 1), (0, 63, 0x10), (1, 63, 0), (0, 255, 0)])
def test_a_baseline_scan_header_says_nothing_of_pixels(values: tuple[int, int, int]) -> None:
    """Samsung's phones write zeros there."""
    at = WHOLE.index(b"\xff\xda")
    end = at + 2 + int.from_bytes(WHOLE[at + 2 : at + 4])
    assert same(WHOLE[: end - 3] + bytes(values) + WHOLE[end:])


@pytest.mark.parametrize("junk", [b"\0", b"\0\0", b"\0\0\0", b"\xff\0", bytes(64), b"\xff\x01", b"junk", b"\xff\xff\xff"])
@pytest.mark.parametrize("marker", [0xDB, 0xC0, 0xC4, 0xDA])
def test_padding_between_segments(junk: bytes, marker: int) -> None:
    """Before any of them."""
    assert same(before(marker, junk))


ICC = b"ICC_PROFILE\0"


@pytest.mark.parametrize(
    "more",
    [
        segment(0xE2, ICC + b"\x01\x01p") * 2,
        segment(0xE2, ICC + b"\x00\x01p"),
        segment(0xE2, ICC + b"\x01\x03p") + segment(0xE2, ICC + b"\x03\x03p"),
        segment(0xE2, ICC + b"\x01"),
        segment(0xE0, b"JFIF\0\x00\x02"),
        segment(0xE0, b"JFIF\0\x02\x01\0\0\x01\0\x01\0\0"),
        segment(0xE0, b"JF"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04"),
        segment(0xEE, b"Adob"),
        segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<broken"),
        segment(0xFE, b"\xff\xd9\xff\xda"),
        segment(0xE7, b"") * 300,
    ],
)
def test_metadata_that_no_pixel_depends_on(more: bytes) -> None:
    """Whatever stands in it."""
    assert same(after_start(more))


@pytest.mark.parametrize("transform", [2, 3, 255])
def test_an_unknown_colour_transform_is_the_usual_one(transform: int) -> None:
    """As other decoders have it; a known one is heeded."""
    assert same(after_start(segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))))
    assert not same(after_start(segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"), WHOLE[:2] + WHOLE[20:]))


TRAILERS = [b"", bytes(999), b"\xff" * 50, b"\r\n", b"made by a camera\n", bytes(20) + b"ftypmp42" + bytes(range(200))]


@pytest.mark.parametrize("trailer", [*TRAILERS[:5], b"\0\0\x90\x0aMotionPhoto_Data" + TRAILERS[5] + b"SEFHe\0\0\0SEFT"])
@pytest.mark.parametrize("whole", [WHOLE, RESTARTS])
def test_nothing_but_the_end_marker_is_missing(whole: bytes, trailer: bytes) -> None:
    """Then all is there, whatever follows instead. With one byte of the picture less it is not."""
    assert same(whole[:-2] + trailer, whole)
    for less in (1, 2, 4, 16, 64, 256):
        assert code_of(whole[: -2 - less]) == "truncated"


FILM = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 300 + b"\xff\xc0\xff\xd3\xff\xda\xff\xd9" + bytes(range(256))


NAME = b"MotionPhoto_Data"


@pytest.mark.parametrize(
    "trailer",
    [
        FILM,
        b"\0\0\x30\x0a" + len(NAME).to_bytes(4, "little") + NAME + FILM + b"SEFHj\0\0\0SEFT",
        b"\0\0\0\x08\x12\0\0\0Panorama_Shot_Info" + FILM,
        WHOLE,
        bytes(20) + WHOLE,
        b"\xff\xfe\0\x04hi" + EOI,
    ],
)
@pytest.mark.parametrize("whole", [WHOLE, RESTARTS])
def test_markers_behind_the_last_block_mean_nothing(whole: bytes, trailer: bytes) -> None:
    """A film has some by chance, frames and end markers among them. What is missing before it is still missed."""
    assert same(whole[:-2] + trailer, whole)
    assert code_of(whole[:-66] + trailer) == ("damaged" if EOI in trailer else "truncated")
    assert code_of(doubled(whole, 700)[:-2] + trailer) == "damaged"


def test_a_progressive_picture_must_have_its_end_marker() -> None:
    """A last scan that is missing whole leaves no trace."""
    assert code_of(PROGRESSIVE[:-2]) == "truncated"
    assert code_of(PROGRESSIVE[:-2] + bytes(99)) == "truncated"


@pytest.mark.parametrize("padding", [b"\0", bytes(5000), b"\xff" * 9, b"\x55" * 40])
def test_padding_behind_the_last_block(padding: bytes) -> None:
    """One byte again and again is no picture data."""
    assert same(WHOLE[:-2] + padding + EOI)


def zeroed(data: bytes, start: float, end: float) -> bytes:
    first, last = scan(data)
    i, j = (first + int((last - first) * share) for share in (start, end))
    return data[:i] + bytes(j - i) + data[j:]


def cut(data: bytes, share: float, more: bytes) -> bytes:
    first, last = scan(data)
    return data[: first + int((last - first) * share)] + more + EOI


def lost(data: bytes, count: int) -> bytes:
    middle = sum(scan(data)) // 2
    return data[:middle] + data[middle + count :]


def doubled(data: bytes, count: int) -> bytes:
    middle = sum(scan(data)) // 2
    return data[:middle] + data[middle - count : middle] + data[middle:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a hole in the middle": lambda data: zeroed(data, 0.3, 0.6),
    "a hole to the end": lambda data: zeroed(data, 0.6, 0.99),
    "half of it, zeros": lambda data: cut(data, 0.5, bytes(4096)),
    "three quarters of it, zeros": lambda data: cut(data, 0.75, bytes(4096)),
    "half of it": lambda data: cut(data, 0.5, b""),
    "some lost": lambda data: lost(data, 700),
    "some doubled": lambda data: doubled(data, 700),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("whole", [WHOLE, RESTARTS, encode(photo(320, 240), quality=95, subsampling=0)])
def test_damaged_data(whole: bytes, damage: str) -> None:
    """Grey or torn pictures are none, though the end marker is there."""
    assert code_of(DAMAGES[damage](whole)) == "damaged"


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "a hole to the end"])
def test_damaged_progressive_data(damage: str) -> None:
    """The same, but for zeros in the last scans, which may be valid data of fine detail."""
    assert code_of(DAMAGES[damage](PROGRESSIVE)) == "damaged"


def test_damaged_cmyk() -> None:
    """It is decoded by another library, which does not tell."""
    whole = encode(photo(320, 240).convert("CMYK"), quality=85)
    assert decode(whole, MOST).width == 320
    assert same(before(0xDB, b"\0\0", whole), whole)
    for damage in DAMAGES.values():
        assert code_of(damage(whole)) == "damaged"


@pytest.mark.parametrize("number", [0, 3, 12])
def test_a_lost_restart_marker(number: int) -> None:
    """And a whole interval twice, or eight of them lost, so that the markers' numbers still fit."""
    first, last = scan(RESTARTS)
    places = [at for at in range(first, last) if RESTARTS[at] == 0xFF and 0xD0 <= RESTARTS[at + 1] <= 0xD7]
    at = places[number]
    assert code_of(RESTARTS[:at] + RESTARTS[at + 2 :]) == "damaged"
    assert code_of(RESTARTS[: places[number]] + RESTARTS[places[number + 8] :]) == "damaged"


def test_sizes_and_kinds_that_are_none() -> None:
    """Told by the header alone."""
    frame = WHOLE.index(b"\xff\xc0")
    assert code_of(WHOLE[: frame + 5] + b"\0\0" + WHOLE[frame + 7 :]) == "damaged"
    assert code_of(WHOLE[: frame + 4] + b"\x0c" + WHOLE[frame + 5 :]) == "unsupported_format"
    assert code_of(WHOLE[: frame + 2]) == "truncated"
    for marker in (0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
        assert code_of(WHOLE[: frame + 1] + bytes([marker]) + WHOLE[frame + 2 :]) == "unsupported_format"
    assert (
        code_of(WHOLE[: frame + 1] + b"\xc3" + WHOLE[frame + 2 : frame + 4] + b"\x0a" + WHOLE[frame + 5 :])
        == "unsupported_format"
    )
    assert code_of(WHOLE[: frame + 4] + b"\x0a" + WHOLE[frame + 5 :]) == "damaged"
    # Coded arithmetically, with a sampling that only a library knows which does not tell what is missing.
    assert code_of(flat([(4, 2), (1, 1), (1, 1)]).replace(b"\xff\xc0", b"\xff\xc9")) == "unsupported_format"
    assert code_of(before(0xC4, WHOLE[frame : frame + 19])) == "damaged"


def test_an_ordinary_picture_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing before its size was looked at."""
    calls = list[object]()
    real = simplejpeg.decode_jpeg

    def counted(*values: object, **named: object) -> object:
        calls.append(named)
        return real(*values, **named)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", counted)
    with pytest.raises(PictureError, match="too_many_pixels"):
        decode(WHOLE, 320 * 240 - 1)
    assert calls == []
    decode(WHOLE, MOST)
    assert len(calls) == 1


def test_xmp_turns_nothing() -> None:
    """Other programs heed EXIF alone."""
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    assert same(after_start(segment(0xE1, xmp)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation(order: str) -> None:
    """Either byte order, short or long; anything else lies as it is stored."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "x", 6
    exif.endian = order
    assert orientation(exif.tobytes()[6:]) == 6
    for value in (0, 9):
        exif[0x0112] = value
        assert orientation(exif.tobytes()[6:]) == 1


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_any_exif_gives_an_orientation(rest: bytes, start: bytes) -> None:
    """Rubbish too."""
    assert 1 <= orientation(start + rest) <= 8


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6))
def test_measuring_ends_for_any_bytes(changes: list[tuple[int, int]]) -> None:
    """With an answer, or a broken scan."""
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    try:
        measured = measure(walk(bytes(data)))
    except BrokenScanError:
        return
    assert all(part is not None for scan in measured for part in scan.left)


def test_measuring_whole_pictures_leaves_nothing() -> None:
    """Grey, every sampling, optimised tables, restarts, scans apart."""
    for image, options in (
        (photo(97, 61).convert("L"), {}),
        (photo(97, 61), {"subsampling": 0}),
        (photo(97, 61), {"subsampling": 1, "optimize": True}),
        (photo(97, 61), {"restart_marker_rows": 1}),
        (photo(97, 61), {"restart_marker_blocks": 3, "quality": 100}),
    ):
        file = io.BytesIO()
        image.save(file, "JPEG", **options)
        layout = walk(file.getvalue())
        (found,) = measure(layout)
        assert not any(found.left)
        assert layout.rewrite([found.data()])[-2:] == EOI
        assert found.data() == layout.scans[0].data.rstrip(b"\xff")


def test_colours_of_jfif_and_adobe() -> None:
    """Where both are, JFIF's hold, also in a file that had to be written anew."""
    both = after_start(segment(0xEE, b"Adobe\0\x64\0\0\0\0\0"))
    assert same(both)
    assert same(before(0xDB, b"\0\0\0", both))
    assert same(after_start(segment(0xEE, b"Adobe\0\x64\0\0\0\0\1"), before(0xDB, b"\0\0\0", WHOLE)))


def test_too_many_scans() -> None:
    """Each is a pass over the whole picture, and takes a few bytes."""
    last = walk(PROGRESSIVE).scans[-1]
    again = (segment(0xDA, last.header) + last.data) * MOST_SCANS
    assert code_of(PROGRESSIVE[:-2] + again + EOI) == "damaged"
