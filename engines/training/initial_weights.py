"""What a run starts from: published trunks, trunks of our own, a checkpoint of an earlier run, or an exported engine."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
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
from engines.models.resnet import ResNetTrunk, fold_batch_norm

__all__ = ["Loaded", "initialise_trunk", "load_initial_weights", "trunk_sha256"]


class Loaded(NamedTuple):
    """What a starting file held: all of the network or its trunk alone, whether it tells kinds, and what the trunk lacks."""

    head: bool
    missing: list[str]
    kinds: bool = False


def load_initial_weights(model: HyperIQA, path: Path) -> Loaded:
    """Load a file of initial weights; what it does not hold stays, or is drawn, at random.

    ``.pt`` is a checkpoint of an earlier run, ``.onnx`` an engine that was exported from one: both give everything, or their
    trunk where they were made with another form of the head. For ``.safetensors`` and ``.pth`` see ``initialise_trunk``.

    Raises:
        CheckpointError: the file is missing, or is of another network.

    """
    if path.suffix in {".pt", ".onnx"}:
        with _named(path):
            taken = _load_run(model, path)
            return Loaded("tones.fc.weight" in taken, [], "kinds.said.weight" in taken)
    return Loaded(head=False, missing=initialise_trunk(model.backbone, path))


def initialise_trunk(trunk: EfficientNetTrunk | ResNetTrunk, path: Path) -> list[str]:
    """Load a trunk; returns the names of what the file did not hold, which is drawn at random.

    ``.safetensors`` and ``.pth`` hold an EfficientNet under its published names, or a ResNet under torchvision's
    (``backbone.*``, with or without batch norm).

    Raises:
        CheckpointError: the file is missing, or is of another network.

    """
    with _named(path):
        state = torch.load(path, map_location="cpu", weights_only=True) if path.suffix == ".pth" else load_file(path)
        found = fold_efficientnet(state) if isinstance(trunk, EfficientNetTrunk) else _resnet(state)
        missing = list(trunk.load_state_dict(found, strict=False).missing_keys)
    if "conv1.weight" in missing:
        raise CheckpointError(f"--initial-weights {path} holds no ResNet trunk under torchvision's names")
    for name in missing:
        parameter = trunk.get_parameter(name)
        if parameter.dim() == 4:
            # Gain 0.6: without batch norm, blocks at full gain would drown the shortcut that training starts from.
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            parameter.data.mul_(0.6)
    return missing


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise CheckpointError(f"--initial-weights {path} does not exist") from error
    except (KeyError, RuntimeError, SafetensorError, DecodeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"--initial-weights {path} does not fit the network: {str(error).splitlines()[0]}") from error


def _load_run(model: HyperIQA, path: Path) -> list[str]:
    """Everything, or the trunk alone of a run with another head; the names of what was taken."""
    found = _exported(path) if path.suffix == ".onnx" else torch.load(path, map_location="cpu", weights_only=True)["average"]
    wanted = model.state_dict()
    fits = {name for name in wanted if name in found and found[name].shape == wanted[name].shape}
    # What tells kinds, or text, is new in networks that were scored by before: it may start fresh beside a head that goes on.
    parts = [[name for name in wanted if name.startswith(part)] for part in ("kinds.", "text.")]
    own = [name for name in wanted if not any(name in part for part in parts)]
    head = fits.issuperset(own)
    taken = own if head else [name for name in own if name.startswith("backbone.")]
    if head:
        taken += [name for part in parts if fits.issuperset(part) for name in part]
    model.load_state_dict(wanted | {name: found[name] for name in taken})
    return taken


def _resnet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(key.startswith("backbone.") for key in state):
        return {k.removeprefix("backbone."): v.float() for k, v in state.items() if k.startswith("backbone.")}
    if any(key.endswith("running_var") for key in state):
        return fold_batch_norm(state)
    return {k: v.float() for k, v in state.items() if not k.startswith("fc.")}


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


def trunk_sha256(model: HyperIQA) -> str:
    """What names a trunk's weights, and so what it makes of pictures."""
    digest = hashlib.sha256()
    for name, value in sorted(model.backbone.state_dict().items()):
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()
