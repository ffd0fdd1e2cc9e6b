"""ResNet-18 and ResNet-50 trunks with batch norm folded, under torchvision's parameter names.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016; ResNet-50 with its stride in the 3 x 3
convolution, as torchvision has it. Batch norm is folded into convolutions with biases: the starting weights come so, and
fine-tuning on a few photos keeps its statistics frozen anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.models.stage import Stage

__all__ = ["ResNet", "ResNetTrunk", "fold_batch_norm"]

ResNet = Literal["resnet18", "resnet50"]
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
CONVOLUTIONS = ("conv1.weight", "conv2.weight", "conv3.weight", "downsample.0.weight")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        shortcut = stride != 1 or inputs != width
        self.downsample = nn.Sequential(nn.Conv2d(inputs, width, 1, stride)) if shortcut else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N x C x H x W in; N x width x H/stride x W/stride out, and what stood between the convolutions."""
        identity = x if self.downsample is None else self.downsample(x)
        inside = F.relu(self.conv1(x))
        return F.relu(self.conv2(inside) + identity), inside


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1)
        self.conv3 = nn.Conv2d(width, outputs, 1)
        shortcut = stride != 1 or inputs != outputs
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride)) if shortcut else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """N x C x H x W in; N x 4 width x H/stride x W/stride out, and what stood before the last convolution."""
        identity = x if self.downsample is None else self.downsample(x)
        inside = F.relu(self.conv2(F.relu(self.conv1(x))))
        return F.relu(self.conv3(inside) + identity), inside


class ResNetTrunk(nn.Module):
    """A ResNet without its classifier; returns all four stages (strides 4, 8, 16, 32).

    ``channels`` are those of the stages' last maps, ``widths`` of what ``Stage.pool`` makes of them.
    """

    def __init__(self, backbone: ResNet = "resnet18") -> None:
        super().__init__()
        block, expansion = (BasicBlock, 1) if backbone == "resnet18" else (Bottleneck, EXPANSION)
        self.channels = tuple(expansion * width for width in WIDTHS)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs, widths = 64, []
        for stage, (width, count) in enumerate(zip(WIDTHS, BLOCKS[backbone], strict=True), start=1):
            strides = [1 if stage == 1 else 2] + [1] * (count - 1)
            blocks = []
            for stride in strides:
                blocks.append(block(inputs, width, stride))
                inputs = expansion * width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            widths.append(count * (3 * inputs + width))
        self.widths = tuple(widths)

    def below(self, x: Tensor) -> Tensor:
        """What the last stage goes on from, for normalised RGB, N x 3 x H x W: the third one's last map."""
        return self._stages(x, 3)[-1].outputs[-1]

    def forward(self, x: Tensor) -> list[Stage]:
        """Four stages for normalised RGB, N x 3 x H x W."""
        return self._stages(x, 4)

    def _stages(self, x: Tensor, count: int) -> list[Stage]:
        x = self.maxpool(F.relu(self.conv1(x)))
        stages = []
        for stage in range(1, count + 1):
            outputs, inside = [], []
            for block in self.get_submodule(f"layer{stage}").children():
                x, between = block(x)
                outputs.append(x)
                inside.append(between)
            stages.append(Stage(outputs, inside))
        return stages


def fold_batch_norm(state: Mapping[str, Tensor], eps: float = 1e-5) -> dict[str, Tensor]:
    """A torchvision ResNet state dict with every batch norm folded into the convolution before it.

    Entries of the classifier (``fc``) are dropped; convolutions that are missing from ``state`` stay missing, but for the bias
    that their norm gives them.

    Raises:
        KeyError: ``state`` is of another network.

    """
    convolutions = {"bn1": "conv1", "bn2": "conv2", "bn3": "conv3", "downsample.1": "downsample.0"}
    folded: dict[str, Tensor] = {}
    for key, weight in state.items():
        if key.endswith(".weight") and weight.dim() == 4 and not key.endswith(CONVOLUTIONS):
            raise KeyError(f"{key} is no convolution of a ResNet")
    for key, variance in state.items():
        if not key.endswith(".running_var"):
            continue
        norm = key.removesuffix(".running_var")
        suffix = next(suffix for suffix in convolutions if norm.endswith(suffix))
        name = norm.removesuffix(suffix) + convolutions[suffix]
        gain = state[f"{norm}.weight"] / torch.sqrt(variance + eps)
        if f"{name}.weight" in state:
            folded[f"{name}.weight"] = state[f"{name}.weight"] * gain[:, None, None, None]
        folded[f"{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    return folded
