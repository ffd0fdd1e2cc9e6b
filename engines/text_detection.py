"""The text detector: where text stands in a picture.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020. The network gives a probability map
of shrunk text regions; each region is grown back by the distance that the paper's formula gives (area x ratio / perimeter,
section 3.4) and boxed by its smallest rectangle. Neither step needs a polygon library.
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
from engines.preprocess import normalise
from engines.runtime.base import Network

__all__ = ["Quad", "TextDetector", "TextRegion", "offset_outline", "regions_from_map", "text_area"]

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
        """Probability of text, 0-1, for every pixel of the picture as it was scaled for the network."""
        scores, width, height = self._infer(pixels)
        return scores[:height, :width]

    def _infer(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int, int]:
        """The map, padding included, and how much of its width and height is picture."""
        small = _fit(pixels, self._input)
        height, width = small.shape[:2]
        ordered = small if self._input.colour == "RGB" else small[:, :, ::-1]
        batch = normalise(ordered, self._input.mean, self._input.std)
        pad = [(0, -side % self._input.multiple) for side in (height, width)]
        output = self._network.run(np.pad(batch, ((0, 0), (0, 0), *pad)))
        scores: NDArray[np.float32] = output.reshape(output.shape[-2:])
        return scores, width, height

    def detect(self, pixels: NDArray[np.uint8]) -> list[TextRegion]:
        """Text in an upright RGB picture (H x W x 3, uint8) in its own pixels, from top to bottom.

        Raises:
            EngineError: the network failed.

        """
        scores, width, height = self._infer(pixels)
        scale = np.array([pixels.shape[1] / width, pixels.shape[0] / height], np.float32)
        # MMOCR follows contours into the padding; elsewhere text ends where the picture does.
        whole = self._input.region == "contour"
        regions = regions_from_map(scores if whole else scores[:height, :width], self._input)
        return [TextRegion(region.reading * scale, region.extent * scale) for region in regions]


def regions_from_map(scores: NDArray[np.float32], limits: DetectionInput) -> list[TextRegion]:
    """Text regions in the pixels of a probability map (H x W, 0-1), from top to bottom."""
    mask = (scores > limits.mask_threshold).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    find = _from_rectangle if limits.region == "rectangle" else _from_contour
    found = (find(contour, scores, limits) for contour in contours[: limits.max_candidates])
    regions = [region for region in found if region is not None]
    return sorted(regions, key=lambda region: (float(region.reading[:, 1].min()), float(region.reading[:, 0].min())))


def _from_rectangle(contour: NDArray[Any], scores: NDArray[np.float32], limits: DetectionInput) -> TextRegion | None:
    centre, (width, height), angle = cv2.minAreaRect(contour)
    if min(width, height) < limits.min_side:
        return None
    if _mean_inside(scores, cv2.boxPoints((centre, (width, height), angle))) < limits.min_score:
        return None
    # Both sides grow by twice the paper's offset D = area x ratio / perimeter.
    step = width * height / (width + height)
    reading, extent = (
        _canonical(cv2.boxPoints((centre, (width + step * ratio, height + step * ratio), angle)))
        for ratio in (limits.unclip_ratio, limits.extent_ratio)
    )
    return TextRegion(reading, extent)


def _from_contour(contour: NDArray[Any], scores: NDArray[np.float32], limits: DetectionInput) -> TextRegion | None:
    """As MMOCR 1.0.1's DBPostprocessor finds quadrangles."""
    polygon = cv2.approxPolyDP(contour, limits.epsilon_ratio * cv2.arcLength(contour, closed=True), closed=True)
    area, length = cv2.contourArea(polygon), cv2.arcLength(polygon, closed=True)
    if len(polygon) < 4 or area == 0:
        return None
    corners = polygon.reshape(-1, 2).astype(np.float32)
    if _mean_inside(scores, corners) < limits.min_score:
        return None
    reading, extent = (
        cv2.minAreaRect(offset_outline(corners, area * ratio / length)) for ratio in (limits.unclip_ratio, limits.extent_ratio)
    )
    if min(reading[1]) < limits.min_side:
        return None
    return TextRegion(_canonical(cv2.boxPoints(reading)), _canonical(cv2.boxPoints(extent)))


def offset_outline(corners: NDArray[np.float32], distance: float) -> NDArray[np.float32]:
    """Points around a polygon (N x 2, whole pixels) whose outline is moved out by ``distance`` (over 0) with round corners.

    Their hull is that of Clipper's offset (A. Johnson, ClipperOffset: round joins, arc tolerance 0.25, whole pixels), which
    MMOCR uses: where two rectangles are almost equally small, its rounding decides between them.
    """
    x, y = corners[:, 0].astype(float), corners[:, 1].astype(float)
    if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0:
        x, y = x[::-1], y[::-1]
    steps = min(np.pi / np.arccos(1 - min(0.25, 0.25 * distance) / distance), np.pi * distance)
    dx, dy = np.roll(x, -1) - x, np.roll(y, -1) - y
    length = np.hypot(dx, dy)
    after = np.stack([dy / length, -dx / length], axis=1)
    points, before = [], after[-1]
    for corner, behind in zip(np.stack([x, y], axis=1), after, strict=True):
        turn = float(np.arctan2(before[0] * behind[1] - behind[0] * before[1], before @ behind))
        if abs(np.sin(turn) * distance) < 1 and abs(turn) < np.pi / 2:
            # Too slight to see: Clipper moves the corner along the last normal that it used, and goes on with that one.
            points.append((corner + distance * before)[None])
            continue
        count = max(int(steps / (2 * np.pi) * abs(turn) + 0.5), 1)
        # The arc ends at the next edge's own normal, not at a whole step. Inward corners are inside the hull anyway.
        angles = np.append(np.arange(count) * 2 * np.pi / steps, turn) if turn > 0 else np.array([0.0, turn])
        cos, sin = np.cos(angles), np.sin(angles)
        normals = np.stack([before[0] * cos - before[1] * sin, before[0] * sin + before[1] * cos], axis=1)
        points.append(corner + distance * normals)
        before = behind
    found = np.concatenate(points)
    return np.asarray(np.trunc(found + np.copysign(0.5, found)), dtype=np.float32)


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


def _fit(pixels: NDArray[np.uint8], limits: DetectionInput) -> NDArray[np.uint8]:
    """The picture at the size that the network is given, before padding."""
    height, width = pixels.shape[:2]
    factor = limits.longest_side / max(height, width)
    if limits.shortest_side is not None:
        factor = min(factor, limits.shortest_side / min(height, width))
    if factor == 1 or (factor > 1 and not limits.enlarge):
        return pixels
    size = (max(1, int(width * factor + 0.5)), max(1, int(height * factor + 0.5)))
    if factor < 1 and limits.interpolation == "area":
        return _shrunk(pixels, *size)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _shrunk(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Area averaging. What is more than twice as large is halved first: means of two by two pixels cost a tenth of others."""
    while pixels.shape[0] >= 2 * height and pixels.shape[1] >= 2 * width:
        rows, columns = pixels.shape[0] // 2, pixels.shape[1] // 2
        even = pixels[: 2 * rows, : 2 * columns]
        pixels = np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


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
