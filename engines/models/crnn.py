"""CRNN as MMOCR 1.0.1 builds it (``crnn_mini-vgg_5e_mj``), under MMOCR's parameter names.

Shi, Bai, Yao: "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", TPAMI 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CRNN"]

WIDTHS = (64, 128, 256, 256, 512, 512, 512)
NORMALISED = (2, 4, 6)
HIDDEN = 256


class _MiniVgg(nn.Module):
    """Seven convolutions and four poolings: N x 1 x 32 x W to N x 512 x 1 x (W / 4 + 1)."""

    def __init__(self) -> None:
        super().__init__()
        cnn = nn.Module()
        inputs = 1
        for index, width in enumerate(WIDTHS):
            last = index == len(WIDTHS) - 1
            cnn.add_module(f"conv{index}", nn.Conv2d(inputs, width, 2 if last else 3, 1, 0 if last else 1))
            if index in NORMALISED:
                cnn.add_module(f"batchnorm{index}", nn.BatchNorm2d(width))
            inputs = width
        self.cnn = cnn

    def forward(self, x: Tensor) -> Tensor:
        for index in range(len(WIDTHS)):
            x = self.cnn.get_submodule(f"conv{index}")(x)
            if index in NORMALISED:
                x = self.cnn.get_submodule(f"batchnorm{index}")(x)
            x = F.relu(x)
            if index in {0, 1}:
                x = F.max_pool2d(x, 2, 2)
            elif index in {3, 5}:
                x = F.max_pool2d(x, (2, 2), (2, 1), (0, 1))
        return x


class _BidirectionalLSTM(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(inputs, HIDDEN, bidirectional=True)
        self.embedding = nn.Linear(2 * HIDDEN, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """T x N x inputs to T x N x outputs."""
        return self.embedding(self.rnn(x)[0])


class _Decoder(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.decoder = nn.Sequential(_BidirectionalLSTM(WIDTHS[-1], HIDDEN), _BidirectionalLSTM(HIDDEN, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(x.squeeze(2).permute(2, 0, 1)).permute(1, 0, 2)


class CRNN(nn.Module):
    """Grey lines, N x 1 x 32 x W (W a multiple of 4), to class probabilities, N x (W / 4 + 1) x classes.

    The last class is the blank.
    """

    def __init__(self, classes: int = 37) -> None:
        super().__init__()
        self.backbone = _MiniVgg()
        self.decoder = _Decoder(classes)

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities per column."""
        return torch.softmax(self.decoder(self.backbone(x)), dim=-1)
