"""Fonts, text and paper: what posters, signs and documents are drawn with.

Pictures are RGB arrays (H x W x 3, uint8). Everything random comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from calibration.benchmark.sources import SPLITS, Split
from calibration.errors import BenchmarkError

__all__ = [
    "Colour",
    "CutOut",
    "Fonts",
    "Pixels",
    "cut_out",
    "find_fonts",
    "glare",
    "paste_warped",
    "pick",
    "text_box",
    "to_pixels",
    "write",
]

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]
CutOut = tuple[Pixels, NDArray[np.float32]]
"""Pixels and their opacity, 0-1."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
T = TypeVar("T")
FONT_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("~/.local/share/fonts"), Path("~/.fonts"))
# Symbols, mono-spaced fonts and their like are not what certificates are set in.
_UNFIT = ("mono", "symbol", "emoji", "math", "icon", "awesome", "opensymbol")


@dataclass(frozen=True)
class Fonts:
    """Files of fonts, each with its face's index, by what they can write."""

    latin: tuple[tuple[str, int], ...]
    chinese: tuple[tuple[str, int], ...]

    def choose(self, rng: np.random.Generator, *, chinese: bool) -> tuple[str, int]:
        """Any of the kind."""
        faces = self.chinese if chinese else self.latin
        return faces[int(rng.integers(len(faces)))]

    @property
    def names(self) -> list[str]:
        """Of their files."""
        return sorted({Path(face[0]).name for face in (*self.latin, *self.chinese)})

    def of(self, split: Split) -> Fonts:
        """Those of one split: no file is in both, but for a language with a single family. Families go by files' names."""
        chinese = _half(self.chinese, split)
        latin = _half(tuple(face for face in self.latin if face not in self.chinese), split)
        return Fonts((*latin, *(face for face in chinese if face in self.latin)), chinese)


def _half(faces: tuple[tuple[str, int], ...], split: Split) -> tuple[tuple[str, int], ...]:
    families = sorted({_family(face) for face in faces})
    if len(families) < 2:
        return faces
    mine = families[SPLITS.index(split) :: 2]
    return tuple(face for face in faces if _family(face) in mine)


def _family(face: tuple[str, int]) -> str:
    """As files are named: ``DejaVuSans-Bold.ttf``, ``LiberationSansNarrow-Italic.ttf``."""
    return Path(face[0]).stem.partition("-")[0]


@lru_cache(maxsize=512)
def _load(face: tuple[str, int], size: int) -> Font:
    return ImageFont.truetype(face[0], size, index=face[1])


def find_fonts(folders: Sequence[Path] = FONT_FOLDERS) -> Fonts:
    """Every usable font below ``folders``.

    Raises:
        BenchmarkError: none of them has Chinese characters.

    """
    files = sorted(
        path
        for folder in folders
        for path in _below(folder)
        if path.suffix.lower() in {".ttf", ".otf", ".ttc"} and not any(word in path.name.lower() for word in _UNFIT)
    )
    faces = [face for path in files if (face := (str(path), 0)) and _can_write(face, "Ag")]
    chinese = tuple(face for face in faces if _can_write(face, "营照證書"))
    if not chinese:
        raise BenchmarkError(
            "no font with Chinese characters in "
            + ", ".join(str(folder) for folder in folders)
            + ": install fonts-noto-cjk, or give a folder of fonts with --fonts"
        )
    return Fonts(tuple(faces), chinese)


def _below(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.expanduser().rglob("*")
    except (OSError, RuntimeError):
        # No such folder or, where users have none, no home directory: the other folders may do.
        return


def _can_write(face: tuple[str, int], letters: str) -> bool:
    try:
        font = _load(face, 24)
        missing = bytes(font.getmask("\uffff"))
        return all(bytes(font.getmask(letter)) not in {missing, b""} for letter in letters)
    except OSError:
        return False


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of ``choices``."""
    return choices[int(rng.integers(len(choices)))]


def to_pixels(values: NDArray[Any]) -> Pixels:
    """Rounded to whole levels from 0 to 255."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def cut_out(layer: Image.Image) -> CutOut:
    """What was drawn on a transparent layer."""
    pixels = np.asarray(layer, dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3]), np.asarray(pixels[:, :, 3] / 255, dtype=np.float32)


def text_box(face: tuple[str, int], size: int, text: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of ``text`` drawn at the origin, in pixels."""
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font=_load(face, size))
    return int(left), int(top), int(right), int(bottom)


def write(
    image: Image.Image,
    centre: tuple[float, float],
    text: str,
    face: tuple[str, int],
    size: int,
    fill: Colour,
    *,
    outline: Colour | None = None,
) -> tuple[int, int, int, int]:
    """Write a line around ``centre`` and return the box that its letters cover (left, top, right, bottom)."""
    left, top, right, bottom = text_box(face, size, text)
    x, y = centre[0] - (left + right) / 2, centre[1] - (top + bottom) / 2
    ImageDraw.Draw(image).text(
        (x, y),
        text,
        font=_load(face, size),
        fill=fill,
        stroke_width=0 if outline is None else max(1, size // 24),
        stroke_fill=outline,
    )
    return round(x + left), round(y + top), round(x + right), round(y + bottom)


def paste_warped(scene: Pixels, paper: Pixels, corners: NDArray[np.floating]) -> Pixels:
    """Lay ``paper`` into ``scene`` so that its corners (clockwise from the top left) come to ``corners`` (4 x 2: x, y)."""
    height, width = paper.shape[:2]
    inside = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    # Shrinking by warping skips pixels: shrink to about the size wanted first, as a lens does.
    wanted = float(np.linalg.norm(corners[1] - corners[0])) / width
    if wanted < 0.7:
        size = (max(8, round(width * wanted)), max(8, round(height * wanted)))
        inside = inside * np.array([size[0] / width, size[1] / height], np.float32)
        paper = np.asarray(cv2.resize(paper, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    matrix = cv2.getPerspectiveTransform(inside, corners.astype(np.float32))
    size = (scene.shape[1], scene.shape[0])
    laid = cv2.warpPerspective(paper, matrix, size, flags=cv2.INTER_CUBIC)
    mask = cv2.warpPerspective(np.full(paper.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    share = (mask.astype(np.float32) / 255.0)[:, :, None]
    return to_pixels(laid * share + scene * (1 - share))


def glare(pixels: Pixels, rng: np.random.Generator, strength: float) -> Pixels:
    """Light that falls from one side, and a bright spot (``strength`` 0-1) at a random place."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)) * rng.uniform(0.1, 0.35)
    spread = rng.uniform(0.08, 0.2) * max(height, width)
    spot = np.exp(-((x - rng.uniform(0, width)) ** 2 + (y - rng.uniform(0, height)) ** 2) / (2 * spread**2))
    lit = pixels * (1.0 + slope)[:, :, None] + (255.0 - pixels) * (strength * spot)[:, :, None]
    return to_pixels(lit)
