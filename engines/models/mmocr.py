"""Makes ONNX engines of checkpoints that were trained with MMOCR 1.x: DBNet-R18 and CRNN.

Checkpoints are loaded without running anything in them (``weights_only``) and strictly: every tensor must be where MMOCR puts
it. Preprocessing and thresholds are those of MMOCR's test pipelines, with one departure: lines wider than ``MAX_WIDTH`` are
squeezed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from engines.catalog import DetectionInput, Golden, Manifest, RecognitionInput, check_own_name, file_sha256, write_manifest
from engines.errors import CheckpointError
from engines.models.crnn import CRNN
from engines.models.dbnet import DBNet
from engines.models.tracing import trace
from engines.runtime.onnx import OnnxRuntime
from engines.text_detection import TextDetector, text_area
from engines.text_recognition import TextRecogniser
from engines.verify import golden_picture

__all__ = ["CRNN_INPUT", "DBNET_INPUT", "import_checkpoint", "load_checkpoint"]

Kind = Literal["dbnet", "crnn"]
MAX_WIDTH = 2560
PARITY = 1e-4
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""MMOCR's ``lower_english_digits.txt``."""

# Scaled into 1333 x 736, small pictures enlarged; means and deviations of 255.
DBNET_INPUT = DetectionInput(
    kind="text_detection",
    colour="RGB",
    mean=(123.675 / 255, 116.28 / 255, 103.53 / 255),
    std=(58.395 / 255, 57.12 / 255, 57.375 / 255),
    longest_side=1333,
    shortest_side=736,
    enlarge=True,
    interpolation="linear",
    region="contour",
    epsilon_ratio=0.01,
    mask_threshold=0.3,
    min_score=0.3,
    unclip_ratio=1.5,
    extent_ratio=1.5,
    min_side=5,
    max_candidates=3000,
)
CRNN_INPUT = RecognitionInput(
    kind="text_recognition",
    colour="GREY",
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(127 / 255, 127 / 255, 127 / 255),
    height=32,
    min_width=32,
    max_width=MAX_WIDTH,
    multiple=16,
    fit="stretch",
    interpolation="linear",
    blank="last",
    space=False,
    dictionary_metadata="character",
    min_confidence=0.5,
)


def load_checkpoint(path: Path, model: nn.Module) -> None:
    """Load an MMOCR checkpoint into ``model``, strictly.

    Raises:
        CheckpointError: the file cannot be read safely, or holds other tensors than the model's.

    """
    # Some checkpoints keep a measure as a numpy scalar; pickles of NumPy 1 and 2 name its parts differently.
    scalar = np.float64(0).__reduce__()[0]
    named = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    allowed: list[Any] = [*named, np.dtype, *{type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int64)}]
    try:
        with torch.serialization.safe_globals(allowed):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist") from error
    except Exception as error:  # whatever a strange file makes the unpickler stumble over
        raise CheckpointError(f"{path} is no checkpoint that can be read safely: {str(error).splitlines()[0]}") from error
    state = found.get("state_dict", found) if isinstance(found, dict) else {}
    tensors = {key: value for key, value in state.items() if not key.startswith("data_preprocessor.")}
    wanted = model.state_dict()
    for key in [*wanted, *tensors]:
        if key not in tensors or key not in wanted or tensors[key].shape != wanted[key].shape:
            has, wants = (tuple(side[key].shape) if key in side else "nothing" for side in (tensors, wanted))
            raise CheckpointError(f"{path}: {key} is {has}, the network wants {wants}; is it DBNet-R18 or CRNN of MMOCR 1.x?")
    model.load_state_dict(tensors)


def import_checkpoint(kind: Kind, checkpoint: Path, dictionary: Path | None, name: str | None, directory: Path) -> Manifest:
    """Write an engine (``NAME.onnx``) and its manifest (``NAME.yaml``) into ``directory``.

    Raises:
        CheckpointError: the checkpoint or the dictionary does not fit, or the exported file answers otherwise than the module.
        ManifestError: the name is taken by an engine that ships, or is none.

    """
    chosen = name or {"dbnet": "mmocr-dbnet-r18", "crnn": "mmocr-crnn"}[kind]
    check_own_name(chosen)
    letters = _letters(dictionary) if kind == "crnn" else ""
    model: nn.Module = DBNet() if kind == "dbnet" else CRNN(len(letters) + 1)
    load_checkpoint(checkpoint, model)
    model.eval()
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{chosen}.onnx"
    path.write_bytes(_exported(kind, model, letters))
    _check_parity(kind, model, path)
    manifest = _manifest(kind, chosen, path, checkpoint)
    write_manifest(manifest, directory)
    return manifest


def _letters(dictionary: Path | None) -> str:
    if dictionary is None:
        return LETTERS
    try:
        lines = dictionary.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"--dictionary {dictionary}: {error}") from error
    if not lines or any(len(line) != 1 for line in lines) or len(set(lines)) != len(lines):
        raise CheckpointError(f"--dictionary {dictionary}: wants one character a line, none twice")
    return "".join(lines)


def _example(kind: Kind, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(width)
    return torch.randn(*((1, 3, 64, width) if kind == "dbnet" else (1, 1, 32, width)), generator=generator)


def _exported(kind: Kind, model: nn.Module, letters: str) -> bytes:
    axes = {"picture": {2: "h", 3: "w"} if kind == "dbnet" else {3: "w"}}
    graph = trace(model, _example(kind, 96), ("picture", "probabilities"), axes)
    if letters:
        onnx.helper.set_model_props(graph, {"character": "\n".join(letters)})
    return bytes(graph.SerializeToString())


@torch.no_grad()
def _check_parity(kind: Kind, model: nn.Module, path: Path) -> None:
    network = OnnxRuntime().load(path)
    for width in (32, 96, 160, 416):
        example = _example(kind, width)
        difference = float(np.abs(network.run(example.numpy()) - model(example).numpy()).max())
        if not difference <= PARITY:
            raise CheckpointError(f"the exported {path.name} differs from its module by {difference:.1e} at a width of {width}")


def _manifest(kind: Kind, name: str, path: Path, checkpoint: Path) -> Manifest:
    fields: dict[str, Any] = {
        "name": name,
        "version": 1,
        "file": path.name,
        "sha256": file_sha256(path),
        "imported": True,
        "input": DBNET_INPUT if kind == "dbnet" else CRNN_INPUT,
        "output": "probability of text per pixel" if kind == "dbnet" else "class probabilities per column, 1 x T x classes",
        "training_data": f"not known; imported from {checkpoint.name}, sha256 {file_sha256(checkpoint)}",
        "licence": "that of the checkpoint; MMOCR's own are Apache-2.0",
    }
    draft = Manifest(**fields, golden=(Golden(picture="text.png"),))
    network = OnnxRuntime().load(path)
    if kind == "dbnet":
        picture = golden_picture("text.png")
        regions = TextDetector(draft, network).detect(picture)
        area = text_area([region.extent for region in regions], picture.shape[1], picture.shape[0])
        golden = Golden(picture="text.png", boxes=len(regions), text_area=area, tolerance=0.02)
    else:
        golden = Golden(picture="line.png", text=TextRecogniser(draft, network).read_line(golden_picture("line.png")).text)
    return draft.model_copy(update={"golden": (golden,)})
