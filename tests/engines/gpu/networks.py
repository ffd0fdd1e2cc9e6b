"""Small ONNX networks, and manifests that say what they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.catalog import Manifest, file_sha256
from tests.engines.fakes import DETECTION

__all__ = ["manifest_of", "small_network"]


def small_network(path: Path, seed: int = 0, *, metadata: str = "a\nb") -> Path:
    """N x 3 x H x W to N x 1 x H x W: a convolution, a mean over the map, a sigmoid."""
    weight = np.random.default_rng(seed).normal(size=(1, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="/backbone/conv", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c"], ["m"], name="/head/mean", axes=[2, 3]),
        helper.make_node("Sub", ["c", "m"], ["d"], name="/head/sub"),
        helper.make_node("Sigmoid", ["d"], ["y"], name="/head/sigmoid"),
    ]
    shapes = {"x": ["n", 3, "h", "w"], "y": ["n", 1, "h", "w"]}
    source, target = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph(nodes, "small", [source], [target], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"character": metadata})
    onnx.save(model, path)
    return path


def manifest_of(path: Path) -> Manifest:
    """A detector's: any picture up to 128 pixels."""
    limits = DETECTION.input.model_copy(update={"longest_side": 128, "multiple": 16})
    changes = {"name": path.stem, "file": path.name, "sha256": file_sha256(path), "input": limits, "imported": True}
    return DETECTION.model_copy(update=changes)
