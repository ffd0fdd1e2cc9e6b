"""Certificates, licences and contracts: drawn as pages, and laid into photos as a phone would see them."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from calibration.benchmark.drawing import Colour, Fonts, Pixels, glare, paste_warped, pick, text_box, to_pixels, write
from calibration.benchmark.texts import TEXTS

__all__ = ["document", "far_away", "photographed"]

Face = tuple[str, int]

_PAPERS: tuple[Colour, ...] = ((252, 250, 244), (250, 243, 224), (244, 248, 240), (255, 255, 255), (238, 243, 250))
_INKS: tuple[Colour, ...] = ((130, 24, 24), (20, 20, 28), (24, 40, 96), (110, 78, 20), (16, 84, 60))
RED: Colour = (196, 32, 36)


def document(kind: str, fonts: Fonts, rng: np.random.Generator) -> Pixels:
    """A page of a ``kind`` of ``TEXTS.titles``: about 1,000 pixels; title and body in one language, seal, border."""
    chinese = bool(rng.random() < 0.6)
    landscape = kind != "contract" and bool(rng.random() < 0.55)
    width, height = (1100, 780) if landscape else (800, 1100)
    page = Image.new("RGB", (width, height), pick(rng, _PAPERS))
    ink = pick(rng, _INKS)
    if kind != "contract":
        _border(page, rng, pick(rng, _INKS))
    titles, body = (group[kind].of(chinese=chinese) for group in (TEXTS.titles, TEXTS.bodies))
    face = fonts.choose(rng, chinese=chinese)
    top = _title(page, pick(rng, titles), face, rng, ink)
    _body(page, body, fonts.choose(rng, chinese=chinese), rng, top, dense=kind == "contract")
    if rng.random() < 0.75:
        _seal(page, fonts, rng)
    if kind == "licence" and rng.random() < 0.35:
        _portrait(page, rng)
    return np.asarray(page, dtype=np.uint8)


def photographed(page: Pixels, scene: Pixels, rng: np.random.Generator) -> Pixels:
    """The page lying in ``scene``: 62-90 % of the largest that fits, tilted, in uneven light, seen through a phone."""
    height, width = scene.shape[:2]
    reach = rng.uniform(0.62, 0.9)
    scale = reach * min(width / page.shape[1], height / page.shape[0])
    half = np.array([page.shape[1], page.shape[0]]) * scale / 2
    angle = np.deg2rad(rng.uniform(-12, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    bent = square * (1 + rng.uniform(-0.08, 0.08, (4, 1))) @ turn.T
    room = np.maximum(0, np.array([width, height]) / 2 - np.abs(bent).max(axis=0))
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room
    laid = glare(paste_warped(scene, page, bent + centre), rng, float(rng.uniform(0.0, 0.45)))
    soft = cv2.GaussianBlur(laid, (0, 0), float(rng.uniform(0.3, 0.8)))
    noise = rng.normal(0, rng.uniform(0.5, 4), soft.shape)
    return to_pixels(soft + noise)


def far_away(page: Pixels, scene: Pixels, rng: np.random.Generator) -> Pixels:
    """The page as a small thing in the background: 8-14 % of the scene's width, hanging somewhere in its upper part."""
    height, width = scene.shape[:2]
    size = rng.uniform(0.08, 0.14) * width
    tall = size * page.shape[0] / page.shape[1]
    left, top = rng.uniform(0.05, 0.8) * (width - size), rng.uniform(0.04, 0.3) * max(1.0, height - tall)
    square = np.array([[0, 0], [size, 0], [size, tall], [0, tall]])
    bent = square * (1 + rng.uniform(-0.04, 0.04, (4, 1))) + np.array([left, top])
    return paste_warped(scene, page, bent)


def _border(page: Image.Image, rng: np.random.Generator, ink: Colour) -> None:
    draw, (width, height) = ImageDraw.Draw(page), page.size
    for step in range(int(rng.integers(1, 4))):
        inset = 14 + 14 * step
        draw.rectangle((inset, inset, width - inset, height - inset), outline=ink, width=int(rng.integers(2, 8)))


def _title(page: Image.Image, text: str, face: Face, rng: np.random.Generator, ink: Colour) -> float:
    """Write the title as wide as a title is, and return where the body may begin."""
    width, height = page.size
    spaced = " ".join(text) if len(text) <= 5 and not text.isascii() and rng.random() < 0.4 else text
    size = 40
    left, _, right, _ = text_box(face, size, spaced)
    wanted = rng.uniform(0.5, 0.72) * width
    size = int(min(0.13 * height, size * wanted / (right - left)))
    centre = rng.uniform(0.13, 0.2) * height
    *_, bottom = write(page, (width / 2, centre), spaced, face, size, ink)
    return bottom + 0.05 * height


def _body(page: Image.Image, lines: tuple[str, ...], face: Face, rng: np.random.Generator, top: float, *, dense: bool) -> None:
    width, height = page.size
    size = int(rng.integers(24, 32)) if dense else int(rng.integers(28, 42))
    step = size * rng.uniform(1.6, 2.1)
    repeated = [lines[index % len(lines)] for index in range(14 if dense else len(lines))]
    left = rng.uniform(0.1, 0.14) * width
    for index, line in enumerate(repeated):
        middle = top + step * (index + 0.5)
        if middle > 0.93 * height:
            return
        fitted = size
        while fitted > 14 and text_box(face, fitted, line)[2] > width - 2 * left:
            fitted -= 1
        write(page, (left + text_box(face, fitted, line)[2] / 2, middle), line, face, fitted, (36, 36, 44))


def _seal(page: Image.Image, fonts: Fonts, rng: np.random.Generator) -> None:
    width, height = page.size
    radius = rng.uniform(0.07, 0.1) * width
    x, y = rng.uniform(0.66, 0.82) * width, rng.uniform(0.76, 0.86) * height
    layer = Image.new("RGBA", page.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(*RED, 200), width=6)
    angles = -np.pi / 2 + np.arange(10) * np.pi / 5
    reach = np.where(np.arange(10) % 2 == 0, 0.42, 0.17) * radius
    draw.polygon([(x + r * np.cos(a), y + r * np.sin(a)) for r, a in zip(reach, angles, strict=True)], fill=(*RED, 190))
    page.paste(layer, (0, 0), layer)
    if rng.random() < 0.5:
        write(page, (x, y + 0.66 * radius), "专用章", fonts.choose(rng, chinese=True), max(12, int(0.26 * radius)), RED)


def _portrait(page: Image.Image, rng: np.random.Generator) -> None:
    draw, (width, height) = ImageDraw.Draw(page), page.size
    left, top, wide = 0.74 * width, 0.42 * height, 0.15 * width
    draw.rectangle((left, top, left + wide, top + 1.3 * wide), fill=pick(rng, ((90, 140, 200), (200, 60, 60), (235, 235, 235))))
    draw.ellipse((left + 0.3 * wide, top + 0.2 * wide, left + 0.7 * wide, top + 0.7 * wide), fill=(224, 186, 160))
    draw.pieslice((left + 0.1 * wide, top + 0.72 * wide, left + 0.9 * wide, top + 1.9 * wide), 180, 360, fill=(50, 56, 70))
