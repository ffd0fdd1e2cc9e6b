"""What training minimises: distance to opinions, order of opinions, order of severities, wrong kinds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["kinds_loss", "ladder_loss", "ladders_loss", "opinion_loss", "order_loss"]

SMOOTHING = 0.02
"""Of labels of kinds: what is told one from another by a few designs should not be told for sure."""


def order_loss(scores: Tensor, opinions: Tensor) -> Tensor:
    """1 - PLCC of N scores and N opinions: blind to the scale, for data sets whose opinions are on another one."""
    x, y = scores - scores.mean(), opinions - opinions.mean()
    return 1 - (x * y).sum() / (x.norm() * y.norm() + 1e-6)


def opinion_loss(scores: Tensor, opinions: Tensor) -> Tensor:
    """Smooth L1 (beta 5 points) plus 0.1 (1 - PLCC) for N scores and N opinions, 0-100."""
    return F.smooth_l1_loss(scores / 100, opinions / 100, beta=0.05) + 0.1 * order_loss(scores, opinions)


def kinds_loss(kinds: Tensor, ruin: Tensor, truth: Tensor, ruined: Tensor) -> Tensor:
    """Cross entropies of both answers: logits of kinds (N x kinds) and ruin (N), the right kinds (N) and ruins (N, 0 or 1)."""
    entropy = F.cross_entropy(kinds, truth.to(kinds.device), label_smoothing=SMOOTHING)
    return entropy + F.binary_cross_entropy_with_logits(ruin, ruined.float().to(ruin.device))


def ladder_loss(scores: Tensor, severities: Sequence[float]) -> Tensor:
    """``ladders_loss`` of one ladder: S scores and S severities, every pair of steps alike."""
    return ladders_loss(scores[None], torch.tensor([severities], device=scores.device), apart=1.0, bounds=0.5)


def ladders_loss(scores: Tensor, severities: Tensor, apart: float, bounds: float, margin: float = 0.02) -> Tensor:
    """Hinge over all pairs of steps with a margin of 0.2 x gap in severity + ``margin`` (of 1), and loose bounds; N x S both.

    After RankIQA (Liu, van de Weijer, Bagdanov, ICCV 2017). Clean photos are pulled into 60-90, every other step under
    ``90 - 65 x severity``, whatever the clean photo scores: a ruined photo of a beautiful flower is as useless as any other.
    Pairs that are further apart than one step count ``apart`` of a close pair; ``bounds`` is the bounds' weight.
    """
    s = scores / 100
    i, j = torch.triu_indices(s.shape[1], s.shape[1], 1, device=s.device)
    weights = torch.where(j - i == 1, 1.0, apart)
    pairs = weights * F.relu(s[:, j] - s[:, i] + 0.2 * (severities[:, j] - severities[:, i]) + margin)
    ceilings = F.relu(s - (0.9 - 0.65 * severities)).sum(dim=1)
    return (pairs.sum(dim=1) / weights.sum() + bounds * (F.relu(0.6 - s[:, 0]) + ceilings)).mean()
