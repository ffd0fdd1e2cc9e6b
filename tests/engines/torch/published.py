"""EfficientNet-Lite under its published names, with random weights, and as its authors describe it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from engines.models.efficientnet import EPSILON  # noqa: E402

__all__ = ["LITE0", "LITE2", "Blocks", "published", "reference"]

# (channels in, out, kernel, stride, expansion) of the blocks, written out from the paper's table and its scaling.
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
LITE2 = [
    (32, 16, 3, 1, 1),
    (16, 24, 3, 2, 6),
    (24, 24, 3, 1, 6),
    (24, 24, 3, 1, 6),
    (24, 48, 5, 2, 6),
    (48, 48, 5, 1, 6),
    (48, 48, 5, 1, 6),
    (48, 88, 3, 2, 6),
    (88, 88, 3, 1, 6),
    (88, 88, 3, 1, 6),
    (88, 88, 3, 1, 6),
    (88, 120, 5, 1, 6),
    (120, 120, 5, 1, 6),
    (120, 120, 5, 1, 6),
    (120, 120, 5, 1, 6),
    (120, 208, 5, 2, 6),
    (208, 208, 5, 1, 6),
    (208, 208, 5, 1, 6),
    (208, 208, 5, 1, 6),
    (208, 208, 5, 1, 6),
    (208, 352, 3, 1, 6),
]
Blocks = list[tuple[int, int, int, int, int]]


def published(blocks: Blocks = LITE0) -> dict[str, Tensor]:
    """Random weights under the published names, classifier and all."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def layer(convolution: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        fan = inputs * kernel * kernel
        state[f"{convolution}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=generator) * (2 / fan) ** 0.5
        for key, value in (("weight", 1.0), ("bias", 0.2), ("running_mean", 0.0), ("running_var", 1.0)):
            noise = torch.rand(outputs, generator=generator) - 0.5
            state[f"{norm}.{key}"] = value + 0.4 * noise

    layer("_conv_stem", "_bn0", 32, 3, 3)
    for number, (inputs, outputs, kernel, _, expansion) in enumerate(blocks):
        name, hidden = f"_blocks.{number}", inputs * expansion
        if expansion != 1:
            layer(f"{name}._expand_conv", f"{name}._bn0", hidden, inputs, 1)
        layer(f"{name}._depthwise_conv", f"{name}._bn1", hidden, 1, kernel)
        layer(f"{name}._project_conv", f"{name}._bn2", outputs, hidden, 1)
    layer("_conv_head", "_bn1", 1280, blocks[-1][1], 1)
    state["_fc.weight"] = 0.05 * torch.randn(1000, 1280, generator=generator)
    state["_fc.bias"] = 0.1 * torch.randn(1000, generator=generator)
    return state


def reference(state: Mapping[str, Tensor], x: Tensor, blocks: Blocks = LITE0) -> Tensor:
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
    for number, (inputs, outputs, _, stride, expansion) in enumerate(blocks):
        name, y = f"_blocks.{number}", x
        if expansion != 1:
            y = F.relu6(conv(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = F.relu6(conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, inputs * expansion))
        y = conv(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if stride == 1 and inputs == outputs else y
    return F.relu6(conv(x, "_conv_head", "_bn1"))
