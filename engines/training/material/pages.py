"""Pages as HTML, many designs of each kind; a browser makes pictures of them.

Designs of the benchmark (``calibration.benchmark``) are others, so that it does not measure how well a network knows its own
teaching material.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engines.kinds import Kind
from engines.training.material.documents import certificate, form, receipt, running_text
from engines.training.material.drawings import on_ground, sheet, studio, word_mark
from engines.training.material.page import Page
from engines.training.material.posters import (
    collage,
    glowing,
    letters_on_photo,
    only_letters,
    photo_and_band,
    thing_on_rays,
    thing_with_price,
    vacancies,
)
from engines.training.material.scenes import board, panels, scene, shop
from engines.training.material.screens import chat, web_page, window
from engines.training.material.words import Writer

__all__ = ["DESIGNS", "html"]

SIZES: dict[Kind, tuple[tuple[int, int], ...]] = {
    "poster": ((600, 800), (750, 750), (640, 960), (900, 600), (800, 800), (960, 540)),
    "document": ((620, 877), (877, 620), (500, 760), (380, 820), (700, 520)),
    "screenshot": ((1280, 720), (390, 844), (1024, 768), (1366, 768), (412, 732)),
    "drawing": ((600, 600), (800, 600), (640, 640), (900, 500)),
    "product": ((800, 800), (700, 700), (800, 600)),
}


DESIGNS: dict[Kind, tuple[Callable[[Page], str], ...]] = {
    "poster": (letters_on_photo, photo_and_band, thing_with_price, only_letters, vacancies, collage, thing_on_rays, glowing),
    "document": (certificate, running_text, form, receipt),
    "screenshot": (web_page, chat, window),
    "drawing": (on_ground, on_ground, on_ground, sheet, scene, word_mark, shop, board, panels),
    "product": (studio,),
}


def html(
    kind: Kind,
    rng: np.random.Generator,
    photos: Sequence[str],
    things: Sequence[str],
    drawings: Sequence[str],
    fonts: Sequence[str],
) -> tuple[str, int, int]:
    """A page of ``kind`` as HTML, with its width and height in pixels. Addresses of pictures are those of ``img`` elements."""
    width, height = SIZES[kind][int(rng.integers(len(SIZES[kind])))]
    designs = DESIGNS[kind]
    page = Page(width, height, rng, Writer(rng), photos, things, drawings, fonts)
    body = designs[int(rng.integers(len(designs)))](page)
    style = "*{margin:0;box-sizing:border-box}body{position:relative;overflow:hidden}"
    return (
        f'<!doctype html><meta charset="utf-8"><style>{style}body{{width:{width}px;height:{height}px}}</style><body>{body}',
        width,
        height,
    )
