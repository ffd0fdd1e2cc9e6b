"""The kinds of pictures in a benchmark, their categories and proportions, and how each is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from calibration.benchmark import documents, graphics, negatives, other_designs
from calibration.benchmark.defects import Defect
from calibration.benchmark.documents import far_away, photographed
from calibration.benchmark.drawing import Colour, CutOut, Fonts, Pixels, pick
from calibration.benchmark.graphics import filled, on_plain, plain_colour
from calibration.benchmark.sources import Split
from calibration.benchmark.texts import TEXTS, Lines
from calibration.chain import Category
from calibration.errors import BenchmarkError

__all__ = ["CATEGORY_WEIGHTS", "DESIGNS", "KINDS", "Designs", "Kind", "Made", "Materials"]

CATEGORY_WEIGHTS: dict[Category, int] = {"low": 814, "medium": 1605, "high": 2572}
"""Those of the article's test set, 58zhaopin-5k."""


@dataclass(frozen=True)
class Designs:
    """How pictures are laid out; each split has its own."""

    banner: Callable[[list[Pixels], Fonts, np.random.Generator], Pixels]
    logo: Callable[[Fonts, np.random.Generator], CutOut]
    product: Callable[[np.random.Generator], CutOut]
    poster: Callable[[Pixels, Fonts, np.random.Generator, float], tuple[Pixels, float]]
    document: Callable[[str, Fonts, np.random.Generator], Pixels]
    sign: Callable[[Pixels, Lines, Fonts, np.random.Generator], Pixels]
    wall: Callable[[Pixels, Colour, np.random.Generator], Pixels]


DESIGNS: Mapping[Split, Designs] = {
    "validation": Designs(
        graphics.banner,
        graphics.drawn_logo,
        graphics.drawn_product,
        graphics.poster,
        documents.document,
        negatives.sign,
        negatives.wall,
    ),
    "test": Designs(
        other_designs.banner,
        other_designs.drawn_logo,
        other_designs.drawn_product,
        other_designs.poster,
        other_designs.document,
        other_designs.sign,
        other_designs.wall,
    ),
}


@dataclass(frozen=True)
class Materials:
    """What one split's pictures are made of. Each call draws anew from ``rng``."""

    photo: Callable[[np.random.Generator], Pixels]
    logo: Callable[[np.random.Generator], CutOut] | None
    product: Callable[[np.random.Generator], CutOut] | None
    fonts: Fonts
    defects: Mapping[str, Defect]
    designs: Designs


@dataclass(frozen=True)
class Made:
    """A picture, and what is known about it beside its kind."""

    pixels: Pixels
    text_area: float | None = None
    detail: str = ""
    quality: int = field(default=92)
    lossless: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind: its category, its weight among the kinds of that category, and its maker."""

    name: str
    category: Category
    weight: float
    make: Callable[[Materials, np.random.Generator], Made]


def _ruined(materials: Materials, rng: np.random.Generator) -> Made:
    name = pick(rng, sorted(materials.defects))
    severity = float(rng.uniform(0.85, 1.0))
    return Made(materials.defects[name](_varied(materials, rng), severity, rng), detail=f"{name} {severity:.2f}")


def _tiny(materials: Materials, rng: np.random.Generator) -> Made:
    photo = _varied(materials, rng)
    scale = rng.uniform(90, 245) / min(photo.shape[:2])
    size = (max(16, round(photo.shape[1] * scale)), max(16, round(photo.shape[0] * scale)))
    return Made(np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), dtype=np.uint8))


def _banner(materials: Materials, rng: np.random.Generator) -> Made:
    return Made(materials.designs.banner([materials.photo(rng) for _ in range(3)], materials.fonts, rng))


def _logo(materials: Materials, rng: np.random.Generator) -> Made:
    given = materials.logo is not None and rng.random() < 0.8
    pixels, alpha = materials.logo(rng) if given and materials.logo else materials.designs.logo(materials.fonts, rng)
    # A white mark on white is no picture: take the colour that the mark stands out from.
    mean = pixels[alpha > 0.5].mean(axis=0) if (alpha > 0.5).any() else np.zeros(3)
    colour = plain_colour(rng)
    if alpha.min() > 0.5:
        colour = _edge_colour(pixels)
    elif float(np.abs(mean - colour).mean()) < 60:
        colour = (255, 255, 255) if mean.mean() < 128 else (20, 22, 30)
    return Made(on_plain(pixels, alpha, rng, colour), lossless=bool(rng.random() < 0.5), quality=88)


def _product(materials: Materials, rng: np.random.Generator) -> Made:
    given = materials.product is not None and rng.random() < 0.8
    pixels, alpha = materials.product(rng) if given and materials.product else materials.designs.product(rng)
    colour = _edge_colour(pixels) if alpha.min() > 0.5 else (255, 255, 255)
    return Made(on_plain(pixels, alpha, rng, colour))


def _edge_colour(pixels: Pixels) -> Colour:
    """The colour that an opaque picture stands on already."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(edge, axis=0))
    return red, green, blue


