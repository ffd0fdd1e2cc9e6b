"""The references see red as red, a turned picture upright, and nothing where there is nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import corners, encode
from tests.suites.references import WHITE, Reference, Seen, by_magick, by_opencv, by_vips, from_ppm, magick, small

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def by_name(name: str) -> Reference:
    """Skips where it is not installed, as the suites' packages are no part of the tests'."""
    if name == "vips":
        pytest.importorskip("pyvips")
    if name == "magick" and not magick():
        pytest.skip("no ImageMagick on the path")
    return {"vips": by_vips, "magick": by_magick, "opencv": by_opencv}[name]


def colours(seen: Seen | None) -> list[tuple[int, ...]]:
    """Of the corners: top left, top right, bottom left, bottom right."""
    assert seen is not None
    last = len(seen[2]) - 1
    return [tuple(int(value) for value in seen[2][row, column].round()) for row in (0, last) for column in (0, last)]


@pytest.mark.parametrize("name", ["vips", "magick", "opencv"])
def test_colours_are_where_they_are(name: str, tmp_path: Path) -> None:
    """Channels in their order, rows from the top."""
    reference = by_name(name)
    (tmp_path / "x.png").write_bytes(encode(corners(64, 48), "PNG"))
    seen = reference(tmp_path / "x.png", WHITE)
    assert colours(seen) == [RED, GREEN, BLUE, (255, 255, 255)]
    assert seen is not None
    assert seen[:2] == (64, 48)


@pytest.mark.parametrize("name", ["vips", "magick"])
def test_a_picture_is_turned(name: str, tmp_path: Path) -> None:
    """EXIF's 6: what is stored at the bottom left is shown at the top left."""
    reference = by_name(name)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "x.jpg").write_bytes(encode(corners(640, 480), "JPEG", quality=100, subsampling=0, exif=exif))
    seen = reference(tmp_path / "x.jpg", WHITE)
    assert seen is not None
    assert seen[:2] == (480, 640)
    assert np.abs(np.array(colours(seen)) - np.array([BLUE, RED, (255, 255, 255), GREEN])).max() < 16


@pytest.mark.parametrize("name", ["vips", "magick", "opencv"])
@pytest.mark.parametrize("kind", ["BMP", "PNG"])
def test_transparency_is_the_ground(name: str, kind: str, tmp_path: Path) -> None:
    """Half red, half nothing."""
    reference = by_name(name)
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 32, 64))
    if kind == "BMP":
        image = image.convert("RGB")
    (tmp_path / "x").write_bytes(encode(image, kind))
    right = (0, 0, 0) if kind == "BMP" else (255, 255, 255)
    assert colours(reference(tmp_path / "x", WHITE)) == [RED, right, RED, right]
    if kind == "PNG":
        assert colours(reference(tmp_path / "x", 64))[1] == (64, 64, 64)


@pytest.mark.parametrize("name", ["vips", "magick", "opencv"])
def test_what_is_no_picture_is_refused(name: str, tmp_path: Path) -> None:
    """Random bytes, and those that only begin as a picture does."""
    reference = by_name(name)
    for content in (os.urandom(2000), b"BM" + bytes(100), encode(corners(), "PNG")[:40]):
        (tmp_path / "x").write_bytes(content)
        assert reference(tmp_path / "x", WHITE) is None


def test_a_ppm() -> None:
    """Its pixels begin behind the largest value; one that ends early is none."""
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    data = b"P6\n# made by hand\n4 2\n255\n" + pixels.tobytes()
    seen = from_ppm(data)
    assert seen is not None
    assert seen[:2] == (4, 2)
    assert (seen[2] == small(pixels)).all()
    assert from_ppm(data[:-1]) is None
    assert from_ppm(b"") is None


def test_another_program_of_that_name_is_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has a ``convert`` for file systems."""
    (tmp_path / "convert").write_text("#!/bin/sh\necho 'Version: 1 of something else'\n")
    (tmp_path / "convert").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    magick.cache_clear()
    assert magick() is None
    (tmp_path / "magick").write_text("#!/bin/sh\necho 'Version: ImageMagick 7.1.1'\n")
    (tmp_path / "magick").chmod(0o755)
    magick.cache_clear()
    assert magick() == str(tmp_path / "magick")
    magick.cache_clear()
