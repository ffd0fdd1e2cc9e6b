"""Where a run starts: published trunks, trunks of our own, a checkpoint of an earlier run, or an exported engine."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import TensorProto, numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engines.errors import CheckpointError
from engines.models.efficientnet import EfficientNetTrunk, fold_efficientnet
from engines.models.hyperiqa import HyperIQA
from engines.models.resnet import fold_batch_norm

__all__ = ["Loaded", "load_start"]


class Loaded(NamedTuple):
    """What a starting file held: all of the network or its trunk alone, and names of the trunk that it did not hold."""

    head: bool
    missing: list[str]


def load_start(model: HyperIQA, path: Path) -> Loaded:
    """Load a starting file; what it does not hold stays, or is drawn, at random.

    ``.pt`` is a checkpoint of an earlier run, ``.onnx`` an engine that was exported from one: both give everything, or their
    trunk where they were made with another form of the head. ``.safetensors`` and ``.pth`` hold a trunk: an EfficientNet under
    its published names, or a ResNet under torchvision's (``backbone.*``, with or without batch norm).

    Raises:
        CheckpointError: the file is missing, or is of another network.

    """
    try:
        if path.suffix in {".pt", ".onnx"}:
            return Loaded(_load_run(model, path), [])
        state = torch.load(path, map_location="cpu", weights_only=True) if path.suffix == ".pth" else load_file(path)
        trunk = fold_efficientnet(state) if isinstance(model.backbone, EfficientNetTrunk) else _resnet(state)
        missing = list(model.backbone.load_state_dict(trunk, strict=False).missing_keys)
    except FileNotFoundError as error:
        raise CheckpointError(f"--start {path} does not exist") from error
    except (KeyError, RuntimeError, SafetensorError, DecodeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"--start {path} does not fit the network: {str(error).splitlines()[0]}") from error
    if "conv1.weight" in missing:
        raise CheckpointError(f"--start {path} holds no ResNet trunk under torchvision's names")
    for name in missing:
        parameter = model.backbone.get_parameter(name)
        if parameter.dim() == 4:
            # Gain 0.6: without batch norm, blocks at full gain would drown the shortcut that training starts from.
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            parameter.data.mul_(0.6)
    return Loaded(head=False, missing=missing)


def _load_run(model: HyperIQA, path: Path) -> bool:
    """Everything, or the trunk alone of a run with another head; whether it was everything."""
    found = _exported(path) if path.suffix == ".onnx" else torch.load(path, map_location="cpu", weights_only=True)["average"]
    wanted = model.state_dict()
    head = all(name in found and found[name].shape == wanted[name].shape for name in wanted)
    model.load_state_dict({name: found[name] if head or name.startswith("backbone.") else wanted[name] for name in wanted})
    return head


def _resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(key.startswith("backbone.") for key in state):
        return {k.removeprefix("backbone."): v.float() for k, v in state.items() if k.startswith("backbone.")}
    if any(key.endswith("running_var") for key in state):
        return fold_batch_norm(state)
    return {k: v.float() for k, v in state.items()}


def _exported(path: Path) -> dict[str, Tensor]:
    """The weights that ``engines.export`` wrote, by their names; what it stored in half precision has lost its last digits."""
    graph = onnx.load(path).graph
    found = {
        tensor.name.removesuffix(".half"): torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in graph.initializer
        if tensor.data_type in {TensorProto.FLOAT, TensorProto.FLOAT16}
    }
    # Tensors of equal values are stored once; the others are named by an Identity.
    return found | {n.output[0]: found[n.input[0]] for n in graph.node if n.op_type == "Identity" and n.input[0] in found}
