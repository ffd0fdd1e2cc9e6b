"""What the rules look at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Background", "Kind", "Signals", "TextLine"]


@dataclass(frozen=True)
class Background:
    """How far one plain colour fills a picture, and whether it is drawn.

    Attributes:
        share: pixels close to the background's colour, of all pixels, 0-1.
        border_share: the same over the outer frame alone, 0-1.
        roughness: mean luminance step between neighbours inside that colour, in units of L* (0-100); studio white and drawn
            logos stay below 0.25, most walls and skies of photos are above.
        edge: luminance step that 0.3 % of neighbours exceed, in units of L*: what stands on the colour is sharp, or not.
        palette: pixels close to one of five colours, of all pixels, 0-1: logos and pages have few colours.
        flat: neighbours without any step between them, of all, 0-1: drawings are flat, what a camera sees is not.

    """

    share: float
    border_share: float
    roughness: float
    edge: float
    palette: float = 0.0
    flat: float = 0.0


@dataclass(frozen=True)
class Kind:
    """What kind of picture a quality engine takes it for.

    Attributes:
        name: photo, drawing, product, poster, document or screenshot: the likeliest of them.
        probability: of that kind, 0-1.
        photo: probability that it is a photo, 0-1.
        ruined: probability that nobody would want it, whatever its kind, 0-1.

    """

    name: str
    probability: float
    photo: float
    ruined: float


@dataclass(frozen=True)
class TextLine:
    """One line of recognised text, and how high its letters are, as a share of the picture's shorter side (0-1)."""

    text: str
    height: float


@dataclass(frozen=True)
class Signals:
    """Everything about one picture that rules may use.

    Attributes:
        width: pixels, upright, as uploaded (at least 1).
        height: pixels, upright, as uploaded (at least 1).
        background: see ``Background``.
        text_area: share of pixels under text, 0-1; ``None`` if it was not measured.
        keywords: keywords found, in the profile's spelling; ``None`` if text was not read.
        kind: see ``Kind``; ``None`` from engines that do not tell it.

    """

    width: int
    height: int
    background: Background
    text_area: float | None = None
    keywords: tuple[str, ...] | None = None
    kind: Kind | None = None

    @property
    def aspect_ratio(self) -> float:
        """Long side over short side, at least 1."""
        return max(self.width, self.height) / min(self.width, self.height)

    @property
    def shorter_side(self) -> int:
        """Pixels."""
        return min(self.width, self.height)
