"""Quality engines: a picture to an opinion score, by one network or by the mean of several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest, QualityInput
from engines.errors import EngineError, ManifestError
from engines.preprocess import QUALITY_PREPROCESSING, quality_input
from engines.runtime.base import Network

__all__ = ["QualityEngine", "QualityPanel", "limits_of", "opinion_score", "panel_names"]


def limits_of(manifest: Manifest) -> QualityInput:
    """How a quality engine is fed.

    Raises:
        ManifestError: the manifest is of another kind of engine.

    """
    if not isinstance(manifest.input, QualityInput):
        raise ManifestError(f"engine {manifest.label} is no quality engine")
    return manifest.input


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
        output = float(self._network.run(x).reshape(-1)[0])
        if not np.isfinite(output):
            raise EngineError(f"engine {self.manifest.label} answered {output} to a picture of {pixels.shape}")
        return round(opinion_score(output, self._input), 2)


class QualityPanel:
    """One or more quality engines that judge together: the mean of their scores counts.

    Networks that were trained alike still err differently; their mean errs less than the better of them (Hansen, Salamon 1990).
    """

    def __init__(self, members: Sequence[QualityEngine]) -> None:
        self.members = tuple(members)

    @property
    def label(self) -> str:
        """Names and versions, as verdicts carry them: ``hyperiqa-lite0@3+hyperiqa-r18@2``."""
        return "+".join(member.manifest.label for member in self.members)

    @property
    def digest(self) -> str:
        """What decides answers: the members' digests, in their order."""
        return "+".join(member.manifest.digest for member in self.members)

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """Quality of an upright RGB picture (H x W x 3, uint8): 0-100, higher is better, two decimals.

        Raises:
            EngineError: a network failed or answered with something that is no number.

        """
        return round(sum(member.score(pixels) for member in self.members) / len(self.members), 2)


def panel_names(choice: str) -> tuple[str, ...]:
    """Names of the engines that ``choice`` means: an engine's name, or several joined by ``+``.

    Raises:
        ManifestError: a name is empty or comes twice.

    """
    names = tuple(choice.split("+"))
    if not all(names) or len(set(names)) < len(names):
        raise ManifestError(f"quality {choice!r}: give the name of an engine, or names joined by +, each once")
    return names


def opinion_score(output: float, limits: QualityInput) -> float:
    """The network's output (0-100) on the scale of opinions, 0-100."""
    inside = min(100.0, max(0.0, output))
    if not limits.scale:
        return inside
    outputs, scores = zip(*limits.scale, strict=True)
    return float(np.interp(inside, outputs, scores))
