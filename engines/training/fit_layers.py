"""Fits small layers to rows that the trunk gave once: what ``train_kinds`` and ``train_text`` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engines.models.hyperiqa import HyperIQA

__all__ = ["FitOptions", "fit_layers"]


class FitOptions(Protocol):
    """How long and how firmly."""

    @property
    def steps(self) -> int:
        """Of the optimiser."""

    @property
    def batch(self) -> int:
        """Rows of a step."""

    @property
    def rate(self) -> float:
        """Of learning, at the start; it falls to 0 along a cosine."""

    @property
    def weight_decay(self) -> float:
        """As AdamW has it."""

    @property
    def seed(self) -> int:
        """Of what is drawn, and of dropout."""


def fit_layers(
    model: HyperIQA,
    layers: nn.Module,
    drawn: tuple[NDArray[np.int64], NDArray[np.float64]],
    loss: Callable[[NDArray[np.int64]], Tensor],
    options: FitOptions,
) -> None:
    """Minimise ``loss`` of rows, named by their numbers, over the parameters of ``layers`` of ``model`` alone.

    ``drawn``: rows that train, and how often each is drawn against the others (N both).
    """
    rng = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    learn, shares = drawn
    parameters = list(layers.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=options.weight_decay)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    model.train()
    for _ in range(options.steps):
        picks = rng.choice(learn, min(options.batch, len(learn)), p=shares / shares.sum())
        optimiser.zero_grad(set_to_none=True)
        loss(picks).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        rates.step()
    model.eval()
