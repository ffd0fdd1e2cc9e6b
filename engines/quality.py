"""The quality engine: a picture to an opinion score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest
from engines.errors import EngineError, ManifestError
from engines.preprocess import QUALITY_PREPROCESSING, quality_input
from engines.runtime.base import Network

__all__ = ["QualityEngine"]


class QualityEngine:
    """Scores pictures with hyperIQA (Su et al., CVPR 2020)."""

    def __init__(self, manifest: Manifest, network: Network) -> None:
        if manifest.input.kind != "quality" or manifest.input.policy != QUALITY_PREPROCESSING:
            raise ManifestError(f"engine {manifest.label} wants another input than {QUALITY_PREPROCESSING}: export it again")
        self.manifest = manifest
        self._network = network

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """Quality of an upright RGB picture (H x W x 3, uint8): 0-100, higher is better, two decimals.

        Raises:
            EngineError: the network failed or answered with something that is no number.

        """
        score = float(self._network.run(quality_input(pixels)).reshape(-1)[0])
        if not np.isfinite(score):
            raise EngineError(f"engine {self.manifest.label} answered {score} to a picture of {pixels.shape}")
        return round(min(100.0, max(0.0, score)), 2)