def _poster(low: float, high: float) -> Callable[[Materials, np.random.Generator], Made]:
    def make(materials: Materials, rng: np.random.Generator) -> Made:
        for _ in range(20):
            share = float(rng.uniform(low, high))
            pixels, share = materials.designs.poster(materials.photo(rng), materials.fonts, rng, share)
            if low <= share <= high:
                return Made(pixels, text_area=share)
        raise BenchmarkError(f"no poster with text on {low:.0%} to {high:.0%} came about in twenty tries")

    return make


def _document(kind: str) -> Callable[[Materials, np.random.Generator], Made]:
    def make(materials: Materials, rng: np.random.Generator) -> Made:
        page = materials.designs.document(kind, materials.fonts, rng)
        if rng.random() < 0.35:
            return Made(page, detail="rendered")
        scene = materials.photo(rng)
        scene = filled(scene, 1200, 900) if scene.shape[1] >= scene.shape[0] else filled(scene, 900, 1200)
        return Made(photographed(page, scene, rng), detail="photographed", quality=88)

    return make


def _far_document(materials: Materials, rng: np.random.Generator) -> Made:
    photo = _varied(materials, rng)
    page = materials.designs.document(pick(rng, sorted(TEXTS.titles)), materials.fonts, rng)
    return Made(far_away(page, photo, rng))


def _sign(lines: Lines) -> Callable[[Materials, np.random.Generator], Made]:
    return lambda materials, rng: Made(materials.designs.sign(materials.photo(rng), lines, materials.fonts, rng))


def _wall(shades: Sequence[Colour]) -> Callable[[Materials, np.random.Generator], Made]:
    return lambda materials, rng: Made(materials.designs.wall(materials.photo(rng), pick(rng, shades), rng))


def _photo(materials: Materials, rng: np.random.Generator) -> Made:
    return Made(_varied(materials, rng), quality=int(rng.integers(86, 96)))


def _varied(materials: Materials, rng: np.random.Generator) -> Pixels:
    """A good photo, mirrored half of the time and cropped by up to an eighth: as good as it was, and another file."""
    photo = materials.photo(rng)
    height, width = photo.shape[:2]
    keep = rng.uniform(0.88, 1.0)
    if keep * min(height, width) < 270:
        keep = 1.0
    size = round(height * keep), round(width * keep)
    top, left = int(rng.integers(0, height - size[0] + 1)), int(rng.integers(0, width - size[1] + 1))
    crop = photo[top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


KINDS: tuple[Kind, ...] = (
    Kind("ruined", "low", 0.8, _ruined),
    Kind("tiny", "low", 0.2, _tiny),
    Kind("banner", "medium", 0.15, _banner),
    Kind("logo", "medium", 0.2, _logo),
    Kind("product", "medium", 0.15, _product),
    Kind("poster", "medium", 0.2, _poster(0.34, 0.6)),
    Kind("certificate", "medium", 0.1, _document("certificate")),
    Kind("licence", "medium", 0.1, _document("licence")),
    Kind("contract", "medium", 0.1, _document("contract")),
    Kind("photo", "high", 0.58, _photo),
    Kind("light_poster", "high", 0.06, _poster(0.04, 0.25)),
    Kind("small_sign", "high", 0.07, _sign(TEXTS.signs)),
    Kind("request", "high", 0.05, _sign(TEXTS.requests)),
    Kind("product_name", "high", 0.05, _sign(TEXTS.names)),
    Kind("plain_wall", "high", 0.07, _wall(negatives.PLAIN)),
    Kind("strong_colour", "high", 0.07, _wall(negatives.STRONG)),
    Kind("far_document", "high", 0.05, _far_document),
)
