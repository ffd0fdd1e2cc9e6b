"""hyperIQA on ResNet-18, ResNet-50 or an EfficientNet-Lite, as a torch module.

Su, Yan, Zhu, Zhang, Ge, Sun, Zhang: "Blindly Assess Image Quality in the Wild Guided by a Self-Adaptive Hyper Network",
CVPR 2020. The idea kept from the paper: what a picture shows decides how its quality is judged. A trunk describes the content;
a hyper-network turns that description into the weights of a small target network; the target network maps multi-scale
distortion features to the score.

Where the head departs from the paper, and why:

- **Any picture size.** The paper pools a 7 x 7 grid out of a 224 x 224 crop and reshapes it into weights. Whole pictures of
  any size are judged here (crops cost accuracy, see the model card), so content and distortion features are pooled over whole
  maps, and linear layers generate the weights. Only plain operators are left, and the export has dynamic batch, height and
  width.
- **Every block is heard.** The paper looks at the last map of each stage. What a trunk knows of blur, noise and lighting fades
  on the way to naming things, so here the maps of all blocks count, and those inside them (``Stage``): thousands of numbers,
  told in deviations from ordinary pictures, of which a step of training sees two thirds (dropout).
- **Weights are a base plus an offset.** The paper generates weights outright from 10,000 photos. With under a thousand, a
  learnt base plus a generated offset that starts at zero trains stably: the network begins as an ordinary head.
- **Tones are counted.** A trunk that learnt to recognise things is blind to exposure: that is what made it good. Histograms
  of the input's channels and of its opponent colours (red against green, blue against yellow) join the distortion features,
  and so do the shares that are clipped: darkness, lost highlights and colour casts are seen as such. A dark photo that was
  exposed for too long has the histogram of a good one; what it lost in its lamps and windows gives it away.
- **Bounded output.** A sigmoid keeps scores within 0-100; the paper's output is unbounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.models.efficientnet import EfficientNet, EfficientNetTrunk
from engines.models.resnet import ResNet, ResNetTrunk
from engines.preprocess import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["Backbone", "HyperIQA"]

Backbone = ResNet | EfficientNet

STAGE_FEATURES = 56
TONE_FEATURES = 32
KIND_FEATURES = 64
KIND_DROPOUT = 0.6
TEXT_FEATURES = 32
TEXT_DROPOUT = 0.5
FAR = 10.0
LEAST_SPREAD = 1e-3
TARGET_WIDTHS = (4 * STAGE_FEATURES + TONE_FEATURES, 112, 56, 28, 14, 1)
BINS = 10
TONES = 5
CLIPPED = 6
CLIPPING = 0.02
"""How far from white or black a tone counts as clipped, of 1; to twice as far it counts in part (JPEG moves it a little)."""


def make_trunk(backbone: Backbone) -> ResNetTrunk | EfficientNetTrunk:
    """A trunk with weights drawn at random."""
    if backbone == "resnet18" or backbone == "resnet50":  # noqa: PLR1714 types are narrowed so
        return ResNetTrunk(backbone)
    return EfficientNetTrunk(backbone)


class LocalDistortion(nn.Module):
    """The paper's local distortion aware module: what ``Stage.pool`` saw, N x width, to N x outputs.

    Every number is told in deviations from its mean over ordinary pictures (``HyperIQA.standardise``): left as they are, a few
    loud channels would drown thousands of quiet ones.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, outputs)

    def standardised(self, pooled: Tensor) -> Tensor:
        """N x width, in deviations; what no ordinary picture comes near counts as ``FAR``."""
        return ((pooled - self.centre) / self.spread).clamp(-FAR, FAR)

    def forward(self, standardised: Tensor) -> Tensor:
        return self.fc(self.dropout(standardised))


