"""What a network may learn beside opinions and ladders: to agree with finished engines, and to tell kinds of pictures.

Neither needs a rating. Photos without labels, and their defects, show far more of what is uploaded than rated photos do; what
engines that were taught otherwise make of them leaves less to learn by heart (Hinton, Vinyals, Dean, 2015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.errors import CheckpointError
from engines.kinds import KINDS, Kind
from engines.models.hyperiqa import Backbone, HyperIQA
from engines.preprocess import fit_longest
from engines.training.data import random_crop
from engines.training.datasets import read_rgb
from engines.training.distortions import DISTORTIONS, coded
from engines.training.initial_weights import load_initial_weights, trunk_sha256
from engines.training.losses import kinds_loss, opinion_loss

__all__ = ["Agreement", "Drawn", "KindPictures", "Task", "as_uploaded", "load_teachers"]

Pixels = NDArray[np.uint8]
DEFECT_SHARE = 0.5
LEAST = 0.3
"""The smallest upload, as a share of the serving size; larger ones are shrunk to it."""
SMALL_SHARE = 0.3
RUINED = (0.75, 1.0)
WHOLE = (0.0, 0.25)
"""Severities of what counts as ruined, and as whole; what lies between is neither, and not drawn."""
MILD = frozenset({"flatten_contrast", "colour_cast", "banding", "grain", "impulse_noise"})
"""Defects that do not ruin drawings."""


@dataclass(frozen=True)
class Drawn:
    """What a task sees in one step: inputs (N x 3 x S x S), and what it needs beside them."""

    inputs: Tensor
    targets: dict[str, Tensor] = field(default_factory=dict)


class Task(Protocol):
    """One more thing to learn, counted ``weight`` times in the loss."""

    weight: float

    def draw(self, rng: np.random.Generator) -> Drawn:
        """The pictures of one step; a function of ``rng`` alone."""

    def loss(self, model: HyperIQA, pooled: Sequence[Tensor], drawn: Drawn) -> Tensor:
        """What is to be minimised, given what ``model`` pools of ``drawn.inputs``."""


def load_teachers(paths: Sequence[Path], device: torch.device) -> list[HyperIQA]:
    """Finished networks: checkpoints (.pt) or engines (.onnx) of any backbone, head and all.

    Raises:
        CheckpointError: a file is none.

    """
    backbones: tuple[Backbone, ...] = ("efficientnet-lite0", "efficientnet-lite2", "resnet18", "resnet50")
    found = []
    for path in paths:
        for backbone in backbones:
            model = HyperIQA(backbone)
            try:
                whole = load_initial_weights(model, path).head
            except CheckpointError:
                continue
            if whole:
                found.append(model.to(device, memory_format=torch.channels_last).eval().requires_grad_(False))
                break
        else:
            raise CheckpointError(f"--teacher {path} is no finished network of this form")
    return found


def spoilt(pixels: Pixels, severity: tuple[float, float], rng: np.random.Generator, kinds: Sequence[str]) -> Pixels:
    """``pixels`` with a random defect."""
    kind = kinds[int(rng.integers(len(kinds)))]
    return DISTORTIONS[kind](pixels, float(rng.uniform(*severity)), rng)


def as_uploaded(pixels: Pixels, kind: Kind, ruin: bool, rng: np.random.Generator) -> Pixels:
    """A picture of some kind with a random defect that ruins it, or does not, coded as JPEG."""
    among = [name for name in DISTORTIONS if kind == "photo" or not ruin or name not in MILD]
    return coded(spoilt(pixels, RUINED if ruin else WHOLE, rng, among), int(rng.integers(60, 97)))


class Agreement:
    """Photos without labels, half of them with a defect, some small: the score should be the teachers' mean."""

    def __init__(
        self, files: Sequence[Path], teachers: Sequence[HyperIQA], count: int, crop: int, side: int, weight: float
    ) -> None:
        self.files, self.weight = files, weight
        self.count, self.crop, self.side = count, crop, side
        # Heads that were taught on the same trunk hear the same numbers: a trunk runs once for all of its heads.
        by_trunk: dict[str, list[HyperIQA]] = {}
        for teacher in teachers:
            by_trunk.setdefault(trunk_sha256(teacher), []).append(teacher)
        self.trunks = list(by_trunk.values())

    @staticmethod
    def _told(heads: Sequence[HyperIQA], inputs: Tensor) -> list[Tensor]:
        pooled = heads[0].pool(inputs)
        return [head.judge(pooled).float() for head in heads]

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Crops at serving size."""
        crops = []
        for index in rng.choice(len(self.files), self.count):
            longest = self.side if rng.random() > SMALL_SHARE else int(self.side * np.exp(rng.uniform(np.log(LEAST), 0)))
            pixels = fit_longest(read_rgb(self.files[int(index)]), longest)
            if rng.random() < DEFECT_SHARE:
                pixels = coded(spoilt(pixels, (0.1, 1.0), rng, list(DISTORTIONS)), int(rng.integers(70, 97)))
            crops.append(random_crop(pixels, self.crop, rng, self.side))
        return Drawn(torch.from_numpy(np.concatenate(crops)))

    def loss(self, model: HyperIQA, pooled: Sequence[Tensor], drawn: Drawn) -> Tensor:
        """Distance to the teachers' mean, and order."""
        with torch.no_grad():
            told = torch.stack([scores for trunk in self.trunks for scores in self._told(trunk, drawn.inputs)]).mean(dim=0)
        return opinion_loss(model.judge(pooled), told)


class KindPictures:
    """Pictures of every kind, whole or ruined: what kind it is, and whether anybody would want it."""

    def __init__(self, files: Mapping[Kind, Sequence[Path]], count: int, crop: int, side: int, weight: float) -> None:
        self.files, self.weight = files, weight
        self.count, self.crop, self.side = count, crop, side

    def draw(self, rng: np.random.Generator) -> Drawn:
        """As many of each kind, on average."""
        names = list(self.files)
        crops, kinds, ruined = [], [], []
        for index in rng.choice(len(names), self.count):
            name = names[int(index)]
            files = self.files[name]
            pixels = fit_longest(read_rgb(files[int(rng.integers(len(files)))]), self.side)
            ruin = bool(rng.random() < DEFECT_SHARE)
            crops.append(random_crop(as_uploaded(pixels, name, ruin, rng), self.crop, rng, self.side))
            kinds.append(KINDS.index(name))
            ruined.append(float(ruin))
        targets = {"kinds": torch.tensor(kinds), "ruined": torch.tensor(ruined)}
        return Drawn(torch.from_numpy(np.concatenate(crops)), targets)

    def loss(self, model: HyperIQA, pooled: Sequence[Tensor], drawn: Drawn) -> Tensor:
        """Cross entropies of both answers."""
        return kinds_loss(*model.tell(pooled), drawn.targets["kinds"], drawn.targets["ruined"])
