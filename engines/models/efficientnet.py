"""EfficientNet-Lite0 and -Lite2 with batch norm folded, and the published weights read into them.

Tan, Le: "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants (2020) drop
squeeze-and-excitation and clip activations at 6, for processors without much else than convolutions. Depthwise convolutions
make it several times cheaper than a ResNet-18, and it knows ImageNet better.

The published networks want pixels as ``(value - 127) / 128``. The trunk is given ImageNet's mean and deviation like every
other, and the difference is folded into the first convolution: equal but for one pixel of padding at two edges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.models.stage import Stage
from engines.preprocess import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["EfficientNet", "EfficientNetClassifier", "EfficientNetTrunk", "fold_efficientnet", "published_kind"]

EfficientNet = Literal["efficientnet-lite0", "efficientnet-lite2"]
STEM, HEAD = 32, 1280
CLASSES = 1000
EPSILON = 1e-3  # of the published batch norms


@dataclass(frozen=True)
class StageShape:
    """Repeats, kernel, stride of the first repeat, expansion and channels of a stage."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


LITE0 = (
    StageShape(1, 3, 1, 1, 16),
    StageShape(2, 3, 2, 6, 24),
    StageShape(2, 5, 2, 6, 40),
    StageShape(3, 3, 2, 6, 80),
    StageShape(3, 5, 1, 6, 112),
    StageShape(4, 5, 2, 6, 192),
    StageShape(1, 3, 1, 6, 320),
)
# Widths times 1.1 in eights, depths times 1.2; as in every Lite the first and the last stage keep their one block.
LITE2 = (
    StageShape(1, 3, 1, 1, 16),
    StageShape(3, 3, 2, 6, 24),
    StageShape(3, 5, 2, 6, 48),
    StageShape(4, 3, 2, 6, 88),
    StageShape(4, 5, 1, 6, 120),
    StageShape(5, 5, 2, 6, 208),
    StageShape(1, 3, 1, 6, 352),
)
SHAPES: dict[str, tuple[StageShape, ...]] = {"efficientnet-lite0": LITE0, "efficientnet-lite2": LITE2}
# Stages that share a resolution train, and freeze, together.
GROUPS = {"layer1": (0, 1), "layer2": (2,), "layer3": (3, 4), "layer4": (5, 6)}


class SameConv(nn.Module):
    """A convolution padded as TensorFlow pads even sizes: with a stride, more at the right and bottom.

    TensorFlow pads odd sizes evenly, which would make padding depend on the size; here they lose their last row or column.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        total = kernel - stride
        self.uneven = [total // 2, total - total // 2] * 2 if total % 2 else None
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, 0 if total % 2 else total // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """N x inputs x H x W in, N x outputs x H // stride x W // stride out."""
        return self.conv(F.pad(x, self.uneven) if self.uneven else x)


class InvertedResidual(nn.Module):
    """Expand by 1 x 1, convolve every channel alone, project by 1 x 1; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = SameConv(inputs, hidden, 1) if expansion != 1 else None
        self.depthwise = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SameConv(hidden, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N x inputs x H x W in; N x outputs x H/stride x W/stride out, and what stood before the projection."""
        inside = F.relu6(self.depthwise(x if self.expand is None else F.relu6(self.expand(x))))
        y = self.project(inside)
        return (x + y if self.shortcut else y), inside


