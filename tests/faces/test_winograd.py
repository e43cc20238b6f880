"""Winograd's convolution against the direct sum in float64, for sizes that fill squares and blocks and that do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lse_bench.faces.winograd import WinogradRelu


@pytest.mark.parametrize(
    ("count", "height", "width", "inside", "outside"),
    [
        (1, 4, 4, 3, 5),
        (1, 1, 1, 3, 5),
        (2, 13, 7, 8, 4),
        (1, 45, 80, 128, 128),
        (3, 11, 20, 16, 32),
        (1, 300, 9, 128, 8),
    ],
)
def test_it_is_the_direct_sum(count: int, height: int, width: int, inside: int, outside: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(inside, outside, 3, padding=1)
    x = torch.randn(count, inside, height, width).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        found = WinogradRelu(conv)(x)
        wanted = F.relu(F.conv2d(x.double(), conv.weight.double(), conv.bias.double(), padding=1))  # type: ignore[union-attr]
    assert found.shape == wanted.shape and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=2e-5 * float(wanted.max()))
    assert float((found > 0).double().mean()) > 0.2


@pytest.mark.parametrize("changes", [{"stride": 2}, {"padding": 0}, {"dilation": 2}, {"kernel_size": 5}])
def test_other_convolutions_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not 3 x 3 with a border of one"):
        WinogradRelu(nn.Conv2d(4, 4, **({"kernel_size": 3, "padding": 1} | changes)))  # type: ignore[arg-type]
