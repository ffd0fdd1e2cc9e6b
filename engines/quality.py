"""Quality engines: a picture to an opinion score, by one network or by the mean of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.catalog import Manifest, QualityInput
from engines.errors import EngineError, ManifestError
from engines.preprocess import QUALITY_PREPROCESSING, quality_input
from engines.runtime.base import Network

__all__ = ["Judgement", "QualityEngine", "QualityPanel", "limits_of", "opinion_score", "panel_names"]


def limits_of(manifest: Manifest) -> QualityInput:
    """How a quality engine is fed.

    Raises:
        ManifestError: the manifest is of another kind of engine.

    """
    if not isinstance(manifest.input, QualityInput):
        raise ManifestError(f"engine {manifest.label} is no quality engine")
    return manifest.input


@dataclass(frozen=True)
class Judgement:
    """What quality engines say of one picture.

    ``score``: 0-100, higher is better, two decimals. ``kinds``: the probability of every kind of picture that they know, in
    all 1; empty if they tell none. ``ruined``: the probability that nobody would want it, whatever its kind; else ``None``.
    ``text``: the probability that a text detector would find text; ``None`` if they do not say. ``textless``: whether that is
    so low that nobody need look.
    """

    score: float
    kinds: Mapping[str, float] = field(default_factory=dict)
    ruined: float | None = None
    text: float | None = None
    textless: bool = False


class QualityEngine:
    """Scores pictures with hyperIQA (Su et al., CVPR 2020)."""

    def __init__(self, manifest: Manifest, network: Network) -> None:
        if not isinstance(manifest.input, QualityInput) or manifest.input.policy != QUALITY_PREPROCESSING:
            raise ManifestError(f"engine {manifest.label} wants another input than {QUALITY_PREPROCESSING}: export it again")
        self.manifest = manifest
        self._input = manifest.input
        self._network = network

    def judge(self, pixels: NDArray[np.uint8]) -> Judgement:
        """What the network says of an upright RGB picture (H x W x 3, uint8).

        Raises:
            EngineError: the network failed, or answered with something else than the numbers that its manifest promises.

        """
        output = self._network.run(quality_input(pixels, self._input.longest_side)).reshape(-1).astype(np.float64)
        names, text = self._input.kinds, self._input.text
        if len(output) != (len(names) + 2 + text if names else 1) or not np.isfinite(output).all():
            raise EngineError(f"engine {self.manifest.label} answered {output} to a picture of {pixels.shape}")
        score = round(opinion_score(float(output[0]), self._input), 2)
        if not names:
            return Judgement(score)
        kinds = {name: round(float(value), 4) for name, value in zip(names, output[1 : len(names) + 1], strict=True)}
        ruined = round(float(output[len(names) + 1]), 4)
        if not text:
            return Judgement(score, kinds, ruined)
        return Judgement(score, kinds, ruined, round(float(output[-1]), 4), float(output[-1]) < self._input.text_below)

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """The score alone; see ``judge``."""
        return self.judge(pixels).score


class QualityPanel:
    """One or more quality engines that judge together: the mean of their scores counts.

    Networks that were trained alike still err differently; their mean errs less than the better of them (Hansen, Salamon 1990).
    """

    def __init__(self, members: Sequence[QualityEngine]) -> None:
        self.members = tuple(members)

    @property
    def label(self) -> str:
        """Names and versions, as verdicts carry them: ``hyperiqa-lite0@7+hyperiqa-r18@2``."""
        return "+".join(member.manifest.label for member in self.members)

    @property
    def longest_side(self) -> int:
        """Pixels: a picture that is shrunk to this first gives the same answer, or nearly where members want less."""
        return max(limits_of(member.manifest).longest_side for member in self.members)

    @property
    def digest(self) -> str:
        """What decides answers: the members' digests, in their order."""
        return "+".join(member.manifest.digest for member in self.members)

    def judge(self, pixels: NDArray[np.uint8]) -> Judgement:
        """The mean of what the members say of an upright RGB picture (H x W x 3, uint8); of kinds, of those that tell them.

        A picture is without text if all members that look for text are sure of it.

        Raises:
            EngineError: a network failed, or answered with something else than its manifest promises.

        """
        said = [member.judge(pixels) for member in self.members]
        score = round(sum(one.score for one in said) / len(said), 2)
        telling = [one for one in said if one.ruined is not None]
        if not telling:
            return Judgement(score)
        names = dict.fromkeys(name for one in telling for name in one.kinds)
        kinds = {name: round(sum(one.kinds.get(name, 0.0) for one in telling) / len(telling), 4) for name in names}
        ruined = round(sum(one.ruined or 0.0 for one in telling) / len(telling), 4)
        seeing = [one for one in telling if one.text is not None]
        if not seeing:
            return Judgement(score, kinds, ruined)
        text = round(sum(one.text or 0.0 for one in seeing) / len(seeing), 4)
        return Judgement(score, kinds, ruined, text, all(one.textless for one in seeing))

    def score(self, pixels: NDArray[np.uint8]) -> float:
        """The score alone; see ``judge``."""
        return self.judge(pixels).score


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
