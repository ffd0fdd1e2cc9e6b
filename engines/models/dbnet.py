"""DBNet on ResNet-18 as MMOCR 1.0.1 builds it (``dbnet_resnet18_fpnc_1200e_icdar2015``), under MMOCR's parameter names.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", AAAI 2020; FPN of Lin et al., CVPR 2017. Only
inference: the threshold branch is there because checkpoints carry it, and is never run.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["DBNet"]

CHANNELS = (64, 128, 256, 512)
LATERAL, SMOOTH = 256, 64


class _BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + identity)


class _ResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = (64, *CHANNELS)
        for stage in range(1, 5):
            first = _BasicBlock(widths[stage - 1], widths[stage], 1 if stage == 1 else 2)
            self.add_module(f"layer{stage}", nn.Sequential(first, _BasicBlock(widths[stage], widths[stage], 1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        return maps


def _bare_convolution(inputs: int, outputs: int, side: int) -> nn.Module:
    """A convolution one level down, as MMOCR's wrapper names it: ``conv.weight``."""
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(inputs, outputs, side, 1, side // 2, bias=False)))


class _Neck(nn.Module):
    """Feature pyramid, all levels concatenated at the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(_bare_convolution(channels, LATERAL, 1) for channels in CHANNELS)
        self.smooth_convs = nn.ModuleList(_bare_convolution(LATERAL, SMOOTH, 3) for _ in CHANNELS)

    def forward(self, maps: list[Tensor]) -> Tensor:
        levels = [lateral(stage) for lateral, stage in zip(self.lateral_convs, maps, strict=True)]
        # Whole factors instead of sizes: sides are multiples of 32, and the graph needs no arithmetic on shapes.
        for level in (3, 2, 1):
            levels[level - 1] = levels[level - 1] + F.interpolate(levels[level], scale_factor=2.0, mode="nearest")
        smooth = [convolution(level) for convolution, level in zip(self.smooth_convs, levels, strict=True)]
        for level in (1, 2, 3):
            smooth[level] = F.interpolate(smooth[level], scale_factor=float(2**level), mode="nearest")
        return torch.cat(smooth, dim=1)


def _branch(*, bias: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(4 * SMOOTH, SMOOTH, 3, padding=1, bias=bias),
        nn.BatchNorm2d(SMOOTH),
        nn.ReLU(),
        nn.ConvTranspose2d(SMOOTH, SMOOTH, 2, 2),
        nn.BatchNorm2d(SMOOTH),
        nn.ReLU(),
        nn.ConvTranspose2d(SMOOTH, 1, 2, 2),
    )


class _Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.binarize = _branch(bias=False)
        self.threshold = _branch(bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.binarize(x))


class DBNet(nn.Module):
    """Normalised RGB, N x 3 x H x W (multiples of 32), to the probability of text, N x 1 x H x W."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _ResNet18()
        self.neck = _Neck()
        self.det_head = _Head()

    def forward(self, x: Tensor) -> Tensor:
        """The probability map."""
        return self.det_head(self.neck(self.backbone(x)))
