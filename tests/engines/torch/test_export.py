"""The exported file answers as the module does."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
import onnx  # noqa: E402
from onnx import TensorProto, numpy_helper  # noqa: E402

from engines.catalog import file_sha256, load_manifest, shipped_weights  # noqa: E402
from engines.errors import CheckpointError  # noqa: E402
from engines.export import average_checkpoints, export_onnx  # noqa: E402
from engines.models.hyperiqa import Backbone, HyperIQA  # noqa: E402
from engines.preprocess import quality_input  # noqa: E402
from engines.runtime.onnx import OnnxRuntime  # noqa: E402
from engines.training.initial_weights import Loaded, load_initial_weights  # noqa: E402
from engines.verify import golden_picture  # noqa: E402

pytestmark = pytest.mark.torch


def halves(seed: int) -> HyperIQA:
    """Random weights that half precision holds exactly, and offsets that are not zero."""
    torch.manual_seed(seed)
    model = HyperIQA().eval()
    for name, parameter in model.named_parameters():
        if name.startswith("target") and name.endswith("weight"):
            torch.nn.init.normal_(parameter, std=0.02)
        parameter.data = parameter.data.half().float()
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[HyperIQA, Path]:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    model = halves(0)
    export_onnx(model, path)
    return model, path


@torch.no_grad()
def test_same_scores_at_every_size_and_batch(exported: tuple[HyperIQA, Path]) -> None:
    """Sizes and batches that the export has not seen."""
    model, path = exported
    network = OnnxRuntime().load(path)
    for shape in ((1, 3, 64, 64), (1, 3, 384, 256), (3, 3, 96, 160)):
        x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
        assert network.run(x.numpy()) == pytest.approx(model(x).numpy(), abs=0.01)


def test_weights_are_stored_in_half_precision(exported: tuple[HyperIQA, Path]) -> None:
    """26 MB, not 50."""
    _, path = exported
    assert path.stat().st_size < 30_000_000
    kept = [t for t in onnx.load(path).graph.initializer if t.data_type == TensorProto.FLOAT]
    assert all(numpy_helper.to_array(tensor).size < 256 for tensor in kept)


def test_averages_are_means(tmp_path: Path) -> None:
    """Of every weight, over all checkpoints."""
    models = [halves(seed) for seed in (1, 2)]
    for index, model in enumerate(models):
        torch.save({"average": model.state_dict()}, tmp_path / f"{index}.pt")
    mean = average_checkpoints([tmp_path / "0.pt", tmp_path / "1.pt"])
    first, second = (model.backbone.conv1.weight for model in models)
    assert torch.allclose(mean.backbone.conv1.weight, (first + second) / 2, atol=1e-3)


@pytest.mark.parametrize(("name", "backbone"), [("hyperiqa-r18", "resnet18"), ("hyperiqa-lite0", "efficientnet-lite0")])
def test_the_shipped_file_is_this_network(name: str, backbone: Backbone) -> None:
    """The manifest's hash, and a trunk whose names and shapes are the module's. Golden scores are checked elsewhere."""
    manifest = load_manifest(name)
    path = shipped_weights() / manifest.file
    assert file_sha256(path) == manifest.sha256
    stored = {t.name.removesuffix(".half"): tuple(t.dims) for t in onnx.load(path).graph.initializer}
    trunk = {k: tuple(v.shape) for k, v in HyperIQA(backbone).state_dict().items() if k.startswith("backbone.")}
    assert {name: stored.get(name) for name in trunk} == trunk


@torch.no_grad()
def test_a_run_starts_from_an_exported_engine(exported: tuple[HyperIQA, Path]) -> None:
    """Checkpoints do not ship, engines do: every weight comes back."""
    model, path = exported
    again = HyperIQA()
    assert load_initial_weights(again, path) == Loaded(head=True, missing=[])
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


@torch.no_grad()
def test_a_run_starts_from_what_ships() -> None:
    """And scores as it does."""
    path = shipped_weights() / load_manifest("hyperiqa-lite0").file
    model = HyperIQA("efficientnet-lite0")
    assert load_initial_weights(model, path).head
    x = quality_input(golden_picture("quality_sharp.png"))
    assert float(model.eval()(torch.from_numpy(x))[0]) == pytest.approx(OnnxRuntime().load(path).run(x).flat[0], abs=0.05)


def test_of_an_engine_with_another_head_the_trunk_is_taken() -> None:
    """All of it; the head is left as it was drawn."""
    path = shipped_weights() / load_manifest("hyperiqa-r18").file
    model, other = HyperIQA(), HyperIQA()
    head = copy.deepcopy(model.target.state_dict())
    assert load_initial_weights(model, path) == Loaded(head=False, missing=[])
    load_initial_weights(other, path)
    trunks = (model.backbone.state_dict(), other.backbone.state_dict())
    assert all(torch.equal(value, trunks[1][name]) for name, value in trunks[0].items())
    assert all(torch.equal(value, head[name]) for name, value in model.target.state_dict().items())


def test_engines_of_another_backbone_are_refused(exported: tuple[HyperIQA, Path]) -> None:
    """In a line."""
    with pytest.raises(CheckpointError, match="does not fit the network"):
        load_initial_weights(HyperIQA("efficientnet-lite0"), exported[1])
