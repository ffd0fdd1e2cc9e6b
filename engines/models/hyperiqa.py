"""hyperIQA on ResNet-18, as a torch module.

Su, Yan, Zhu, Zhang, Ge, Sun, Zhang: "Blindly Assess Image Quality in the Wild Guided by a Self-Adaptive Hyper Network",
CVPR 2020. The idea kept from the paper: what a picture shows decides how its quality is judged. A trunk describes the content;
a hyper-network turns that description into the weights of a small target network; the target network maps multi-scale
distortion features to the score.

Where the head departs from the paper, and why:

- **Any picture size.** The paper pools a 7 x 7 grid out of a 224 x 224 crop and reshapes it into weights. Whole pictures of
  any size are judged here (crops cost accuracy, see the model card), so content and distortion features are pooled over the
  whole map, by mean and standard deviation, and linear layers generate the weights. Only plain operators are left, and the
  export has dynamic batch, height and width.
- **Weights are a base plus an offset.** The paper generates weights outright from 10,000 photos. With under a thousand, a
  learnt base plus a generated offset that starts at zero trains stably: the network begins as an ordinary head.
- **Bounded output.** A sigmoid keeps scores within 0-100; the paper's output is unbounded.
- **ResNet-18, batch norm folded.** The published article's choice of trunk. Parameter names are torchvision's; batch norm is
  folded into convolutions with biases, since the starting weights come so and fine-tuning keeps its statistics frozen anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["HyperIQA", "ResNet18Trunk", "fold_batch_norm"]

CHANNELS = (64, 128, 256, 512)
TARGET_WIDTHS = (224, 112, 56, 28, 14, 1)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., 2016), batch norm folded."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        shortcut = stride != 1 or inputs != outputs
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride)) if shortcut else None

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W in, N x outputs x H/stride x W/stride out."""
        identity = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv2(F.relu(self.conv1(x))) + identity)


class ResNet18Trunk(nn.Module):
    """ResNet-18 without its classifier; returns the maps of all four stages (strides 4, 8, 16, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = (64, *CHANNELS)
        for stage in range(1, 5):
            inputs, outputs = widths[stage - 1], widths[stage]
            blocks = nn.Sequential(BasicBlock(inputs, outputs, 1 if stage == 1 else 2), BasicBlock(outputs, outputs, 1))
            self.add_module(f"layer{stage}", blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Four maps of 64, 128, 256 and 512 channels for normalised RGB, N x 3 x H x W."""
        x = self.maxpool(F.relu(self.conv1(x)))
        maps = []
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        return maps


def mean_and_deviation(x: Tensor) -> Tensor:
    """N x 2C: mean and standard deviation of every channel over height and width."""
    mean = x.mean(dim=(2, 3))
    centred = x - mean[:, :, None, None]
    return torch.cat([mean, torch.sqrt((centred * centred).mean(dim=(2, 3)) + 1e-6)], dim=1)


class LocalDistortion(nn.Module):
    """The paper's local distortion aware module, pooled over the whole map: N x C x H x W to N x outputs."""

    def __init__(self, channels: int, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * (channels + width))
        self.conv = nn.Conv2d(channels, width, 1)
        self.fc = nn.Linear(2 * (channels + width), outputs)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([mean_and_deviation(x), mean_and_deviation(F.relu(self.conv(x)))], dim=1)
        return self.fc(self.norm(pooled))


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


class HyperIQA(nn.Module):
    """Normalised RGB, N x 3 x H x W (both sides at least 32), to opinion scores, N, 0-100, higher is better."""

    def __init__(self, content: int = 48, dropout: float = 0.2) -> None:
        super().__init__()
        self.backbone = ResNet18Trunk()
        features = TARGET_WIDTHS[0] // len(CHANNELS)
        self.local = nn.ModuleList(LocalDistortion(channels, features) for channels in CHANNELS)
        self.content = nn.Sequential(
            nn.LayerNorm(2 * CHANNELS[-1]), nn.Linear(2 * CHANNELS[-1], content), nn.ReLU(), nn.Dropout(dropout)
        )
        self.dropout = nn.Dropout(dropout)
        pairs = pairwise(TARGET_WIDTHS)
        self.target = nn.ModuleList(GeneratedLinear(inputs, outputs, content) for inputs, outputs in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Opinion scores, N, for N pictures of one size."""
        maps = self.backbone(x)
        content = self.content(mean_and_deviation(maps[-1]))
        features = [module(stage) for module, stage in zip(self.local, maps, strict=True)]
        y = self.dropout(torch.cat(features, dim=1))[:, :, None]
        for index, layer in enumerate(self.target):
            y = layer(y, content)
            if index + 1 < len(self.target):
                # The paper's sigmoid saturates with a base of unit gain; the leaky form keeps gradients alive.
                y = F.leaky_relu(y, 0.1)
        return 100.0 * torch.sigmoid(y[:, 0, 0])


def fold_batch_norm(state: Mapping[str, Tensor], eps: float = 1e-5) -> dict[str, Tensor]:
    """A torchvision ResNet-18 state dict with every batch norm folded into the convolution before it.

    Entries of the classifier (``fc``) are dropped; convolutions that are missing from ``state`` stay missing.
    """
    pairs = {"conv1": "bn1", "conv2": "bn2", "downsample.0": "downsample.1"}
    folded: dict[str, Tensor] = {}
    for key, weight in state.items():
        if not key.endswith(".weight") or weight.dim() != 4:
            continue
        name = key.removesuffix(".weight")
        conv = next(suffix for suffix in pairs if name.endswith(suffix))
        norm = name.removesuffix(conv) + pairs[conv]
        gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + eps)
        folded[key] = weight * gain[:, None, None, None]
        folded[f"{name}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    return folded
