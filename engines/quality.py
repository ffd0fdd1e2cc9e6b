"""The quality engine: a picture to an opinion score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest, QualityInput
from engines.errors import EngineError, ManifestError
from engines.preprocess import QUALITY_PREPROCESSING, quality_input
from engines.runtime.base import Network

__all__ = ["QualityEngine", "opinion_score"]


class QualityEngine:
    """Scores pictures with hyperIQA (Su et al., CVPR 2020)."""

    def __init__(self, manifest: Manifest, network: Network) -> None:
        if not isinstance(manifest.input, QualityInput) or manifest.input.policy != QUALITY_PREPROCESSING:
            raise ManifestError(f"engine {manifest.label} wants another input than {QUALITY_PREPROCESSING}: export it again")
        self.manifest = manifest
        self._input = manifest.input
        self._network = network

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """Quality of an upright RGB picture (H x W x 3, uint8): 0-100, higher is better, two decimals.

        Raises:
            EngineError: the network failed or answered with something that is no number.

        """
        x = quality_input(pixels, self._input.longest_side)
        views = [x, np.ascontiguousarray(x[..., ::-1])] if self._input.mirror else [x]
        output = float(np.mean([self._network.run(view).reshape(-1)[0] for view in views]))
        if not np.isfinite(output):
            raise EngineError(f"engine {self.manifest.label} answered {output} to a picture of {pixels.shape}")
        return round(opinion_score(output, self._input), 2)


def opinion_score(output: float, limits: QualityInput) -> float:
    """The network's output (0-100) on the scale of opinions, 0-100."""
    inside = min(100.0, max(0.0, output))
    if not limits.scale:
        return inside
    outputs, scores = zip(*limits.scale, strict=True)
    return float(np.interp(inside, outputs, scores))
