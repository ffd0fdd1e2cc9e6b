"""EfficientNet-Lite as a trunk: the published weights, folded, compute what the published network computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from engines.errors import CheckpointError  # noqa: E402
from engines.models.efficientnet import EPSILON, EfficientNetTrunk, fold_efficientnet  # noqa: E402
from engines.models.hyperiqa import Backbone, HyperIQA  # noqa: E402
from engines.preprocess import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from engines.training.initial_weights import Loaded, load_initial_weights  # noqa: E402

pytestmark = pytest.mark.torch

# (channels in, out, kernel, stride, expansion) of Lite0's sixteen blocks, written out from the paper's table.
LITE0 = [
    (32, 16, 3, 1, 1),
    (16, 24, 3, 2, 6),
    (24, 24, 3, 1, 6),
    (24, 40, 5, 2, 6),
    (40, 40, 5, 1, 6),
    (40, 80, 3, 2, 6),
    (80, 80, 3, 1, 6),
    (80, 80, 3, 1, 6),
    (80, 112, 5, 1, 6),
    (112, 112, 5, 1, 6),
    (112, 112, 5, 1, 6),
    (112, 192, 5, 2, 6),
    (192, 192, 5, 1, 6),
    (192, 192, 5, 1, 6),
    (192, 192, 5, 1, 6),
    (192, 320, 3, 1, 6),
]


def published() -> dict[str, Tensor]:
    """Random weights under the published names."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def layer(convolution: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        fan = inputs * kernel * kernel
        state[f"{convolution}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=generator) * (2 / fan) ** 0.5
        for key, value in (("weight", 1.0), ("bias", 0.2), ("running_mean", 0.0), ("running_var", 1.0)):
            noise = torch.rand(outputs, generator=generator) - 0.5
            state[f"{norm}.{key}"] = value + 0.4 * noise

    layer("_conv_stem", "_bn0", 32, 3, 3)
    for number, (inputs, outputs, kernel, _, expansion) in enumerate(LITE0):
        name, hidden = f"_blocks.{number}", inputs * expansion
        if expansion != 1:
            layer(f"{name}._expand_conv", f"{name}._bn0", hidden, inputs, 1)
        layer(f"{name}._depthwise_conv", f"{name}._bn1", hidden, 1, kernel)
        layer(f"{name}._project_conv", f"{name}._bn2", outputs, hidden, 1)
    layer("_conv_head", "_bn1", 1280, 320, 1)
    return state


def reference(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The published network as its authors describe it: TensorFlow's padding, batch norms on their own."""

    def conv(x: Tensor, convolution: str, norm: str, stride: int = 1, groups: int = 1, *, padded: bool = False) -> Tensor:
        weight = state[f"{convolution}.weight"]
        kernel, size = weight.shape[-1], x.shape[-1]
        total = 0 if padded else max(0, (-(-size // stride) - 1) * stride + kernel - size)
        y = F.conv2d(F.pad(x, [total // 2, total - total // 2] * 2), weight, None, stride, 0, 1, groups)
        moments = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return F.batch_norm(y, *moments, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=EPSILON)

    # The padding of the first convolution is the caller's.
    x = F.relu6(conv(x, "_conv_stem", "_bn0", 2, padded=True))
    for number, (inputs, outputs, _, stride, expansion) in enumerate(LITE0):
        name, y = f"_blocks.{number}", x
        if expansion != 1:
            y = F.relu6(conv(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = F.relu6(conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, inputs * expansion))
        y = conv(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if stride == 1 and inputs == outputs else y
    return F.relu6(conv(x, "_conv_head", "_bn1"))


@torch.no_grad()
def test_published_weights_fold_into_the_trunk() -> None:
    """Equal to the network with its batch norms, for pixels scaled as each of the two wants them.

    The one pixel of padding before the first convolution cannot be folded: here both pad with ImageNet's mean.
    """
    state = published()
    trunk = EfficientNetTrunk().eval()
    trunk.load_state_dict(fold_efficientnet(state))
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    padded = F.pad(x, [0, 1, 0, 1]) * std + mean
    expected = reference(state, (255 * padded - 127) / 128)
    assert expected.std() > 0.05
    assert torch.allclose(trunk(x)[-1].outputs[-1], expected, atol=1e-3)


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
