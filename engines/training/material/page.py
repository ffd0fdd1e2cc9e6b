"""What designs of pages are made of.

Every design is a function of a ``Page``: what is random (colours, fonts, words, pictures) comes from it, what is the design's
own (where things stand) is written there.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engines.training.material.words import Writer

__all__ = ["Page", "box", "lines", "shown"]


@dataclass(frozen=True)
class Page:
    """What a design is made of: ``width`` and ``height`` in pixels, pictures of photos, things and drawings as addresses."""

    width: int
    height: int
    rng: np.random.Generator
    write: Writer
    photos: Sequence[str]
    things: Sequence[str]
    drawings: Sequence[str]
    fonts: Sequence[str]

    def chance(self, share: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """A number, evenly."""
        return float(self.rng.uniform(low, high))

    def one(self, of: Sequence[str]) -> str:
        """One of several."""
        return of[int(self.rng.integers(len(of)))]

    def draw(self, designs: Sequence[Callable[[Page], str]]) -> str:
        """What one of several designs makes of this page."""
        return designs[int(self.rng.integers(len(designs)))](self)

    def colour(self, light: tuple[float, float] = (0.2, 0.8), strength: tuple[float, float] = (0.3, 1.0)) -> str:
        """Any hue."""
        rgb = colorsys.hls_to_rgb(self.between(0, 1), self.between(*light), self.between(*strength))
        return "#" + "".join(f"{round(255 * value):02x}" for value in rgb)

    def ground(self) -> str:
        """A background: plain, a gradient, a pattern."""
        first, second = self.colour((0.15, 0.95)), self.colour((0.15, 0.95))
        angle = int(self.between(0, 360))
        return self.one(
            (
                first,
                f"linear-gradient({angle}deg, {first}, {second})",
                f"radial-gradient(circle at 50% 40%, {first}, {second})",
                f"repeating-linear-gradient({angle}deg, {first} 0 22px, {second} 22px 44px)",
                f"radial-gradient({first} 18%, transparent 19%) 0 0/32px 32px {second}",
            )
        )

    def letters(self, size: float, colour: str, more: str = "") -> str:
        """The style of some text."""
        weight = self.one(("400", "700", "900"))
        return f"font:{weight} {size:.0f}px '{self.one(self.fonts)}',sans-serif;color:{colour};{more}"


def box(style: str, inside: str = "") -> str:
    """A block."""
    return f'<div style="{style}">{inside}</div>'


def shown(address: str, style: str) -> str:
    """A picture that fills its block, cut where it does not fit."""
    return f'<img src="{address}" style="object-fit:cover;{style}">'


def lines(page: Page, count: int, size: float, colour: str) -> str:
    """Lines of an advert, each in a font of its own."""
    return "".join(box(page.letters(size, colour, f"margin:{size * 0.35:.0f}px 0"), page.write.phrase()) for _ in range(count))
