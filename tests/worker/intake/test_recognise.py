"""What a file is, is told by its bytes; what is not taken is named, with what to do."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pictures import encode, photo
from worker.errors import PictureError
from worker.intake.recognise import FORMATS, recognise

SMALL = photo(32, 24)


def ftyp(*brands: bytes) -> bytes:
    body = brands[0] + bytes(4) + b"".join(brands[1:])
    return (8 + len(body)).to_bytes(4) + b"ftyp" + body


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
    return file.getvalue()


def tiff(*tags: tuple[int, int, bytes]) -> bytes:
    """A little-endian TIFF of one page with these tags: number, type, value of four bytes or fewer, or text put behind."""
    entries, behind, at = b"", b"", 8 + 2 + 12 * len(tags) + 4
    for number, kind, value in sorted(tags):
        count = len(value) if kind == 2 else 1
        if len(value) > 4:
            entries += struct.pack("<HHII", number, kind, count, at + len(behind))
            behind += value
        else:
            entries += struct.pack("<HHI", number, kind, count) + value.ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + behind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF"])
def test_what_is_taken(kind: str) -> None:
    """All that a decoder is for, whatever its name was."""
    assert recognise(encode(SMALL, kind)) == kind
    assert kind in FORMATS


@pytest.mark.parametrize(
    ("brands", "wanted"),
    [
        ((b"heic", b"mif1"), "HEIF"), ((b"mif1", b"heic"), "HEIF"), ((b"msf1", b"hevc"), "HEIF"), ((b"heix",), "HEIF"),
        ((b"avif", b"mif1", b"miaf"), "AVIF"), ((b"avis", b"avif"), "AVIF"), ((b"mif1", b"avif"), "AVIF"),
    ],
)  # fmt: skip
def test_brands_tell_heif_from_avif(brands: tuple[bytes, ...], wanted: str) -> None:
    """The major one may be either's."""
    assert recognise(ftyp(*brands)) == wanted


UNSUPPORTED = [
    (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"), (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x --><svg/>', "SVG"),
    (b"%PDF-1.7\n", "PDF"), (b"8BPS\0\x01", "Photoshop"), (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51\0", "JPEG 2000"), (b"\n\n%PDF-1.4", "PDF"),
    (b"II\xbc\x01", "JPEG XR"), (b"\0\0\x01\0\x01\0\x20\x20", "ICO"), (b"II*\0\x10\0\0\0CR\x02\0", "Canon"),
    (ftyp(b"crx ", b"crx ", b"isom"), "CR3"), (b"FUJIFILMCCD-RAW ", "Fujifilm"), (b"IIRO\x08\0\0\0", "Olympus"),
    (b"IIU\0\x08\0\0\0", "Panasonic"), (tiff((50706, 1, b"\x01\x04")), "DNG"),
    (tiff((254, 4, b"\x01"), (271, 2, b"NIKON CORPORATION\0"), (330, 4, b"\x08")), "Nikon"),
    (tiff((259, 3, struct.pack("<H", 32767))), "Sony"), (ftyp(b"isom", b"mp42"), "video"), (ftyp(b"qt  "), "video"),
    (b"\x1aE\xdf\xa3" + bytes(20), "video"), (b"RIFF\x10\0\0\0AVI LIST", "video"), (b"\0\0\x01\xba" + bytes(9), "video"),
    (b"%!PS-Adobe-3.0", "PostScript"), (gzip.compress(b"x" * 99, mtime=0), "gzip"),
    (b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0\0", "xz"),
    (b"(\xb5/\xfd\x04", "Zstandard"), (b"7z\xbc\xaf'\x1c", "7-Zip"), (b"Rar!\x1a\x07\0", "RAR"), (packed(), "Office"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office"), (b"v/1\x01" + bytes(9), "OpenEXR"), (b"\xd7\xcd\xc6\x9a\0\0", "WMF"),
]  # fmt: skip

NO_IMAGES = [
    (b"<!doctype html><title>Not found</title>", "HTML"), (b"\n\n  <html><body>login</body>", "HTML"),
    (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>', "AccessDenied"),
    (b'{"error": "not found"}', "JSON"), (b"data:image/png;base64,iVBORw0KGgo=", "data URL"), (b"just some words\n", "text"),
    (bytes(5000), "zeros"), (b"", "empty"), (b"\x00\x05\x16\x07\0\x02\0\0Mac OS X", "AppleDouble"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS"), (b"\x7fELF\x02", "program"),
    (b"GET me " + encode(SMALL), "in front"), (b"\x93\x07\x88\x12" * 9, "93 07 88 12"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "name"), UNSUPPORTED)
def test_what_is_recognised_and_not_taken(data: bytes, name: str) -> None:
    """By its name, and with what to send instead."""
    with pytest.raises(PictureError) as caught:
        recognise(data)
    assert (caught.value.code, name in caught.value.detail) == ("unsupported_format", True), caught.value.detail
    assert ": " in caught.value.detail


@pytest.mark.parametrize(("data", "name"), NO_IMAGES)
def test_what_is_no_picture(data: bytes, name: str) -> None:
    """Named all the same: whoever reads the verdict has to find out where it came from."""
    with pytest.raises(PictureError) as caught:
        recognise(data)
    assert (caught.value.code, name in caught.value.detail) == ("not_an_image", True), caught.value.detail


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([b"", b"II*\0", b"MM\0*", b"\0\0\0\x18ftyp", b"<?xml", b"PK\x03\x04", b"RIFF"]), st.binary(max_size=300))
def test_any_bytes_are_a_format_or_none(start: bytes, rest: bytes) -> None:
    """In words that can be printed."""
    try:
        assert recognise(start + rest) in FORMATS
    except PictureError as error:
        assert error.code in {"not_an_image", "unsupported_format"}
        assert error.detail.isprintable()
        assert len(error.detail) < 300


@pytest.mark.parametrize("data", [b"\x89PN", b"GIF", b"II*", b"\xf5\xb1\x65\x00", b"abc", b"\x89PNG\r\n"])
def test_what_is_too_short_to_say(data: bytes) -> None:
    """No text, and no picture."""
    with pytest.raises(PictureError) as caught:
        recognise(data)
    assert (caught.value.code, f"only {len(data)} bytes" in caught.value.detail) == ("not_an_image", True)
