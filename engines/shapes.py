"""Which input shapes an engine can meet: what a runtime must be built for, and what a benchmark feeds it."""

from __future__ import annotations

from dataclasses import dataclass

from engines.catalog import DetectionInput, Manifest, QualityInput
from engines.preprocess import SHORTEST_SIDE

__all__ = ["Shape", "ShapeRange", "shape_range"]

Shape = tuple[int, int, int, int]
"""N, C, H, W."""


@dataclass(frozen=True)
class ShapeRange:
    """Smallest, usual and largest input of an engine."""

    least: Shape
    usual: Shape
    most: Shape

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether an input of that shape is between the smallest and the largest."""
        return len(shape) == 4 and all(
            low <= side <= high for low, side, high in zip(self.least, shape, self.most, strict=True)
        )

    @property
    def label(self) -> str:
        """Written out, for keys and messages: ``1x3x64x64..8x3x384x384``."""
        return "..".join("x".join(map(str, shape)) for shape in (self.least, self.usual, self.most))


def shape_range(manifest: Manifest, batch: int) -> ShapeRange:
    """What the engine's own preprocessing can produce, with up to ``batch`` pictures at once."""
    limits = manifest.input
    if isinstance(limits, QualityInput):
        most = limits.longest_side
        return ShapeRange((1, 3, SHORTEST_SIDE, SHORTEST_SIDE), (batch, 3, most * 3 // 4, most), (batch, 3, most, most))
    if isinstance(limits, DetectionInput):
        step, most = limits.multiple, -(-limits.longest_side // limits.multiple) * limits.multiple
        return ShapeRange((1, 3, step, step), (batch, 3, -(-most * 3 // 4 // step) * step, most), (batch, 3, most, most))
    channels = 1 if limits.colour == "GREY" else 3
    least = -(-limits.min_width // limits.multiple) * limits.multiple
    most = -(-limits.max_width // limits.multiple) * limits.multiple
    usual = min(most, max(least, 10 * limits.height))
    return ShapeRange(
        (1, channels, limits.height, least), (batch, channels, limits.height, usual), (batch, channels, limits.height, most)
    )
