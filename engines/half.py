"""Half precision, written into the ONNX file.

TensorRT 11 builds strongly typed networks only: what is computed in half precision is what the file says. So the file is
rewritten: tensors become half precision except around the nodes that need single precision, which are named below and kept,
with casts at their borders. Input and output stay single.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

__all__ = ["kept_single", "to_half", "widen_weights"]

Kind = Literal["quality", "text_detection", "text_recognition"]

SINGLE_OPS = ("ReduceMean", "GlobalAveragePool", "Pow", "Sqrt", "LayerNormalization", "Softmax", "Sigmoid")
"""Sums over whole maps overflow or lose their last digits in half precision; probabilities near 0 and 1 saturate."""


def _quality(node: onnx.NodeProto) -> bool:
    # The trunk is nearly all of the work; the head pools, squares and generates weights, a hundredth of it.
    return not node.name.startswith("/backbone/")


def _text(node: onnx.NodeProto) -> bool:
    return node.op_type in SINGLE_OPS


KEEP: dict[Kind, Callable[[onnx.NodeProto], bool]] = {
    "quality": _quality,
    "text_detection": _text,
    "text_recognition": _text,
}


def kept_single(model: onnx.ModelProto, kind: Kind) -> list[str]:
    """Names of the nodes that stay in single precision; nodes without a name are given one."""
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    return [node.name for node in model.graph.node if KEEP[kind](node)]


def to_half(model: onnx.ModelProto, kind: Kind) -> onnx.ModelProto:
    """``model`` in half precision, its input and output single, except the nodes of ``kept_single``."""
    plain = widen_weights(model)
    names = kept_single(plain, kind)
    half = OnnxModel(convert_float_to_float16(plain, keep_io_types=True, node_block_list=names, op_block_list=[]))
    # The converter appends its casts; ONNX wants every node after those that it reads.
    half.topological_sort()
    sorted_half: onnx.ModelProto = half.model
    return sorted_half


def widen_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with half-precision weights and their casts (as ``engines.export`` stores them) replaced by single ones."""
    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    graph = widened.graph
    halves = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in halves]
    for cast in casts:
        if helper.get_node_attr_value(cast, "to") != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(halves[cast.input[0]]).astype("float32")
        graph.initializer.append(numpy_helper.from_array(values, cast.output[0]))
        graph.node.remove(cast)
    used = {name for node in graph.node for name in node.input}
    for name, tensor in halves.items():
        if name not in used:
            graph.initializer.remove(tensor)
    return widened
