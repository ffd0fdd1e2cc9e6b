"""What a trunk hands to the head: all of its maps, by resolution."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Stage", "mean_and_deviation"]


class Stage(NamedTuple):
    """Maps (N x C x H x W) of one resolution, or nearly.

    ``outputs`` are those that the trunk goes on from, the last one last. ``inside`` are those within its blocks, after the
    spatial convolution, where there are most channels.
    """

    outputs: list[Tensor]
    inside: list[Tensor]

    def pool(self) -> Tensor:
        """N x width: mean, deviation and maximum of outputs' channels, the last map's first; then means of those inside."""
        # Single precision, whatever the maps are in: sums of thousands of numbers in half of it are noise.
        with torch.autocast(self.outputs[0].device.type, enabled=False):
            outputs = [x.float() for x in reversed(self.outputs)]
            pooled = [part for x in outputs for part in (mean_and_deviation(x), x.amax(dim=(2, 3)))]
            return torch.cat([*pooled, *(x.float().mean(dim=(2, 3)) for x in self.inside)], dim=1)


def mean_and_deviation(x: Tensor) -> Tensor:
    """N x 2C: mean and standard deviation of every channel over height and width."""
    mean = x.mean(dim=(2, 3))
    # Less the mean first, one more copy of every map would be written and read.
    squares = (x * x).mean(dim=(2, 3))
    return torch.cat([mean, torch.sqrt((squares - mean.square()).clamp(min=0) + 1e-6)], dim=1)
