"""Operations of a network at one size of input, counted from its file: the floor under what a stage can cost."""

from __future__ import annotations

from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import openvino as ov

__all__ = ["operations"]


@cache
def operations(path: Path, shape: tuple[int, ...]) -> float:
    """Multiplications and additions (each one operation) of convolutions and products of matrices for an input of ``shape``.

    What is left out (activations, pooling, normalisation) is bound by memory and small beside them. OpenVINO works out the
    shapes: some depend on arithmetic within the network, which ONNX's own shape inference does not follow.
    """
    model = ov.Core().read_model(path)
    model.reshape(list(shape))
    return float(sum(_of(node) for node in model.get_ordered_ops()))


def _of(node: Any) -> float:
    kind = node.get_type_name()
    if kind not in {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}:
        return 0.0
    first, weights, out = (_shape(port) for port in (node.input(0), node.input(1), node.output(0)))
    if kind == "MatMul":
        inner = first[-2] if node.get_attributes().get("transpose_a") else first[-1]
        return 2.0 * prod(out) * inner
    # Weights of groups begin with their number, then outputs (inputs where it is transposed) of one group.
    each = weights[2:] if kind.startswith("Group") else weights[1:]
    return 2.0 * prod(first if "Backprop" in kind else out) * prod(each)


def _shape(port: Any) -> list[int]:
    # What is still open is the number of pictures, lost where a network reshapes its numbers: one.
    return [size.get_length() if size.is_static else 1 for size in port.get_partial_shape()]
