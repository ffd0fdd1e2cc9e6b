"""Designs of the test split: other layouts than those of the validation split, by which limits and keywords are chosen.

They take and give what their namesakes in ``graphics``, ``documents`` and ``negatives`` do.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from calibration.benchmark.drawing import Colour, CutOut, Fonts, Pixels, cut_out, paste_warped, pick, text_box, to_pixels, write
from calibration.benchmark.graphics import filled
from calibration.benchmark.texts import TEXTS, Lines

__all__ = ["banner", "document", "drawn_logo", "drawn_product", "poster", "sign", "wall"]

Face = tuple[str, int]
INKS: tuple[Colour, ...] = ((16, 24, 40), (92, 16, 60), (0, 82, 92), (140, 60, 0), (40, 40, 44))
LOUD: tuple[Colour, ...] = ((255, 92, 57), (0, 156, 166), (94, 53, 177), (255, 179, 0), (33, 33, 33), (0, 121, 64))


def fitted(face: Face, text: str, width: float, height: float) -> int:
    """The size at which ``text`` fits into ``width`` x ``height`` pixels."""
    left, top, right, bottom = text_box(face, 100, text)
    return max(8, int(100 * min(width / max(1, right - left), height / max(1, bottom - top))))


def drawn_logo(fonts: Fonts, rng: np.random.Generator) -> CutOut:
    """A monogram in a ring, a shield or a rounded square, with lines or a name beside it, and its opacity."""
    layer = Image.new("RGBA", (760, 420), (0, 0, 0, 0))
    draw, ink, second = ImageDraw.Draw(layer), pick(rng, LOUD), pick(rng, INKS)
    name = pick(rng, TEXTS.brands)
    place = (40, 60, 340, 360)
    shape = int(rng.integers(3))
    if shape == 0:
        draw.ellipse(place, outline=(*ink, 255), width=int(rng.integers(14, 40)))
    elif shape == 1:
        draw.rounded_rectangle(place, radius=int(rng.integers(20, 110)), fill=(*ink, 255))
    else:
        draw.polygon([(40, 60), (340, 60), (340, 230), (190, 372), (40, 230)], fill=(*ink, 255))
    face = fonts.choose(rng, chinese=not name.isascii())
    letters = name[:1] if rng.random() < 0.6 or not name.isascii() else name[:2].upper()
    write(layer, (190, 200), letters, face, fitted(face, letters, 170, 170), (255, 255, 255) if shape else ink)
    write(layer, (555, 190), name, face, fitted(face, name, 380, 90), second)
    for line in range(int(rng.integers(0, 3))):
        draw.rectangle((370, 270 + 34 * line, 370 + int(rng.integers(120, 370)), 280 + 34 * line), fill=(*ink, 255))
    return cut_out(layer)


def drawn_product(rng: np.random.Generator) -> CutOut:
    """A shaded mug, lamp or table, and its opacity."""
    shape = np.zeros((500, 500), np.uint8)
    kind = int(rng.integers(3))
    if kind == 0:
        cv2.rectangle(shape, (140, 150), (330, 420), 255, -1)
        cv2.ellipse(shape, (335, 280), (80, 90), 0, -90, 90, 255, 28)
    elif kind == 1:
        cv2.fillPoly(shape, [np.array([[170, 60], [330, 60], [410, 230], [90, 230]], np.int32)], (255,))
        cv2.rectangle(shape, (238, 230), (262, 430), 255, -1)
        cv2.ellipse(shape, (250, 440), (95, 20), 0, 0, 360, 255, -1)
    else:
        cv2.rectangle(shape, (50, 170), (450, 215), 255, -1)
        for left in (70, 400):
            cv2.rectangle(shape, (left, 215), (left + 30, 440), 255, -1)
    y, x = np.mgrid[:500, :500].astype(np.float32) / 500
    light = 0.7 + 0.35 * np.cos(2.5 * np.pi * (x - rng.uniform(0.2, 0.6))) + 0.2 * (0.5 - y)
    veins = cv2.GaussianBlur(rng.normal(0, 1, (500, 500)).astype(np.float32), (0, 0), sigmaX=18, sigmaY=1.2)
    body = np.array(pick(rng, LOUD), np.float32) * light[:, :, None] + 90 * veins[:, :, None]
    return to_pixels(body), np.asarray(cv2.GaussianBlur(shape, (0, 0), 0.9) / 255, dtype=np.float32)


def banner(photos: list[Pixels], fonts: Fonts, rng: np.random.Generator) -> Pixels:
    """A photo that fades into a colour with a slogan and a button; 2.7 to 4.5 times as long as high (or wide)."""
    short = int(rng.integers(270, 420))
    long = round(short * rng.uniform(2.7, 4.5))
    upright = bool(rng.random() < 0.3)
    width, height = (short, long) if upright else (long, short)
    base = filled(photos[0], width, height).astype(np.float32)
    ramp = np.linspace(0, 1, long, dtype=np.float32)
    share = np.clip((ramp - rng.uniform(0.2, 0.5)) * 3, 0, 1)
    share = share[:, None, None] if upright else share[None, :, None]
    image = Image.fromarray(to_pixels(base * (1 - share) + np.array(pick(rng, LOUD), np.float32) * share))
    chinese = bool(rng.random() < 0.5)
    slogan, face = pick(rng, TEXTS.slogans.of(chinese=chinese)), fonts.choose(rng, chinese=chinese)
    middle = (width / 2, 0.75 * height) if upright else (0.74 * width, 0.4 * height)
    room = 0.85 * width if upright else 0.42 * width
    write(image, middle, slogan, face, fitted(face, slogan, room, 0.22 * short), (255, 255, 255))
    x, y = (middle[0], middle[1] + 0.16 * short) if upright else (middle[0], 0.74 * height)
    half = 0.16 * short
    ImageDraw.Draw(image).rounded_rectangle(
        (x - 2.2 * half, y - half / 2, x + 2.2 * half, y + half / 2), half / 2, fill=pick(rng, INKS)
    )
    return np.asarray(image, dtype=np.uint8)


def poster(photo: Pixels, fonts: Fonts, rng: np.random.Generator, share: float) -> tuple[Pixels, float]:
    """A headline and a list on a veil over one side of a photo; letters grow until their boxes cover ``share`` of it."""
    base = filled(photo, *((960, 640) if photo.shape[1] >= photo.shape[0] else (640, 960)))
    height = base.shape[0]
    chinese = bool(rng.random() < 0.6)
    head, body = fonts.choose(rng, chinese=chinese), fonts.choose(rng, chinese=chinese)
    slogans = TEXTS.slogans.of(chinese=chinese)
    count = int(rng.integers(3, 5 + int(12 * share)))
    lines = [slogans[index % len(slogans)] for index in rng.permutation(max(len(slogans), 12))[:count]]
    ink, veil = pick(rng, (((255, 255, 255), pick(rng, INKS)), ((24, 24, 28), (250, 246, 236)), ((255, 214, 0), (20, 20, 60))))
    # Where there is little text, it is a photo with words on it, no poster.
    alpha, left = float(rng.uniform(0.35, 0.75) if share > 0.3 else rng.uniform(0.0, 0.25)), rng.random() < 0.5
    small, large = 6.0, 0.3 * height
    image, covered = Image.fromarray(base), 0.0
    for _ in range(12):
        size = (small + large) / 2
        image, covered = _lettered(base, [head, body], lines, size, (ink, veil), alpha, left=bool(left))
        small, large = (size, large) if covered < share else (small, size)
    return np.asarray(image, dtype=np.uint8), round(covered, 4)


def _lettered(
    base: Pixels, faces: list[Face], lines: list[str], size: float, paints: tuple[Colour, Colour], alpha: float, *, left: bool
) -> tuple[Image.Image, float]:
    height, width = base.shape[:2]
    sizes = [int(size * (1.0 if index == 0 else 0.62)) for index in range(len(lines))]
    faces = [faces[min(1, index)] for index in range(len(lines))]
    sizes = [
        max(6, min(own, fitted(face, text, 0.92 * width, height))) for own, face, text in zip(sizes, faces, lines, strict=True)
    ]
    boxes = [text_box(face, own, text) for face, own, text in zip(faces, sizes, lines, strict=True)]
    widest = max(right - start for start, _, right, _ in boxes)
    reach = min(width, widest + 0.08 * width)
    veiled = base.astype(np.float32)
    part = veiled[:, : int(reach)] if left else veiled[:, width - int(reach) :]
    part[:] = part * (1 - alpha) + np.array(paints[1], np.float32) * alpha
    image, covered = Image.fromarray(to_pixels(veiled)), np.zeros((height, width), np.bool_)
    y = 0.04 * height
    for face, own, text, (start, top, right, bottom) in zip(faces, sizes, lines, boxes, strict=True):
        if y + bottom - top > 0.97 * height:
            break
        x = 0.04 * width + (right - start) / 2 if left else width - 0.04 * width - (right - start) / 2
        box = write(image, (x, y + (bottom - top) / 2), text, face, own, paints[0])
        covered[max(0, box[1]) : box[3], max(0, box[0]) : box[2]] = True
        y += 1.3 * (bottom - top)
    return image, float(covered.mean())


def document(kind: str, fonts: Fonts, rng: np.random.Generator) -> Pixels:
    """A page of a ``kind`` of ``TEXTS.titles``: a band with the title, fields in a table, a stamp with straight edges."""
    chinese = bool(rng.random() < 0.6)
    width, height = (820, 1120) if kind == "contract" or rng.random() < 0.5 else (1120, 760)
    paper, ink = pick(rng, ((255, 255, 255), (246, 250, 252), (252, 248, 236), (236, 244, 236))), pick(rng, INKS)
    page = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(page)
    titles, body = (group[kind].of(chinese=chinese) for group in (TEXTS.titles, TEXTS.bodies))
    face, plain, title = fonts.choose(rng, chinese=chinese), fonts.choose(rng, chinese=chinese), pick(rng, titles)
    band = bool(kind != "contract" and rng.random() < 0.6)
    deep = int(rng.uniform(0.14, 0.2) * height)
    if band:
        draw.rectangle((0, 0, width, deep), fill=ink)
    size = fitted(face, title, rng.uniform(0.45, 0.7) * width, 0.5 * deep)
    write(page, (width * (0.5 if rng.random() < 0.6 else 0.4), deep / 2), title, face, size, paper if band else ink)
    rows = [body[index % len(body)] for index in range(16 if kind == "contract" else max(5, len(body)))]
    step = (0.74 * height) / len(rows)
    letters = int(min(0.55 * step, 0.036 * height))
    for index, line in enumerate(rows):
        y = deep + step * (index + 0.6)
        number = f"{index + 1}. " if kind == "contract" else ""
        own = min(letters, fitted(plain, number + line, 0.84 * width, letters))
        span = text_box(plain, own, number + line)
        write(page, (0.08 * width + (span[2] - span[0]) / 2, y), number + line, plain, own, (28, 28, 32))
        if kind != "contract":
            draw.line((0.07 * width, y + 0.5 * step, 0.93 * width, y + 0.5 * step), fill=(180, 184, 190), width=2)
    if rng.random() < 0.6:
        x, y, half = rng.uniform(0.7, 0.85) * width, rng.uniform(0.78, 0.88) * height, 0.06 * width
        draw.rectangle((x - 1.6 * half, y - half, x + 1.6 * half, y + half), outline=(36, 60, 160), width=5)
        write(page, (x, y), "已审核" if chinese else "APPROVED", face, int(0.5 * half), (36, 60, 160))
    return np.asarray(page, dtype=np.uint8)


def sign(photo: Pixels, lines: Lines, fonts: Fonts, rng: np.random.Generator) -> Pixels:
    """A lit box with one of ``lines`` in a good photo, seen from aside: 18-34 % of its width."""
    chinese = bool(rng.random() < 0.5)
    text, face = pick(rng, lines.of(chinese=chinese)), fonts.choose(rng, chinese=chinese)
    board, ink = pick(rng, (((250, 250, 245), (200, 30, 40)), ((30, 30, 34), (255, 236, 190)), ((255, 196, 0), (30, 30, 30))))
    left, top, right, bottom = text_box(face, 60, text)
    page = Image.new("RGB", (right - left + 70, bottom - top + 60), board)
    draw = ImageDraw.Draw(page)
    draw.rectangle((6, 6, page.width - 7, page.height - 7), outline=ink, width=4)
    write(page, (page.width / 2, page.height / 2), text, face, 60, ink)
    height, width = photo.shape[:2]
    wide = rng.uniform(0.18, 0.34) * width
    tall = min(wide * page.height / page.width, height / 6)
    corner = np.array([rng.uniform(4, width - wide - 4), rng.uniform(4, height - tall - 4)])
    lean = rng.uniform(-0.12, 0.12, 2) * tall
    square = np.array([[0, lean[0]], [wide, lean[1]], [wide, tall + lean[1]], [0, tall + lean[0]]])
    inside = np.clip(corner + square, 1, [width - 2, height - 2])
    return paste_warped(photo, np.asarray(page, dtype=np.uint8), inside)


def wall(photo: Pixels, colour: Colour, rng: np.random.Generator) -> Pixels:
    """A wall of one colour along one side of a photo, 40-58 % of it, behind a blurred edge; panels or plaster, and a lamp."""
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away = np.hypot(x / width - rng.uniform(0, 1), y / height - rng.uniform(0, 0.6))
    lit = 0.78 + 0.42 * np.exp(-((away / rng.uniform(0.4, 0.8)) ** 2))
    plaster = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), float(rng.uniform(0.8, 4)))
    lit = lit + 0.02 * plaster / max(1e-6, float(plaster.std()))
    if rng.random() < 0.4:
        lit = lit - 0.16 * (np.mod(x, max(40, width // 7)) < 3)
    surface = np.array(colour, np.float32) * lit[:, :, None] + rng.normal(0, 1.6, (height, width, 3))
    edge = rng.uniform(0.4, 0.58) * width
    share = np.clip((x - edge) / 5 + 0.5, 0, 1)[:, :, None]
    if rng.random() < 0.5:
        share = share[:, ::-1]
    return to_pixels(photo * share + surface * (1 - share))
