"""Networks rewritten so that maps stay in a runtime's own form: the same answers, and only where that is sure."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from engines.catalog import load_manifest, shipped_weights
from engines.models.blocks import keep_blocks

F32 = TensorProto.FLOAT
WEIGHT = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)


def network(*nodes: onnx.NodeProto, widths: list[int] | None = None) -> onnx.ModelProto:
    """From ``x`` (1 x 3 x H x W) to ``y``; ``w`` are a convolution's weights, ``widths`` those of padding."""
    held = [numpy_helper.from_array(WEIGHT, "w")]
    if widths is not None:
        held.append(numpy_helper.from_array(np.array(widths, np.int64), "widths"))
    ends = helper.make_tensor_value_info("x", F32, [1, 3, "h", "w"]), helper.make_tensor_value_info("y", F32, None)
    graph = helper.make_graph(list(nodes), "g", [ends[0]], [ends[1]], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model: onnx.ModelProto) -> NDArray[np.float32]:
    x = np.random.default_rng(1).normal(size=(1, 3, 11, 14)).astype(np.float32)
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0], dtype=np.float32)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    """A rewritten copy that answers as ``model`` does."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    keep_blocks(copy)
    assert answer(copy) == pytest.approx(answer(model), abs=1e-5)
    assert keep_blocks(copy).SerializeToString() == copy.SerializeToString()
    return copy


@pytest.mark.parametrize("pads", [None, [1, 0, 0, 2]])
def test_padding_becomes_the_convolutions_own(pads: list[int] | None) -> None:
    """Different on every side, and added to what the convolution had."""
    told = {} if pads is None else {"pads": pads}
    model = network(
        helper.make_node("Pad", ["x", "widths"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["y"], strides=[2, 2], **told),
        widths=[0, 0, 1, 0, 0, 0, 2, 3],
    )
    assert operators(rewritten(model)) == {"Conv": 1}


def test_widths_may_be_computed_from_constants() -> None:
    """As torch's exporter writes them."""
    model = network(
        helper.make_node("Add", ["widths", "widths"], ["twice"]),
        helper.make_node("Pad", ["x", "twice"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["y"]),
        widths=[0, 0, 0, 0, 0, 0, 1, 1],
    )
    assert operators(rewritten(model)) == {"Conv": 1}


@pytest.mark.parametrize(
    ("pad", "widths", "after"),
    [
        ({"mode": "edge"}, [0, 0, 0, 0, 0, 0, 1, 1], "Conv"),
        ({"mode": "reflect"}, [0, 0, 0, 0, 0, 0, 1, 1], "Conv"),
        ({}, [0, 0, -1, 0, 0, 0, 1, 1], "Conv"),
        ({}, [0, 0, 0, 0, 0, 0, 1, 1], "Relu"),
    ],
    ids=["edge", "reflect", "cropped", "no convolution"],
)
def test_other_padding_stays(pad: dict[str, str], widths: list[int], after: str) -> None:
    """What no convolution can do by itself."""
    inputs = ["padded", "w"] if after == "Conv" else ["padded"]
    model = network(
        helper.make_node("Pad", ["x", "widths"], ["padded"], **pad), helper.make_node(after, inputs, ["y"]), widths=widths
    )
    assert operators(rewritten(model)) == {"Pad": 1, after: 1}


def test_padding_that_somebody_else_reads_stays() -> None:
    """The sum wants it padded."""
    model = network(
        helper.make_node("Pad", ["x", "widths"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["c"]),
        helper.make_node("ReduceMean", ["padded"], ["mean"]),
        helper.make_node("Add", ["c", "mean"], ["y"]),
        widths=[0, 0, 0, 0, 0, 0, 1, 1],
    )
    assert operators(rewritten(model))["Pad"] == 1


def test_padding_by_the_pictures_own_size_stays() -> None:
    """Its widths are known only when a picture is there."""
    model = network(
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Mul", ["shape", "none"], ["zeros"]),
        helper.make_node("Concat", ["zeros", "zeros"], ["all"], axis=0),
        helper.make_node("Pad", ["x", "all"], ["padded"]),
        helper.make_node("Conv", ["padded", "w"], ["y"]),
    )
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int64), "none"))
    assert operators(rewritten(model))["Pad"] == 1


@pytest.mark.parametrize(("name", "pool"), [("ReduceMean", "GlobalAveragePool"), ("ReduceMax", "GlobalMaxPool")])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_means_and_maxima_of_maps_become_pooling(name: str, pool: str, keepdims: int) -> None:
    """With the dimensions that they had."""
    model = network(helper.make_node(name, ["x"], ["y"], axes=[2, 3], keepdims=keepdims))
    assert operators(rewritten(model)) == {pool: 1, **({} if keepdims else {"Flatten": 1})}
    assert answer(rewritten(model)).shape == answer(model).shape


@pytest.mark.parametrize("axes", [[1], [1, 2, 3], None])
def test_means_over_something_else_stay(axes: list[int] | None) -> None:
    """Over channels, or over everything."""
    told = {} if axes is None else {"axes": axes}
    assert operators(rewritten(network(helper.make_node("ReduceMean", ["x"], ["y"], **told)))) == {"ReduceMean": 1}


def test_padding_in_two_steps_is_folded_whole() -> None:
    """And done twice, nothing more happens."""
    model = network(
        helper.make_node("Pad", ["x", "widths"], ["once"]),
        helper.make_node("Pad", ["once", "widths"], ["twice"]),
        helper.make_node("Conv", ["twice", "w"], ["y"]),
        widths=[0, 0, 1, 0, 0, 0, 0, 1],
    )
    assert operators(rewritten(model)) == {"Conv": 1}


def test_what_is_no_map_stays() -> None:
    """Of another rank or type, where the same axes mean something else."""
    deep = network(
        helper.make_node("Unsqueeze", ["x", "axis"], ["deep"]),
        helper.make_node("ReduceMean", ["deep"], ["y"], axes=[2, 3]),
    )
    deep.graph.initializer.append(numpy_helper.from_array(np.array([4], np.int64), "axis"))
    assert operators(rewritten(deep))["ReduceMean"] == 1
    whole = network(
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT32),
        helper.make_node("ReduceMax", ["whole"], ["most"], axes=[2, 3]),
        helper.make_node("Cast", ["most"], ["y"], to=F32),
    )
    assert operators(rewritten(whole))["ReduceMax"] == 1


@pytest.mark.parametrize("opset", [10, 18])
def test_models_of_other_opsets_stay(opset: int) -> None:
    """Their operators mean other things."""
    model = network(helper.make_node("Relu", ["x"], ["y"]))
    model.opset_import[0].version = opset
    before = model.SerializeToString()
    assert keep_blocks(model).SerializeToString() == before


def test_the_default_engine_has_neither() -> None:
    """It was rewritten without being trained again."""
    model = onnx.load(shipped_weights() / load_manifest("hyperiqa-lite0").file)
    found = operators(model)
    assert not found["Pad"]
    assert found["GlobalAveragePool"] > 50
    assert found["GlobalMaxPool"] > 10
