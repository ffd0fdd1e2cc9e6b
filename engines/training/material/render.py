"""Pages of every kind as picture files, through a browser's command line: ``iqa engines draw``.

Starting a browser costs more than drawing a page, so many pages are laid out below each other, drawn at once and cut apart.
"""

from __future__ import annotations

import html
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from engines.errors import EngineError
from engines.kinds import KINDS
from engines.training.data import picture_files
from engines.training.material.pages import DESIGNS
from engines.training.material.pages import html as page_html

__all__ = ["DrawOptions", "draw", "drawn"]

TALLEST = 12_000
"""Pixels of one browser window; beyond 16,384 browsers draw nothing."""
PATIENCE_MS = 20_000
"""For pictures to load, in the browser's virtual time."""
GIVE_UP_S = 180
QUALITIES = (75, 97)

Pixels = NDArray[np.uint8]
Sheet = tuple[str, int, int]


@dataclass(frozen=True)
class DrawOptions:
    """What pages are made of, and how many of each kind; ``browser`` is Chromium's or Chrome's command."""

    photos: Path
    things: Path
    drawings: Path
    out: Path
    count: int = 300
    seed: int = 1
    browser: str = "chromium"
    fonts: tuple[str, ...] = ("Noto Sans CJK SC", "Noto Serif CJK SC", "DejaVu Sans", "DejaVu Serif", "monospace")


def draw(options: DrawOptions) -> None:
    """Write ``out``/KIND/NUMBER.jpg; what is there is kept, so that a stopped run goes on.

    Raises:
        DataSetError: a folder holds no pictures.
        EngineError: the browser cannot be started or draws nothing, or ``out`` cannot be written.

    """
    photos, things = ([path.resolve().as_uri() for path in picture_files([d])] for d in (options.photos, options.things))
    drawings = [path.resolve().as_uri() for path in picture_files([options.drawings], svg=True)]
    for kind in DESIGNS:
        folder = options.out / kind
        folder.mkdir(parents=True, exist_ok=True)
        missing = [n for n in range(options.count) if not (folder / f"{n:05}.jpg").exists()]
        rngs = [np.random.default_rng([options.seed, KINDS.index(kind), n]) for n in missing]
        sheets = [page_html(kind, rng, photos, things, drawings, options.fonts) for rng in rngs]
        pictures = track(drawn(sheets, options.browser), f"{kind} pages", total=len(sheets))
        for number, rng, pixels in zip(missing, rngs, pictures, strict=True):
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*QUALITIES))]
            partial = folder / f"{number:05}.part.jpg"
            if not cv2.imwrite(str(partial), pixels, quality):
                raise EngineError(f"{partial} cannot be written")
            # What is there is kept: a picture that was begun must not look like one.
            partial.replace(folder / f"{number:05}.jpg")


def drawn(sheets: Sequence[Sheet], browser: str) -> Iterator[Pixels]:
    """Every page (HTML, width, height) as a BGR picture (H x W x 3).

    Raises:
        EngineError: the browser cannot be started, or draws nothing.

    """
    waiting = iter(sheets)
    for _, batch in groupby(_numbered(waiting), key=lambda entry: entry[0]):
        yield from _window([sheet for _, sheet in batch], browser)


def _numbered(sheets: Iterator[Sheet]) -> Iterator[tuple[int, Sheet]]:
    """Every page with the number of the window that it fits into."""
    number, height = 0, 0
    for sheet in sheets:
        if height and height + sheet[2] > TALLEST:
            number, height = number + 1, 0
        height += sheet[2]
        yield number, sheet


def _window(sheets: Sequence[Sheet], browser: str) -> Iterator[Pixels]:
    width, height = max(sheet[1] for sheet in sheets), sum(sheet[2] for sheet in sheets)
    frames = "".join(
        f'<iframe style="display:block;border:0;width:{w}px;height:{h}px" srcdoc="{html.escape(body)}"></iframe>'
        for body, w, h in sheets
    )
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "pages.html", Path(folder) / "pages.png"
        page.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin:0">{frames}', encoding="utf-8")
        command = [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files"),
            *(f"--user-data-dir={folder}/profile", f"--window-size={width},{height}", f"--virtual-time-budget={PATIENCE_MS}"),
            *(f"--screenshot={shot}", page.as_uri()),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=GIVE_UP_S)  # noqa: S603 - the user names it
        except (OSError, subprocess.SubprocessError) as error:
            raise EngineError(f"{browser} draws no pages: {error}") from error
        seen = cv2.imread(str(shot), cv2.IMREAD_COLOR)
    if seen is None or seen.shape[0] < height:
        raise EngineError(f"{browser} drew {None if seen is None else seen.shape} instead of {height} x {width}")
    top = 0
    for _, w, h in sheets:
        yield np.ascontiguousarray(seen[top : top + h, :w], dtype=np.uint8)
        top += h
