"""Where a run starts: published trunks, trunks of our own, or a checkpoint of an earlier run."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engines.errors import CheckpointError
from engines.models.efficientnet import EFFICIENTNETS, fold_efficientnet
from engines.models.hyperiqa import HyperIQA
from engines.models.resnet import fold_batch_norm

__all__ = ["load_start"]


def load_start(model: HyperIQA, path: Path) -> list[str]:
    """Load a starting file; returns the names of the trunk that were not found, which are drawn at random.

    ``.pt`` is a checkpoint of an earlier run and gives everything. ``.safetensors`` and ``.pth`` hold a trunk: an EfficientNet
    under its published names, or a ResNet under torchvision's (``backbone.*``, with or without batch norm).

    Raises:
        CheckpointError: the file is missing, or is of another network.

    """
    try:
        if path.suffix == ".pt":
            model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["average"])
            return []
        state = torch.load(path, map_location="cpu", weights_only=True) if path.suffix == ".pth" else load_file(path)
        trunk = fold_efficientnet(state) if model.kind in EFFICIENTNETS else _resnet(state)
        missing = list(model.backbone.load_state_dict(trunk, strict=False).missing_keys)
    except FileNotFoundError as error:
        raise CheckpointError(f"--start {path} does not exist") from error
    except (KeyError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"--start {path} does not fit the network: {str(error).splitlines()[0]}") from error
    if any(name.startswith("conv1.") and name.endswith("weight") for name in missing):
        raise CheckpointError(f"--start {path} holds no ResNet trunk under torchvision's names")
    for name in missing:
        parameter = model.backbone.get_parameter(name)
        if parameter.dim() == 4:
            # Gain 0.6: without batch norm, blocks at full gain would drown the shortcut that training starts from.
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            parameter.data.mul_(0.6)
    return missing


def _resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(key.startswith("backbone.") for key in state):
        return {k.removeprefix("backbone."): v.float() for k, v in state.items() if k.startswith("backbone.")}
    if any(key.endswith("running_var") for key in state):
        return fold_batch_norm(state)
    return {k: v.float() for k, v in state.items()}