class ToneHistogram(nn.Module):
    """How bright, how coloured and how clipped: ``pool`` counts tones of normalised RGB, N x 3 x H x W; then N x outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(TONES * BINS + CLIPPED, outputs)
        # As loud as the trunk's features from the start: at torch's own scale they are drowned, and darkness is learnt last.
        nn.init.normal_(self.fc.weight, std=0.7)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def shares(self, rgb: Tensor) -> Tensor:
        """N x TONES BINS: share of each tone of RGB (N x 3 x H x W, 0-1), neighbouring bins sharing what lies between them.

        Red, green and blue from black to white; red minus green and blue minus yellow from -1/4 to 1/4, beyond which a colour
        is strong however strong it is.
        """
        red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
        tones = torch.cat([rgb, 2 * (red - green) + 0.5, 2 * (blue - 0.5 * (red + green)) + 0.5], dim=1)
        # The share above each bin; clamping and averaging is all it takes, and exports as plain operators.
        tones = (BINS - 1) * tones
        above = [tones.clamp(k, k + 1).mean(dim=(2, 3)) - k for k in range(BINS - 1)]
        cumulative = torch.stack([torch.ones_like(above[0]), *above, torch.zeros_like(above[0])], dim=2)
        return (cumulative[:, :, :-1] - cumulative[:, :, 1:]).flatten(1)

    def clipped(self, rgb: Tensor) -> Tensor:
        """N x CLIPPED: shares where red, green, blue, all of them and any of them are white, and where all are black."""
        least, most = rgb.amin(dim=1, keepdim=True), rgb.amax(dim=1, keepdim=True)
        beyond = torch.cat([rgb, least, most, 1 - most], dim=1) - (1 - 2 * CLIPPING)
        return (beyond / CLIPPING).clamp(0, 1).mean(dim=(2, 3))

    def pool(self, x: Tensor) -> Tensor:
        """N x (TONES BINS + CLIPPED): roots of the shares."""
        rgb = F.avg_pool2d(x.float(), 2) * self.std + self.mean
        # Roots spread out small shares (Hellinger), which is where a clipped sky differs from a lamp.
        return torch.sqrt(torch.cat([self.shares(rgb), self.clipped(rgb)], dim=1).clamp(min=0) + 1e-4)

    def forward(self, pooled: Tensor) -> Tensor:
        return F.relu(self.fc(pooled))


class GeneratedLinear(nn.Module):
    """A linear layer of the target network: learnt base plus an offset generated per picture."""

    def __init__(self, inputs: int, outputs: int, content: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.base = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.weight = nn.Linear(content, outputs * inputs)
        self.bias = nn.Linear(content, outputs)
        for layer in (self.weight, self.bias):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, content: Tensor) -> Tensor:
        """N x inputs x 1 in, N x outputs x 1 out: a batched matrix product, which exports with a dynamic batch."""
        offset = self.weight(content).reshape(-1, self.outputs, self.inputs)
        return torch.matmul(self.base + offset, x) + self.bias(content)[:, :, None]


class KindTeller(nn.Module):
    """What the last stage's ``LocalDistortion`` standardised, N x width, to logits of kinds and of ruin, N x (kinds + 1).

    A hidden layer, since kinds are no single directions: a drawing is flat or shaded, has letters or none. It is shown two
    fifths of the numbers in a step, so that it leans on many.
    """

    def __init__(self, width: int, kinds: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(KIND_DROPOUT)
        self.hidden = nn.Linear(width, KIND_FEATURES)
        self.hidden_dropout = nn.Dropout(0.3)
        self.said = nn.Linear(KIND_FEATURES, kinds + 1)

    def forward(self, standardised: Tensor) -> Tensor:
        return torch.as_tensor(self.said(self.hidden_dropout(F.relu(self.hidden(self.dropout(standardised))))))


class TextTeller(nn.Module):
    """What the last stage's ``LocalDistortion`` standardised, N x width, to the logit of text in the picture, N.

    Only a proof that there is none is wanted of it: what it is not sure of is left to a text detector.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(TEXT_DROPOUT)
        self.hidden = nn.Linear(width, TEXT_FEATURES)
        self.said = nn.Linear(TEXT_FEATURES, 1)

    def forward(self, standardised: Tensor) -> Tensor:
        return torch.as_tensor(self.said(F.relu(self.hidden(self.dropout(standardised))))[:, 0])


