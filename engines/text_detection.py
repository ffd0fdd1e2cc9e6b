"""The text detector: where text stands in a picture.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020. The network gives a probability map
of shrunk text regions; each region's smallest rectangle is grown back by the distance that the paper's formula gives
(area x ratio / perimeter, section 3.4). For rectangles that offset has a closed form, so no polygon library is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.catalog import DetectionInput, Manifest
from engines.errors import ManifestError
from engines.preprocess import fit_longest, normalise
from engines.runtime.base import Network

__all__ = ["Quad", "TextDetector", "TextRegion", "regions_from_map", "text_area"]

Quad = NDArray[np.float32]
"""4 x 2: x and y of the corners, clockwise from the top left of the text's own frame, in pixels."""

AREA_GRID = 1024
"""Longest side of the grid on which the union of text regions is counted."""


@dataclass(frozen=True)
class TextRegion:
    """One piece of text.

    Attributes:
        reading: a box with some room around the letters, which recognisers want.
        extent: a box that fits the letters, for measuring the area.

    """

    reading: Quad
    extent: Quad


class TextDetector:
    """Finds text with a DB network."""

    def __init__(self, manifest: Manifest, network: Network) -> None:
        if not isinstance(manifest.input, DetectionInput):
            raise ManifestError(f"engine {manifest.label} is no text detector")
        self.manifest = manifest
        self._network = network
        self._input = manifest.input

    def probability_map(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability of text, 0-1, for every pixel of the picture as it was shrunk for the network."""
        small = fit_longest(pixels, self._input.longest_side)
        height, width = small.shape[:2]
        ordered = small if self._input.colour == "RGB" else small[:, :, ::-1]
        batch = normalise(ordered, self._input.mean, self._input.std)
        pad = [(0, -side % self._input.multiple) for side in (height, width)]
        output = self._network.run(np.pad(batch, ((0, 0), (0, 0), *pad)))
        return output.reshape(output.shape[-2:])[:height, :width]

    def detect(self, pixels: NDArray[np.uint8]) -> list[TextRegion]:
        """Text in an upright RGB picture (H x W x 3, uint8) in its own pixels, from top to bottom.

        Raises:
            EngineError: the network failed.

        """
        scores = self.probability_map(pixels)
        scale = np.array([pixels.shape[1] / scores.shape[1], pixels.shape[0] / scores.shape[0]], np.float32)
        regions = regions_from_map(scores, self._input)
        return [TextRegion(region.reading * scale, region.extent * scale) for region in regions]


def regions_from_map(scores: NDArray[np.float32], limits: DetectionInput) -> list[TextRegion]:
    """Text regions in the pixels of a probability map (H x W, 0-1), from top to bottom."""
    mask = (scores > limits.mask_threshold).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    regions = []
    for contour in contours[: limits.max_candidates]:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < limits.min_side:
            continue
        if _mean_inside(scores, cv2.boxPoints((centre, (width, height), angle))) < limits.min_score:
            continue
        # Both sides grow by twice the paper's offset D = area x ratio / perimeter.
        step = width * height / (width + height)
        reading, extent = (
            _canonical(cv2.boxPoints((centre, (width + step * ratio, height + step * ratio), angle)))
            for ratio in (limits.unclip_ratio, limits.extent_ratio)
        )
        regions.append(TextRegion(reading, extent))
    return sorted(regions, key=lambda region: (float(region.reading[:, 1].min()), float(region.reading[:, 0].min())))


def text_area(quads: Sequence[Quad], width: int, height: int) -> float:
    """Share of a picture of ``width`` x ``height`` pixels under the union of ``quads``, 0-1, four decimals."""
    if len(quads) == 0:
        return 0.0
    scale = min(1.0, AREA_GRID / max(width, height))
    grid = np.zeros((max(1, round(height * scale)), max(1, round(width * scale))), np.uint8)
    # One by one: fillPoly on a list fills by parity, and overlaps would become holes.
    for quad in quads:
        cv2.fillPoly(grid, [np.rint(quad * scale).astype(np.int32)], (1,))
    return round(float(grid.mean()), 4)


def _mean_inside(scores: NDArray[np.float32], corners: NDArray[Any]) -> float:
    height, width = scores.shape
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, (width - 1, height - 1))
    window = scores[low[1] : high[1] + 1, low[0] : high[0] + 1]
    inside = np.zeros(window.shape, np.uint8)
    cv2.fillPoly(inside, [np.rint(corners - low).astype(np.int32)], (1,))
    return float(window[inside == 1].mean()) if inside.any() else 0.0


def _canonical(corners: NDArray[Any]) -> Quad:
    """Clockwise from the top left, whatever corner OpenCV's version begins with."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left = by_x[:2][np.argsort(by_x[:2, 1], kind="stable")]
    right = by_x[2:][np.argsort(by_x[2:, 1], kind="stable")]
    return np.stack([left[0], right[0], right[1], left[1]]).astype(np.float32)
