"""Exports the trained quality network to ONNX, with its manifest's golden scores.

    python -m engines.export --checkpoint runs/a/best.pt [--checkpoint ...] --out engines/weights/hyperiqa-lite0.onnx

Several checkpoints are averaged weight by weight ("model soups", Wortsman et al., ICML 2022). Weights are stored in half
precision and widened by Cast nodes, which runtimes fold at load: half the size on disk, single precision in use. Batch, height
and width are dynamic.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from engines.catalog import file_sha256
from engines.errors import CheckpointError
from engines.models.hyperiqa import HyperIQA
from engines.models.tracing import trace
from engines.preprocess import LONGEST_SIDE, quality_input
from engines.verify import golden_picture

__all__ = ["average_checkpoints", "export_onnx", "halve_weights", "main", "serving_side"]

GOLDEN = ("quality_sharp.png", "quality_blurred.png")


def average_checkpoints(paths: Sequence[Path]) -> HyperIQA:
    """The mean of the moving averages in training checkpoints, ready for inference.

    Raises:
        CheckpointError: they are of different backbones.

    """
    files = [torch.load(path, map_location="cpu", weights_only=True) for path in paths]
    backbone = files[0].get("backbone", "resnet18")
    if any(file.get("backbone", "resnet18") != backbone for file in files):
        raise CheckpointError("checkpoints of different backbones have no mean")
    states = [file["average"] for file in files]
    mean = {key: sum(state[key].double() for state in states) / len(states) for key in states[0]}
    model = HyperIQA(backbone)
    # Rounded to what will be stored, so that scores measured in torch are those of the shipped file.
    model.load_state_dict({key: value.half().float() for key, value in mean.items()})
    return model.eval()


def serving_side(path: Path) -> int:
    """Longest side in pixels that the run behind a checkpoint trained at, and validated at."""
    return int(torch.load(path, map_location="cpu", weights_only=True).get("side", LONGEST_SIDE))


def export_onnx(model: HyperIQA, path: Path) -> None:
    """Write ``model`` to ``path``: input ``picture`` (N x 3 x H x W), output ``score`` (N)."""
    axes = {"picture": {0: "n", 2: "h", 3: "w"}, "score": {0: "n"}}
    graph = halve_weights(trace(model, torch.zeros(2, 3, 96, 128), ("picture", "score"), axes))
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def halve_weights(model: onnx.ModelProto, least: int = 256) -> onnx.ModelProto:
    """Store every single-precision initializer of at least ``least`` values as half precision followed by a Cast."""
    casts = []
    for index, tensor in enumerate(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < least:
            continue
        name = tensor.name
        model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for position, cast in enumerate(casts):
        model.graph.node.insert(position, cast)
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description="Export the quality engine to ONNX.")
    parser.add_argument("--checkpoint", type=Path, action="append", required=True, help="may be repeated: the mean is exported")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    model = average_checkpoints(options.checkpoint)
    export_onnx(model, options.out)
    print(f"# {options.out}: {options.out.stat().st_size / 1e6:.1f} MB. For its manifest:")
    side = serving_side(options.checkpoint[0])
    print(f"sha256: {file_sha256(options.out)}\nlongest_side: {side}\ngolden:")
    for name in GOLDEN:
        with torch.no_grad():
            score = float(model(torch.from_numpy(quality_input(golden_picture(name), side)))[0])
        print(f"  - picture: {name}\n    score: {score:.2f}\n    tolerance: 0.5")


if __name__ == "__main__":
    main()
