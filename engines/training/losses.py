"""What training minimises: distance to opinions, order of opinions, order of severities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ladder_loss", "opinion_loss", "order_loss"]


def order_loss(scores: Tensor, opinions: Tensor) -> Tensor:
    """1 - PLCC of N scores and N opinions: blind to the scale, for data sets whose opinions are on another one."""
    x, y = scores - scores.mean(), opinions - opinions.mean()
    return 1 - (x * y).sum() / (x.norm() * y.norm() + 1e-6)


def opinion_loss(scores: Tensor, opinions: Tensor) -> Tensor:
    """Smooth L1 (beta 5 points) plus 0.1 (1 - PLCC) for N scores and N opinions, 0-100."""
    return F.smooth_l1_loss(scores / 100, opinions / 100, beta=0.05) + 0.1 * order_loss(scores, opinions)


def ladder_loss(scores: Tensor, severities: Sequence[float]) -> Tensor:
    """Hinge over all pairs with a margin of 0.2 x gap in severity + 0.02 (of 1), and loose anchors.

    After RankIQA (Liu, van de Weijer, Bagdanov, ICCV 2017). Clean photos are pulled into 60-90, every other step under
    ``90 - 65 x severity``, whatever the clean photo scores: a ruined photo of a beautiful flower is as useless as any other.
    """
    s = scores / 100
    loss = s.new_zeros(())
    pairs = 0
    for i in range(len(severities)):
        for j in range(i + 1, len(severities)):
            margin = 0.2 * (severities[j] - severities[i]) + 0.02
            loss = loss + F.relu(s[j] - s[i] + margin)
            pairs += 1
    ceilings = torch.tensor([0.9 - 0.65 * severity for severity in severities], device=s.device)
    return loss / pairs + 0.5 * (F.relu(0.6 - s[0]) + F.relu(s - ceilings).sum())
