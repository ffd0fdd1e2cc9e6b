"""Rewrites an exported network so that runtimes need not copy its maps, with the same answers.

CPU runtimes keep maps in blocks of channels, and copy a whole map into plain order wherever an operator knows no blocks. A
third of a network's time went into such copies (decision 40). Two kinds of operators that torch exports are therefore replaced:

- padding before a convolution becomes the convolution's own, which may differ from side to side in ONNX but not in torch;
- means and maxima over height and width become global pooling.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime import InferenceSession

__all__ = ["keep_blocks"]

POOLS = {"ReduceMean": "GlobalAveragePool", "ReduceMax": "GlobalMaxPool"}


def keep_blocks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite ``model`` in place; what fits neither pattern is left as it is. Done twice, nothing more happens.

    For what our exporter writes: opset 11 to 17, no graphs within nodes. Any other model is left alone.
    """
    opset = next((each.version for each in model.opset_import if not each.domain), 0)
    if not 11 <= opset <= 17 or any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        return model
    while _fold_padding(model):
        pass
    maps = _maps(model)
    nodes = [new for node in model.graph.node for new in ([node] if maps.isdisjoint(node.input[:1]) else _pooled(node))]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _drop_unused(model.graph)
    return model


def _maps(model: onnx.ModelProto) -> set[str]:
    """Tensors that are known to be N x C x H x W, of numbers with a fraction."""
    known = onnx.shape_inference.infer_shapes(model).graph
    found = set()
    for value in (*known.input, *known.value_info):
        kind = value.type.tensor_type
        if kind.elem_type == TensorProto.FLOAT and kind.HasField("shape") and len(kind.shape.dim) == 4:
            found.add(value.name)
    return found


def _fold_padding(model: onnx.ModelProto) -> bool:
    """Move zeros that are added around a convolution's input, always as many, into the convolution; whether there were any."""
    found = False
    graph = model.graph
    outputs = {output.name for output in graph.output}
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        readers = [node for node in graph.node if pad.output[0] in node.input]
        widths = _constant(model, pad.input[1])
        if (
            widths is None
            or not readers
            or pad.output[0] in outputs
            or _text(pad, "mode", "constant") != "constant"
            or any(pad.input[2:3])
            or widths.size != 8
            or widths[[0, 1, 4, 5]].any()
            or (widths < 0).any()
            or any(node.op_type != "Conv" or node.input[0] != pad.output[0] or _automatic(node) for node in readers)
        ):
            continue
        for conv in readers:
            before = _ints(conv, "pads") or [0, 0, 0, 0]
            _set_ints(conv, "pads", [old + int(new) for old, new in zip(before, widths[[2, 3, 6, 7]], strict=True)])
            conv.input[0] = pad.input[0]
        graph.node.remove(pad)
        found = True
    return found


def _pooled(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """``node``, or global pooling that says the same."""
    kept = next((attribute.i for attribute in node.attribute if attribute.name == "keepdims"), 1)
    if node.op_type not in POOLS or _ints(node, "axes") != [2, 3]:
        yield node
        return
    pool, (output,) = POOLS[node.op_type], node.output
    if kept:
        yield helper.make_node(pool, list(node.input), [output], name=node.name)
        return
    yield helper.make_node(pool, list(node.input), [f"{output}_1x1"], name=node.name)
    yield helper.make_node("Flatten", [f"{output}_1x1"], [output], name=f"{node.name}_flat", axis=1)


def _constant(model: onnx.ModelProto, name: str) -> NDArray[np.int64] | None:
    """What a tensor of integers always holds; ``None`` if it depends on the network's input."""
    graph, wanted, nodes = model.graph, {name}, list[onnx.NodeProto]()
    for node in reversed(graph.node):  # sorted: whoever makes something comes before who reads it
        if wanted & set(node.output):
            nodes.insert(0, node)
            wanted |= set(node.input)
    if wanted & {each.name for each in graph.input}:
        return None
    held = [tensor for tensor in graph.initializer if tensor.name in wanted]
    alone = helper.make_graph(nodes, "constant", [], [helper.make_tensor_value_info(name, TensorProto.INT64, None)], held)
    made = helper.make_model(alone, opset_imports=model.opset_import, ir_version=model.ir_version)
    return np.asarray(InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {})[0])


def _drop_unused(graph: onnx.GraphProto) -> None:
    read = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if read.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            read.update(node.input)
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _automatic(conv: onnx.NodeProto) -> bool:
    return _text(conv, "auto_pad", "NOTSET") != "NOTSET"


def _text(node: onnx.NodeProto, name: str, default: str) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == name), default)


def _ints(node: onnx.NodeProto, name: str) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == name), [])


def _set_ints(node: onnx.NodeProto, name: str, values: list[int]) -> None:
    for attribute in [each for each in node.attribute if each.name == name]:
        node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute(name, values))
