"""The quality network as a torch module."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from engines.models.hyperiqa import BINS, FAR, TONES, Backbone, HyperIQA, LocalDistortion, ToneHistogram  # noqa: E402
from engines.models.resnet import ResNetTrunk, fold_batch_norm  # noqa: E402
from engines.models.stage import Stage  # noqa: E402
from engines.preprocess import normalise  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def model() -> HyperIQA:
    torch.manual_seed(0)
    return HyperIQA().eval()


@torch.no_grad()
def test_any_size_and_batch(model: HyperIQA) -> None:
    """One score per picture, within 0-100, down to the smallest input."""
    for shape in ((1, 3, 32, 32), (2, 3, 64, 320), (3, 3, 384, 256)):
        scores = model(torch.randn(*shape))
        assert scores.shape == (shape[0],)
        assert ((scores >= 0) & (scores <= 100)).all()


@torch.no_grad()
def test_a_picture_scores_the_same_in_any_batch(model: HyperIQA) -> None:
    """Weights are generated for each picture, not for the batch."""
    pictures = torch.randn(3, 3, 96, 128)
    together = model(pictures)
    alone = torch.cat([model(picture[None]) for picture in pictures])
    assert torch.allclose(together, alone, atol=1e-3)


@torch.no_grad()
def test_content_decides_how_quality_is_judged() -> None:
    """With generated offsets the same features give another score under another content: it is a hyper-network."""
    torch.manual_seed(0)
    network = HyperIQA().eval()
    layer = network.target[0]
    torch.nn.init.normal_(layer.weight.weight, std=0.1)
    features = torch.randn(1, layer.inputs, 1)
    first, second = (layer(features, torch.randn(1, 48)) for _ in range(2))
    assert not torch.allclose(first, second)


def test_trunk_has_torchvisions_names() -> None:
    """Published weights load without renaming; only batch norm and the classifier are folded or left out."""
    names = set(ResNetTrunk().state_dict())
    assert {"conv1.weight", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"} <= names
    assert len(names) == 40
    deep = ResNetTrunk("resnet50")
    names = set(deep.state_dict())
    assert {"layer1.0.downsample.0.weight", "layer3.5.conv3.weight", "layer4.2.conv3.bias"} <= names
    assert len(names) == 106
    assert sum(p.numel() for name, p in deep.named_parameters() if name.endswith("weight")) == 23_454_912


@torch.no_grad()
def test_resnet_50() -> None:
    """The same head on a deeper trunk: maps of the paper's channels, one score per picture."""
    torch.manual_seed(0)
    network = HyperIQA("resnet50").eval()
    stages = network.backbone(torch.randn(1, 3, 64, 96))
    assert [len(stage.outputs) for stage in stages] == [len(stage.inside) for stage in stages] == [3, 4, 6, 3]
    assert [stage.outputs[-1].shape[1:] for stage in stages] == [
        (256, 16, 24),
        (512, 8, 12),
        (1024, 4, 6),
        (2048, 2, 3),
    ]
    assert network(torch.randn(2, 3, 64, 96)).shape == (2,)


@torch.no_grad()
def test_tones_are_counted() -> None:
    """A flat grey lies between two bins; shares of every channel add up to one; black and white are at the ends."""
    tones = ToneHistogram(4)
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[..., 1], picture[..., 2] = 255, 128
    shares = tones.shares(torch.from_numpy(picture / np.float32(255)).permute(2, 0, 1)[None]).reshape(TONES, BINS)
    assert shares.sum(dim=1).numpy() == pytest.approx(1, abs=1e-4)
    assert shares[0, 0] == pytest.approx(1, abs=1e-4)
    assert shares[1, BINS - 1] == pytest.approx(1, abs=1e-4)
    position = 128 / 255 * (BINS - 1)
    assert shares[2, int(position)] == pytest.approx(1 - position % 1, abs=1e-3)


@torch.no_grad()
def test_what_is_clipped_is_counted() -> None:
    """A quarter white, a quarter black, a quarter of pure red, a quarter nearly white: not yet clipped."""
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, :20], picture[:, 40:60, 0], picture[:, 60:] = 255, 255, 244
    red, green, blue, everything, anything, black = ToneHistogram(4).pool(torch.from_numpy(normalise(picture)))[0, -6:].numpy()
    assert np.square([red, green, blue, everything, anything, black]) == pytest.approx(
        [0.5, 0.25, 0.25, 0.25, 0.5, 0.25], abs=1e-3
    )


@torch.no_grad()
def test_folding_batch_norm_changes_nothing() -> None:
    """Convolution with batch norm and the folded convolution agree."""
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(3, 64, 7, 2, 3, bias=False), torch.nn.BatchNorm2d(64).eval()
    for parameter in (norm.weight, norm.bias, norm.running_mean):
        parameter.normal_()
    norm.running_var.uniform_(0.2, 2)
    state = (
        {"conv1.weight": conv.weight} | {f"bn1.{k}": v for k, v in norm.state_dict().items()} | {"fc.weight": torch.ones(2, 2)}
    )
    folded = fold_batch_norm(state)
    assert set(folded) == {"conv1.weight", "conv1.bias"}
    x = torch.randn(1, 3, 32, 32)
    after = torch.nn.functional.conv2d(x, folded["conv1.weight"], folded["conv1.bias"], 2, 3)
    assert torch.allclose(norm(conv(x)), after, atol=1e-5)


@torch.no_grad()
def test_a_stage_is_pooled_map_by_map() -> None:
    """Of outputs mean, deviation and maximum, the last map's first; of what is inside blocks the mean alone."""
    first, last, inside = (torch.randn(2, channels, 5, 7) for channels in (3, 4, 6))
    pooled = Stage([first, last], [inside]).pool()
    parts = pooled.split([4, 4, 4, 3, 3, 3, 6], dim=1)
    expected = [f(x) for x in (last, first) for f in (_mean, _deviation, _maximum)] + [_mean(inside)]
    assert all(torch.allclose(part, value, atol=1e-3) for part, value in zip(parts, expected, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "efficientnet-lite0"])
def test_trunks_say_how_much_they_tell(backbone: Backbone) -> None:
    """The widths that heads are built for are those of what is pooled."""
    network = HyperIQA(backbone)
    assert [part.shape[1] for part in network.pool(torch.zeros(1, 3, 64, 64))] == network.widths


@torch.no_grad()
def test_numbers_are_told_in_deviations() -> None:
    """Mean 0, deviation 1 over the pictures that it was told of; dead channels stay quiet, far-off ones count as far."""
    network = HyperIQA()
    rows = [3 * torch.randn(50, width) + 7 for width in network.widths]
    rows[0][:, 0] = 2.0
    network.standardise(rows)
    module = network.local[0]
    assert isinstance(module, LocalDistortion)
    told = module.standardised(rows[0])
    assert told[:, 1:].mean(dim=0).abs().max() < 0.02
    assert told[:, 1:].std(dim=0).numpy() == pytest.approx(1, abs=0.02)
    assert (told[:, 0] == 0).all()
    assert module.standardised(torch.full((1, network.widths[0]), 1e6)).max() == FAR


def _mean(x: Tensor) -> Tensor:
    return x.flatten(2).mean(dim=2)


def _deviation(x: Tensor) -> Tensor:
    return x.flatten(2).std(dim=2, correction=0)


def _maximum(x: Tensor) -> Tensor:
    return x.flatten(2).max(dim=2).values
