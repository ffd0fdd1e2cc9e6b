"""Half precision in the file: what is halved, what stays single, and what it costs in digits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from engines.catalog import load_manifest, shipped_weights
from engines.half import kept_single, to_half, widen_weights
from engines.preprocess import quality_input
from engines.runtime.onnx import OnnxRuntime
from engines.verify import golden_picture


@pytest.fixture(scope="module", params=["hyperiqa-lite0", "hyperiqa-r18"])
def file(request: pytest.FixtureRequest) -> Path:
    return shipped_weights() / load_manifest(request.param).file


@pytest.fixture(scope="module")
def shipped(file: Path) -> onnx.ModelProto:
    return onnx.load(file)


def kinds(model: onnx.ModelProto) -> Counter[int]:
    return Counter(tensor.data_type for tensor in model.graph.initializer)


def test_input_and_output_stay_single(shipped: onnx.ModelProto) -> None:
    """Callers see no difference."""
    half = to_half(shipped, "quality")
    onnx.checker.check_model(half)
    ends = [value.type.tensor_type.elem_type for value in (*half.graph.input, *half.graph.output)]
    assert ends == [TensorProto.FLOAT, TensorProto.FLOAT]


def test_the_trunk_is_halved_and_the_head_is_not(shipped: onnx.ModelProto) -> None:
    """The head pools and squares whole maps; its weights stay single, by name."""
    kept = kept_single(widen_weights(shipped), "quality")
    assert kept
    assert not any(name.startswith("/backbone/") for name in kept)
    tensors = {t.name: t.data_type for t in to_half(shipped, "quality").graph.initializer}
    convolutions = [kind for name, kind in tensors.items() if name.startswith("backbone.") and "weight" in name]
    assert set(convolutions) == {TensorProto.FLOAT16}
    assert any(kind == TensorProto.FLOAT for name, kind in tensors.items() if not name.startswith("backbone."))


def test_scores_stay_within_the_gate(shipped: onnx.ModelProto, file: Path, tmp_path: Path) -> None:
    """0.25 of the gate's one point, on golden pictures in two sizes."""
    onnx.save(to_half(shipped, "quality"), tmp_path / "half.onnx")
    half = OnnxRuntime().load(tmp_path / "half.onnx")
    single = OnnxRuntime().load(file)
    for name in ("quality_sharp.png", "quality_blurred.png"):
        for pixels in (golden_picture(name), golden_picture(name)[:100, :150]):
            x = quality_input(np.ascontiguousarray(pixels))
            rows = half.run(x).ravel(), single.run(x).ravel()
            assert rows[0][0] == pytest.approx(rows[1][0], abs=0.25)
            assert rows[0][1:] == pytest.approx(rows[1][1:], abs=0.01)


def test_widening_undoes_the_storage_form_only(shipped: onnx.ModelProto, file: Path, tmp_path: Path) -> None:
    """The same answers to the last bit, without casts."""
    plain = widen_weights(shipped)
    assert TensorProto.FLOAT16 not in kinds(plain)
    assert TensorProto.FLOAT16 in kinds(shipped)
    onnx.save(plain, tmp_path / "plain.onnx")
    x = quality_input(golden_picture("quality_sharp.png"))
    answers = [OnnxRuntime().load(path).run(x) for path in (tmp_path / "plain.onnx", file)]
    assert answers[0] == pytest.approx(answers[1], abs=1e-4)
