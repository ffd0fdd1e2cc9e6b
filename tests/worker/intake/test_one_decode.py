"""Each picture is decoded once, and not before its size was looked at; pixels that decoders touch are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pi_heif
import pytest
import simplejpeg
from imagecodecs import jpegxl_decode, jpegxl_encode
from PIL import ImageFile

from tests.pictures import encode, photo, pixels
from worker.errors import PictureError
from worker.intake.decode import decode, probe

WIDTH, HEIGHT = 256, 192
FILES = {
    **{kind: encode(photo(WIDTH, HEIGHT), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF")},
    "JPEG, progressive": encode(photo(WIDTH, HEIGHT), "JPEG", progressive=True),
    "WEBP, lossless": encode(photo(WIDTH, HEIGHT), "WEBP", lossless=True),
    "TIFF, Deflate": encode(photo(WIDTH, HEIGHT), "TIFF", compression="tiff_adobe_deflate"),
    "HEIF": (Path(__file__).parent / "files" / "grid.heic").read_bytes(),
    "JXL": bytes(jpegxl_encode(pixels(photo(WIDTH, HEIGHT)))),
}


@pytest.fixture
def touched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pixels of each decode, whoever does it."""
    found: list[int] = []
    prepare = ImageFile.ImageFile.load_prepare

    def by_pillow(self: ImageFile.ImageFile) -> None:
        found.append(self.width * self.height)
        prepare(self)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            answer = real(*arguments, **options)
            size = answer.size if hasattr(answer, "mode") else np.shape(answer)[1::-1]
            found.append(size[0] * size[1])
            return answer

        return call

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", by_pillow)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", counted(simplejpeg.decode_jpeg))
    monkeypatch.setattr("worker.intake.jpegxl.jpegxl_decode", counted(jpegxl_decode))
    monkeypatch.setattr(pi_heif.HeifImage, "to_pillow", counted(pi_heif.HeifImage.to_pillow))
    return found


@pytest.mark.parametrize("name", FILES)
def test_once_and_after_the_limit(name: str, touched: list[int]) -> None:
    """By the header alone first."""
    data = FILES[name]
    with pytest.raises(PictureError, match="too_many_pixels"):
        decode(data, WIDTH * HEIGHT - 1)
    assert (probe(data, WIDTH * HEIGHT).width, probe(data, WIDTH * HEIGHT).height) == (WIDTH, HEIGHT)
    assert touched == []
    assert decode(data, WIDTH * HEIGHT).pixels.shape == (HEIGHT, WIDTH, 3)
    assert touched == [WIDTH * HEIGHT]
