"""Text spotting: detection confirmed by recognition.

Detectors of the DB family take single large objects (a cup, a face) for one huge glyph: with the shipped detector, text would
cover over 30 % of every third web photo. So a region that covers much of the picture counts as text only if it can be read:
at least two characters, with the recogniser's minimum confidence. Measured on regions above 2 % of the picture: 97 % of those
on street signs (MSRA-TD500) are kept, 6 % of those on web photos. Small regions are taken as they come: their area hardly
counts, and reading all of them would cost more than everything else together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.text_detection import TextDetector, TextRegion, text_area
from engines.text_recognition import Line, TextRecogniser

__all__ = ["SPOTTING", "ReadLine", "Spotted", "TextSpotter"]

SPOTTING = "confirm-2pct-2chars-20pct-70-40lines@3"
"""Names this module's behaviour inside fingerprints: raise it when equal pixels may give another answer."""

CONFIRM_SHARE = 0.02
MIN_CHARACTERS = 2
HUGE_SHARE = 0.2
HUGE_CONFIDENCE = 0.7
HUGE_STRETCH = 1.5
"""Above ``HUGE_SHARE`` of the picture a mistake changes the verdict: the reading must be surer, and two characters must lie in
a region at least so much longer than high. A face read as "32" is then none; text on photos falls from 1.5 % to none of 200."""
MAX_LINES = 40
"""Lines read per picture, those with the largest letters first: titles of documents are large."""


@dataclass(frozen=True)
class Spotted:
    """Text found in one picture.

    Attributes:
        area: share of the picture under text, 0-1.
        regions: with the line that each was read as, or ``None`` where it was not read yet; largest letters first.

    """

    area: float
    regions: tuple[tuple[TextRegion, Line | None], ...]


@dataclass(frozen=True)
class ReadLine:
    """What one line says, and how high its letters are, as a share of the picture's shorter side."""

    text: str
    height: float


class TextSpotter:
    """Finds text, and reads it when asked to. Safe to use from many threads."""

    def __init__(self, detector: TextDetector, recogniser: TextRecogniser) -> None:
        self._detector = detector
        self._recogniser = recogniser

    def locate(self, pixels: NDArray[np.uint8]) -> Spotted:
        """Where text stands in an upright RGB picture (H x W x 3, uint8).

        Raises:
            EngineError: a network failed.

        """
        height, width = pixels.shape[:2]
        regions = sorted(self._detector.detect(pixels), key=_letter_height, reverse=True)
        kept: list[tuple[TextRegion, Line | None]] = []
        for region in regions:
            if text_area([region.extent], width, height) <= CONFIRM_SHARE:
                kept.append((region, None))
                continue
            line = self._recogniser.read(pixels, region.reading)
            if line is not None and _is_text(line, region, width * height):
                kept.append((region, line))
        return Spotted(text_area([region.extent for region, _ in kept], width, height), tuple(kept))

    def heights(self, pixels: NDArray[np.uint8], spotted: Spotted) -> list[float]:
        """How high the letters of the lines that ``lines`` reads are, as shares of the shorter side, highest first."""
        shorter = min(pixels.shape[:2])
        return [round(_letter_height(region) / shorter, 4) for region, _ in spotted.regions[:MAX_LINES]]

    def lines(self, pixels: NDArray[np.uint8], spotted: Spotted) -> Iterator[ReadLine | None]:
        """What the text says, line by line, largest letters first; ``None`` for what cannot be read.

        A line is read when it is asked for; those that were read while locating are not read again.

        Raises:
            EngineError: the network failed.

        """
        for (region, line), height in zip(spotted.regions, self.heights(pixels, spotted), strict=False):
            read = line or self._recogniser.read(pixels, region.reading)
            yield None if read is None else ReadLine(read.text, height)

    def read(self, pixels: NDArray[np.uint8], spotted: Spotted) -> list[ReadLine]:
        """All lines that can be read; see ``lines``."""
        return [line for line in self.lines(pixels, spotted) if line is not None]


def _is_text(line: Line, region: TextRegion, pixels: int) -> bool:
    """Whether what was read in a large region is text, and no object taken for a glyph; ``pixels`` of the whole picture."""
    characters = len(line.text.replace(" ", ""))
    long, high = _sides(region)
    if long * high <= HUGE_SHARE * pixels:
        return characters >= MIN_CHARACTERS
    stretched = max(long, high) >= HUGE_STRETCH * min(long, high)
    return line.confidence >= HUGE_CONFIDENCE and (characters > MIN_CHARACTERS or (characters == MIN_CHARACTERS and stretched))


def _sides(region: TextRegion) -> tuple[float, float]:
    quad = region.extent
    return float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))


def _letter_height(region: TextRegion) -> float:
    """The shorter side of what fits the letters, in pixels."""
    return min(_sides(region))
