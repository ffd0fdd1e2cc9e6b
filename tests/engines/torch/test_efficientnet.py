"""EfficientNet-Lite as a trunk: the published weights, folded, compute what the published network computes."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from engines.errors import CheckpointError  # noqa: E402
from engines.models.efficientnet import EfficientNetClassifier, EfficientNetTrunk, fold_efficientnet  # noqa: E402
from engines.models.hyperiqa import Backbone, HyperIQA  # noqa: E402
from engines.preprocess import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from engines.training.initial_weights import Loaded, load_initial_weights  # noqa: E402
from tests.engines.torch.published import LITE0, LITE2, Blocks, published, reference  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("blocks", [LITE0, LITE2])
@torch.no_grad()
def test_published_weights_fold_into_the_trunk(blocks: Blocks) -> None:
    """Equal to the network with its batch norms, for pixels scaled as each of the two wants them.

    The one pixel of padding before the first convolution cannot be folded: here both pad with ImageNet's mean.
    """
    state = published(blocks)
    model = EfficientNetClassifier.published(state)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    padded = F.pad(x, [0, 1, 0, 1]) * std + mean
    expected = reference(state, (255 * padded - 127) / 128, blocks)
    assert expected.std() > 0.05
    logits, stages = model(x)
    assert torch.allclose(stages[-1].outputs[-1], expected, atol=1e-3)
    wanted = expected.mean(dim=(2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]
    assert torch.allclose(logits, wanted, atol=1e-3)


@torch.no_grad()
def test_maps_have_the_strides_of_a_resnets() -> None:
    """Four maps, each half as large as the one before; the last has the head's channels. Odd sizes round down."""
    trunk = EfficientNetTrunk()
    assert trunk.channels == (24, 40, 112, 1280)
    stages = trunk(torch.zeros(1, 3, 70, 129))
    assert [tuple(stage.outputs[-1].shape[2:]) for stage in stages] == [(17, 32), (8, 16), (4, 8), (2, 4)]
    assert [len(stage.inside) for stage in stages] == [3, 2, 6, 5]


def test_weights_of_another_network_are_refused() -> None:
    """By the first name that is missing."""
    with pytest.raises(KeyError, match="_bn0"):
        fold_efficientnet({"conv1.weight": torch.ones(1)})


@torch.no_grad()
def test_it_carries_the_quality_head() -> None:
    """The hyper-network judges from its maps as from any trunk's."""
    torch.manual_seed(0)
    network = HyperIQA("efficientnet-lite0").eval()
    scores = network(torch.randn(2, 3, 64, 96))
    assert scores.shape == (2,)
    assert ((scores > 0) & (scores < 100)).all()


def test_training_starts_from_the_published_file(tmp_path: Path) -> None:
    """The whole trunk is found; the head is drawn."""
    state = published()
    torch.save(state, tmp_path / "lite0.pth")
    model = HyperIQA("efficientnet-lite0")
    assert load_initial_weights(model, tmp_path / "lite0.pth") == Loaded(head=False, missing=[])
    folded = fold_efficientnet(state)
    assert set(folded) == set(model.backbone.state_dict())
    assert all(torch.equal(model.backbone.get_parameter(name), value) for name, value in folded.items())


def test_training_does_not_start_from_anything_else(tmp_path: Path) -> None:
    """A file that is none, and one of another network."""
    (tmp_path / "junk.pth").write_bytes(b"no weights")
    (tmp_path / "junk.safetensors").write_bytes(b"no weights")
    torch.save(published(), tmp_path / "lite0.pth")
    cases: list[tuple[Backbone, str]] = [
        ("efficientnet-lite0", "junk.pth"),
        ("efficientnet-lite0", "junk.safetensors"),
        ("resnet18", "lite0.pth"),
    ]
    for backbone, name in cases:
        with pytest.raises(CheckpointError, match=f"--initial-weights .*{name} "):
            load_initial_weights(HyperIQA(backbone), tmp_path / name)
