"""Torch modules to ONNX graphs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping

import onnx
import torch
from torch import Tensor, nn

from engines.models.blocks import keep_blocks

__all__ = ["trace"]

OPSET = 17


def trace(model: nn.Module, example: Tensor, names: tuple[str, str], axes: Mapping[str, dict[int, str]]) -> onnx.ModelProto:
    """``model`` as a graph with one input and one output, called ``names``; ``axes`` names their dynamic dimensions.

    The tracing exporter is used: the networks have no control flow, their graphs stay as plain as the modules, and the other
    exporter bakes the length of CRNN's sequences in without a word. ``keep_blocks`` then makes the graph easy for runtimes.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # That it is the older exporter is known; that LSTMs want one batch size is not our case.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (example,),
            buffer,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes=dict(axes),
            opset_version=OPSET,
            dynamo=False,
        )
    return keep_blocks(onnx.load_from_string(buffer.getvalue()))