class EfficientNetTrunk(nn.Module):
    """An EfficientNet-Lite without its classifier; stages of strides 4, 8, 16 and 32, the last one with the head's 1 x 1.

    ``channels`` are those of the stages' last maps, ``widths`` of what ``Stage.pool`` makes of them. Parts are named as a
    ResNet's (conv1, layer1 to layer4), so that recipes can be shared.
    """

    def __init__(self, kind: EfficientNet = "efficientnet-lite0") -> None:
        super().__init__()
        self.conv1 = SameConv(3, STEM, 3, 2)
        inputs, outputs, widths = STEM, STEM, []
        for name, stages in GROUPS.items():
            blocks: list[nn.Module] = []
            inside = 0
            for stage in stages:
                shape = SHAPES[kind][stage]
                for repeat in range(shape.repeats):
                    stride = 1 if repeat else shape.stride
                    blocks.append(InvertedResidual(inputs, shape.width, shape.kernel, stride, shape.expansion))
                    inside += inputs * shape.expansion
                    inputs = shape.width
                    outputs += inputs
            self.add_module(name, nn.Sequential(*blocks))
            widths.append([inputs, 3 * outputs + inside])
            outputs = 0
        self.head = SameConv(inputs, HEAD, 1)
        widths[-1] = [HEAD, widths[-1][1] + 3 * HEAD]
        self.channels, self.widths = (tuple(column) for column in zip(*widths, strict=True))

    def forward(self, x: Tensor) -> list[Stage]:
        """Four stages for normalised RGB, N x 3 x H x W."""
        x = F.relu6(self.conv1(x))
        stages, outputs = [], [x]
        for name in GROUPS:
            inside = []
            for block in self.get_submodule(name).children():
                x, widest = block(x)
                outputs.append(x)
                inside.append(widest)
            stages.append(Stage(outputs, inside))
            outputs = []
        stages[-1].outputs.append(F.relu6(self.head(x)))
        return stages


class EfficientNetClassifier(nn.Module):
    """An EfficientNet-Lite as published: 1,000 classes of ImageNet-1k."""

    def __init__(self, kind: EfficientNet = "efficientnet-lite0") -> None:
        super().__init__()
        self.trunk = EfficientNetTrunk(kind)
        self.fc = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Stage]]:
        """Logits, N x 1000, and the trunk's stages, for normalised RGB, N x 3 x H x W."""
        stages = self.trunk(x)
        return self.fc(stages[-1].outputs[-1].mean(dim=(2, 3))), stages

    @classmethod
    def published(cls, state: Mapping[str, Tensor]) -> EfficientNetClassifier:
        """The network of a published state dict.

        Raises:
            KeyError: an entry is missing, so ``state`` is of another network.

        """
        model = cls(published_kind(state))
        model.trunk.load_state_dict(fold_efficientnet(state))
        model.fc.load_state_dict({name: state[f"_fc.{name}"] for name in ("weight", "bias")})
        return model.eval()


def published_kind(state: Mapping[str, Tensor]) -> EfficientNet:
    """Which network a published state dict is of: that with as many blocks; Lite0 if none has."""
    blocks = len({key.split(".")[1] for key in state if key.startswith("_blocks.")})
    return "efficientnet-lite2" if blocks == sum(shape.repeats for shape in LITE2) else "efficientnet-lite0"


def fold_efficientnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict (``_conv_stem.weight``, ``_blocks.0._bn0.weight``, ...) under the trunk's names, norms folded.

    Raises:
        KeyError: an entry is missing, so ``state`` is of another network.

    """
    folded: dict[str, Tensor] = {}

    def fold(name: str, convolution: str, norm: str) -> None:
        gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + EPSILON)
        folded[f"{name}.conv.weight"] = state[f"{convolution}.weight"] * gain[:, None, None, None]
        folded[f"{name}.conv.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain

    fold("conv1", "_conv_stem", "_bn0")
    blocks = [
        (f"{group}.{index}", block)
        for group, part in EfficientNetTrunk(published_kind(state)).named_children()
        if isinstance(part, nn.Sequential)
        for index, block in enumerate(part)
    ]
    for number, (name, block) in enumerate(blocks):
        published = f"_blocks.{number}"
        if block.expand is not None:
            fold(f"{name}.expand", f"{published}._expand_conv", f"{published}._bn0")
        fold(f"{name}.depthwise", f"{published}._depthwise_conv", f"{published}._bn1")
        fold(f"{name}.project", f"{published}._project_conv", f"{published}._bn2")
    fold("head", "_conv_head", "_bn1")
    # (255 v - 127) / 128 of v = std x + mean: one more linear step before the first convolution.
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    weight = folded["conv1.conv.weight"]
    folded["conv1.conv.bias"] = folded["conv1.conv.bias"] + (weight * (255 * mean - 127) / 128).sum(dim=(1, 2, 3))
    folded["conv1.conv.weight"] = weight * std * (255 / 128)
    return folded
