"""Checkpoints in MMOCR's form, of random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engines.models.crnn import CRNN
from engines.models.dbnet import DBNet

__all__ = ["checkpoint", "crnn", "dbnet"]


def checkpoint(model: torch.nn.Module, path: Path) -> Path:
    """As MMOCR saves: its preprocessor's buffers, a numpy scalar among the notes, the weights below ``state_dict``."""
    extra = {"data_preprocessor.mean": torch.zeros(3, 1, 1), "data_preprocessor.std": torch.ones(3, 1, 1)}
    torch.save({"meta": {"hmean": np.float64(0.8)}, "state_dict": extra | model.state_dict()}, path)
    return path


def dbnet() -> DBNet:
    """Random, with a bias that makes some of the map text."""
    torch.manual_seed(1)
    model = DBNet().eval()
    with torch.no_grad():
        model.det_head.binarize[-1].weight.mul_(40)
    return model


def crnn(classes: int = 37) -> CRNN:
    torch.manual_seed(2)
    model = CRNN(classes).eval()
    for name, parameter in model.named_parameters():
        if "embedding.weight" in name or "rnn.weight" in name:
            parameter.data *= 4
    return model