class HyperIQA(nn.Module):
    """Normalised RGB, N x 3 x H x W (both sides at least 32), to opinion scores, N, 0-100, higher is better.

    With ``kinds`` a second output says what kind of picture it is, and whether it is ruined: it reads what the head hears of
    the last stage, so it costs nothing beside the trunk. Outputs are then N x (kinds + 2): score, probabilities of kinds,
    probability of ruin. With ``text`` as well, one more is the probability that a text detector would find text.

    ``feature_dropout`` is the share of the trunk's numbers that the head is not shown in a step of training, ``dropout`` that
    of its own.
    """

    def __init__(
        self,
        backbone: Backbone = "resnet18",
        content: int = 48,
        feature_dropout: float = 0.3,
        dropout: float = 0.2,
        kinds: int = 0,
        *,
        text: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = make_trunk(backbone)
        self.local = nn.ModuleList(LocalDistortion(width, STAGE_FEATURES, feature_dropout) for width in self.backbone.widths)
        self.tones = ToneHistogram(TONE_FEATURES)
        self.content = nn.Sequential(
            nn.Dropout(feature_dropout), nn.Linear(2 * self.backbone.channels[-1], content), nn.ReLU(), nn.Dropout(dropout)
        )
        self.dropout = nn.Dropout(dropout)
        pairs = pairwise(TARGET_WIDTHS)
        self.target = nn.ModuleList(GeneratedLinear(inputs, outputs, content) for inputs, outputs in pairs)

        self.kinds = KindTeller(self.backbone.widths[-1], kinds) if kinds else None
        self.text = TextTeller(self.backbone.widths[-1]) if text else None

    def pool(self, x: Tensor) -> list[Tensor]:
        """All that the head sees of N pictures of one size: N x width for each stage of the trunk, and for tones."""
        return [*(stage.pool() for stage in self.backbone(x)), self.tones.pool(x)]

    @property
    def widths(self) -> list[int]:
        """Widths of what ``pool`` returns."""
        return [*self.backbone.widths, self.tones.fc.in_features]

    @torch.no_grad()
    def standardise(self, pooled: Sequence[Tensor]) -> None:
        """Learn from what ``pool`` saw of ordinary pictures how far its numbers spread; before training, once."""
        for module, stage in zip(self.local, pooled[:-1], strict=True):
            # Half precision is what an exported engine keeps of them.
            module.centre.copy_(stage.mean(dim=0).half())
            module.spread.copy_(stage.std(dim=0).clamp(min=LEAST_SPREAD).half())

    def describe(self, pooled: Sequence[Tensor]) -> Tensor:
        """What is in N pictures, N x content, by what ``pool`` saw of the last map."""
        return self._content(self.local[-1].standardised(pooled[-2]))

    def _content(self, standardised: Tensor) -> Tensor:
        # The last map's mean and deviation, which come first, say what is in the picture.
        return torch.as_tensor(self.content(standardised[:, : 2 * self.backbone.channels[-1]]))

    def judge(self, pooled: Sequence[Tensor], content: Tensor | None = None) -> Tensor:
        """Opinion scores, N, of what ``pool`` saw; pictures of any sizes may stand side by side here.

        ``content`` takes the place of what ``describe`` says, to measure what that is worth.
        """
        *stages, tones = pooled
        seen = [module.standardised(stage) for module, stage in zip(self.local, stages, strict=True)]
        content = self._content(seen[-1]) if content is None else content
        features = [module(stage) for module, stage in zip(self.local, seen, strict=True)]
        y = self.dropout(torch.cat([*features, self.tones(tones)], dim=1))[:, :, None]
        for index, layer in enumerate(self.target):
            y = layer(y, content)
            if index + 1 < len(self.target):
                # The paper's sigmoid saturates with a base of unit gain; the leaky form keeps gradients alive.
                y = F.leaky_relu(y, 0.1)
        return 100.0 * torch.sigmoid(y[:, 0, 0])

    def tell(self, pooled: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of the kinds, N x kinds, and of ruin, N, of what ``pool`` saw; for networks that have ``kinds``."""
        if self.kinds is None:
            raise ValueError("this network tells no kinds")
        # What is in a picture is known last; with the stages below, drawings of a few designs are learnt by heart.
        said = self.kinds(self.local[-1].standardised(pooled[-2]))
        return said[:, :-1], said[:, -1]

    def find_text(self, pooled: Sequence[Tensor]) -> Tensor:
        """The logit of text, N, of what ``pool`` saw; for networks that have ``text``."""
        if self.text is None:
            raise ValueError("this network finds no text")
        return torch.as_tensor(self.text(self.local[-1].standardised(pooled[-2])))

    def forward(self, x: Tensor) -> Tensor:
        """Opinion scores, N, for N pictures of one size; with ``kinds`` N x (kinds + 2), with ``text`` one column more."""
        pooled = self.pool(x)
        scores = self.judge(pooled)
        if self.kinds is None:
            return scores
        kinds, ruin = self.tell(pooled)
        said = [scores[:, None], torch.softmax(kinds, dim=1), torch.sigmoid(ruin)[:, None]]
        if self.text is not None:
            said.append(torch.sigmoid(self.find_text(pooled))[:, None])
        return torch.cat(said, dim=1)
