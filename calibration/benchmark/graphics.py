"""Banners, logos, products and posters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from calibration.benchmark.drawing import Colour, CutOut, Fonts, Pixels, cut_out, pick, text_box, to_pixels, write
from calibration.benchmark.texts import TEXTS

__all__ = ["banner", "drawn_logo", "drawn_product", "on_plain", "poster"]

_VIVID: tuple[Colour, ...] = ((200, 30, 40), (20, 90, 180), (10, 120, 90), (240, 150, 20), (120, 40, 140), (20, 24, 40))
_PALE: tuple[Colour, ...] = ((255, 255, 255), (255, 255, 255), (248, 248, 246), (244, 232, 210), (222, 236, 248), (18, 18, 20))


def on_plain(pixels: Pixels, alpha: NDArray[np.float32], rng: np.random.Generator, colour: Colour) -> Pixels:
    """A cut-out (or a shot that already stands on ``colour``) in the middle of a plain picture, 320-900 pixels."""
    side = int(rng.integers(320, 900))
    width, height = (side, round(side * rng.uniform(0.6, 1.0))) if rng.random() < 0.6 else (side, side)
    height = max(height, 270)
    # Some stand in the middle of much room, others are cropped to their edges.
    reach = rng.uniform(0.45, 0.8) if rng.random() < 0.6 else rng.uniform(0.8, 1.0)
    scale = reach * min(width / pixels.shape[1], height / pixels.shape[0])
    size = (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cut = np.asarray(cv2.resize(pixels, size, interpolation=how), dtype=np.float32)
    share = np.clip(cv2.resize(alpha, size, interpolation=how), 0, 1)[:, :, None]
    canvas = np.empty((height, width, 3), np.float32)
    canvas[:] = colour
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    window = canvas[top : top + size[1], left : left + size[0]]
    window[:] = cut * share + window * (1 - share)
    return to_pixels(canvas)


def plain_colour(rng: np.random.Generator) -> Colour:
    """White for the most part, else a pale colour or black."""
    return pick(rng, _PALE)


def drawn_logo(fonts: Fonts, rng: np.random.Generator) -> CutOut:
    """A mark of two or three shapes with a name under it, and its opacity."""
    layer = Image.new("RGBA", (600, 600), (0, 0, 0, 0))
    draw, ink = ImageDraw.Draw(layer), pick(rng, _VIVID)
    for step in range(int(rng.integers(2, 4))):
        x, y, r = rng.uniform(220, 380), rng.uniform(160, 300), rng.uniform(70, 150) * 0.8**step
        fill = (*(ink if step % 2 == 0 else pick(rng, _VIVID)), 255)
        if rng.random() < 0.5:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        else:
            angles = rng.uniform(0, np.pi) + np.arange(n := int(rng.integers(3, 7))) * 2 * np.pi / n
            draw.polygon([(x + r * np.cos(a), y + r * np.sin(a)) for a in angles], fill=fill)
    name = pick(rng, TEXTS.brands)
    face, size = fonts.choose(rng, chinese=not name.isascii()), 90
    while text_box(face, size, name)[2] > 560:
        size -= 6
    write(layer, (300, 500), name, face, size, ink)
    return cut_out(layer)


def drawn_product(rng: np.random.Generator) -> CutOut:
    """A shaded bottle, box or ball with a soft shadow, and its opacity."""
    shape = np.zeros((500, 500), np.uint8)
    kind = int(rng.integers(3))
    if kind == 0:
        cv2.rectangle(shape, (180, 160), (320, 450), 255, -1)
        cv2.rectangle(shape, (225, 60), (275, 170), 255, -1)
    elif kind == 1:
        cv2.rectangle(shape, (90, 150), (410, 420), 255, -1)
    else:
        cv2.circle(shape, (250, 270), 170, 255, -1)
    y, x = np.mgrid[:500, :500].astype(np.float32) / 500
    light = 0.55 + 0.6 * np.exp(-((x - rng.uniform(0.3, 0.5)) ** 2) / 0.03) + 0.15 * (0.5 - y)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (500, 500)).astype(np.float32), (0, 0), 1.2)
    body = np.clip(np.array(pick(rng, _VIVID), np.float32) * light[:, :, None] + 12 * grain[:, :, None], 0, 255)
    label = slice(260, 360), slice(200, 300)
    body[label] = 0.15 * body[label] + 0.85 * np.array([240, 236, 224])
    return body.astype(np.uint8), np.asarray(cv2.GaussianBlur(shape, (0, 0), 0.8) / 255, dtype=np.float32)


def banner(photos: list[Pixels], fonts: Fonts, rng: np.random.Generator) -> Pixels:
    """Three photos side by side, or a photo and a coloured panel with a slogan; 2.7 to 4.5 times as long as high (or wide)."""
    short = int(rng.integers(270, 420))
    long = round(short * rng.uniform(2.7, 4.5))
    upright = bool(rng.random() < 0.3)
    if upright or rng.random() < 0.5:
        cells = [filled(photo, long // 3 + 1, short) for photo in photos[:3]]
        strip = np.concatenate(cells, axis=1)[:, :long]
        if upright:
            cells = [filled(photo, short, long // 3 + 1) for photo in photos[:3]]
            strip = np.concatenate(cells, axis=0)[:long]
        return np.ascontiguousarray(strip)
    shown = min(long - short, round(short * rng.uniform(1.2, 1.6)))
    image = Image.new("RGB", (long, short), pick(rng, _VIVID))
    image.paste(Image.fromarray(filled(photos[0], shown, short)), (0, 0))
    chinese = bool(rng.random() < 0.5)
    face, size = fonts.choose(rng, chinese=chinese), short // 5
    slogan = pick(rng, TEXTS.slogans.of(chinese=chinese))
    while size > 16 and text_box(face, size, slogan)[2] > 0.85 * (long - shown):
        size -= 2
    write(image, (shown + (long - shown) / 2, short / 2), slogan, face, size, (255, 255, 255))
    return np.asarray(image, dtype=np.uint8)


def poster(photo: Pixels, fonts: Fonts, rng: np.random.Generator, share: float) -> tuple[Pixels, float]:
    """Lines of slogans over a photo until the boxes around them cover ``share`` of it; the share that they really cover."""
    base = filled(photo, *((900, 675) if photo.shape[1] >= photo.shape[0] else (675, 900)))
    image = Image.fromarray(base)
    width, height = image.size
    chinese = bool(rng.random() < 0.6)
    face, (fill, outline) = fonts.choose(rng, chinese=chinese), pick(rng, _PAINTS)
    covered = np.zeros((height, width), np.bool_)
    # Few lines of large letters, or many of small ones: as high as that many lines over the picture's width must be.
    rows = int(rng.integers(2, 5)) if share < 0.3 else int(rng.integers(4, 8))
    slot = height / rows
    slogans = TEXTS.slogans.of(chinese=chinese)
    order = rng.permutation(len(slogans))
    for row in range(rows):
        text = slogans[order[row % len(order)]]
        left, top, right, bottom = text_box(face, 100, text)
        aim = share * width * height / rows
        ratio = (right - left) / (bottom - top)
        size = int(100 * np.sqrt(aim / ratio) / (bottom - top))
        size = min(size, int(100 * 0.94 * slot / (bottom - top)), int(100 * 0.95 * width / (right - left)))
        room = max(0.0, width - size * (right - left) / 100 - 8)
        middle = width / 2 + (rng.random() - 0.5) * room
        box = write(image, (middle, slot * (row + 0.5)), text, face, size, fill, outline=outline)
        covered[max(0, box[1]) : box[3], max(0, box[0]) : box[2]] = True
    return np.asarray(image, dtype=np.uint8), round(float(covered.mean()), 4)


_PAINTS: tuple[tuple[Colour, Colour], ...] = (
    ((255, 255, 255), (0, 0, 0)),
    ((255, 236, 60), (120, 10, 10)),
    ((200, 20, 30), (255, 255, 255)),
    ((10, 50, 130), (255, 255, 255)),
)


def filled(photo: Pixels, width: int, height: int) -> Pixels:
    """The middle of a photo, scaled to fill ``width`` x ``height``."""
    scale = max(width / photo.shape[1], height / photo.shape[0])
    size = (max(width, round(photo.shape[1] * scale)), max(height, round(photo.shape[0] * scale)))
    scaled = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], dtype=np.uint8)
