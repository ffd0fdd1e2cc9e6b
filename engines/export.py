"""Exports a trained quality network to ONNX, with its manifest and golden answers: ``iqa engines export``.

Several checkpoints are averaged weight by weight ("model soups", Wortsman et al., ICML 2022). Weights are stored in half
precision and widened by Cast nodes, which runtimes fold at load: half the size on disk, single precision in use. Batch, height
and width are dynamic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from engines.catalog import Golden, Manifest, QualityInput, check_own_name, file_sha256, write_manifest
from engines.errors import CheckpointError
from engines.kinds import KINDS
from engines.models.hyperiqa import HyperIQA
from engines.models.tracing import trace
from engines.preprocess import LONGEST_SIDE, QUALITY_PREPROCESSING, quality_input
from engines.quality import QualityEngine
from engines.runtime.base import Network
from engines.runtime.onnx import OnnxRuntime
from engines.training.datasets import load_rated
from engines.training.output_mapping import fit_output_mapping
from engines.verify import golden_picture

__all__ = ["Export", "average_checkpoints", "export_engine", "export_onnx", "halve_weights", "serving_side"]

GOLDEN = ("quality_sharp.png", "quality_blurred.png")
GOLDEN_TEXT = "text.png"
"""For engines that look for text: without it one that never finds any would pass."""
TOLERANCE = 0.5


@dataclass(frozen=True)
class Export:
    """What becomes an engine: the mean of ``checkpoints``, under ``name``. ``data``, if given, maps outputs to opinions.

    ``text_below``: see ``QualityInput``; 0 until it was measured, so that nothing is skipped.
    """

    checkpoints: tuple[Path, ...]
    name: str
    version: int = 1
    data: tuple[str, Path] | None = None
    training_data: str = "not told"
    licence: str = "that of its training data and initial weights"
    text_below: float = 0.0

    def output_mapping(self, network: Network, side: int) -> tuple[tuple[float, float], ...]:
        """Outputs to opinions, fitted on the validation split of ``data``."""
        if self.data is None:
            return ()
        rated = [r for r in load_rated(*self.data) if r.split == "val"]
        outputs = [float(network.run(quality_input(r.pixels(), side)).flat[0]) for r in rated]
        return fit_output_mapping(outputs, [r.opinion for r in rated])


def average_checkpoints(paths: Sequence[Path]) -> HyperIQA:
    """The mean of the moving averages in training checkpoints, ready for inference.

    Raises:
        CheckpointError: they are of different backbones, or of other forms of the network.

    """
    files = [_checkpoint(path) for path in paths]
    backbone = files[0].get("backbone", "resnet18")
    if any(file.get("backbone", "resnet18") != backbone for file in files):
        raise CheckpointError("checkpoints of different backbones have no mean")
    states = [file["average"] for file in files]
    if any(state.keys() != states[0].keys() for state in states):
        raise CheckpointError("checkpoints of different forms have no mean: some tell kinds, others do not")
    mean = {key: sum(state[key].double() for state in states) / len(states) for key in states[0]}
    told = len(mean["kinds.said.bias"]) - 1 if "kinds.said.bias" in mean else 0
    model = HyperIQA(backbone, kinds=told, text="text.said.bias" in mean)
    # Rounded to what will be stored, so that scores measured in torch are those of the shipped file.
    try:
        model.load_state_dict({key: value.half().float() for key, value in mean.items()})
    except RuntimeError as error:
        raise CheckpointError(f"{paths[0]} is of another form of the network: {str(error).splitlines()[0]}") from error
    return model.eval()


def serving_side(path: Path) -> int:
    """Longest side in pixels that the run behind a checkpoint trained at, and validated at."""
    return int(_checkpoint(path).get("side", LONGEST_SIDE))


def _checkpoint(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever the unpickler stumbles over
        raise CheckpointError(f"{path} is no checkpoint of a training run") from error
    if not isinstance(found, dict) or "average" not in found:
        raise CheckpointError(f"{path} is no checkpoint of a training run")
    return found


def export_onnx(model: HyperIQA, path: Path) -> None:
    """Write ``model`` to ``path``: input ``picture`` (N x 3 x H x W), output ``judgement``, as ``model``."""
    axes = {"picture": {0: "n", 2: "h", 3: "w"}, "judgement": {0: "n"}}
    graph = halve_weights(trace(model, torch.zeros(2, 3, 96, 128), ("picture", "judgement"), axes))
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


def answer(engine: QualityEngine, picture: str) -> Golden:
    """What ``engine`` answers here and now to a golden picture."""
    said = engine.judge(golden_picture(picture))
    return Golden(
        picture=picture,
        score=said.score,
        photo=said.kinds.get("photo"),
        ruined=said.ruined,
        text_seen=said.text,
        tolerance=TOLERANCE,
    )


def export_engine(export: Export, directory: Path) -> Manifest:
    """Write an engine (``NAME.onnx``) and its manifest (``NAME.yaml``) into ``directory``, where workers find it.

    Its golden answers are what the file answers here and now.

    Raises:
        CheckpointError: the checkpoints do not fit together.
        ManifestError: the name is taken by an engine that ships, or is none.

    """
    check_own_name(export.name)
    model, side = average_checkpoints(export.checkpoints), serving_side(export.checkpoints[0])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{export.name}.onnx"
    export_onnx(model, path)
    network = OnnxRuntime().load(path)
    limits = QualityInput(
        kind="quality",
        policy=QUALITY_PREPROCESSING,
        longest_side=side,
        scale=export.output_mapping(network, side),
        kinds=KINDS if model.kinds is not None else (),
        text=model.text is not None,
        text_below=export.text_below if model.text is not None else 0.0,
    )
    fields: dict[str, Any] = {
        "name": export.name,
        "version": export.version,
        "file": path.name,
        "sha256": file_sha256(path),
        "imported": True,
        "input": limits,
        "output": "opinion score, N, 0-100, higher is better"
        + ("; kinds; ruined" if model.kinds is not None else "")
        + ("; text" if model.text is not None else ""),
        "training_data": export.training_data,
        "licence": export.licence,
    }
    draft = Manifest(**fields, golden=(Golden(picture=GOLDEN[0]),))
    engine = QualityEngine(draft, network)
    golden = tuple(answer(engine, name) for name in (*GOLDEN, *([GOLDEN_TEXT] if limits.text else [])))
    manifest = draft.model_copy(update={"golden": golden})
    write_manifest(manifest, directory)
    return manifest
