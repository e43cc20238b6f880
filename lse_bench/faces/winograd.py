"""A convolution of 3 x 3 pixels with a quarter of the products, for processors.

Winograd's F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016): squares of 6 x 6
pixels are transformed, multiplied channel by channel, and give 4 x 4 results. Results differ from those of the direct
sum by some 1e-5 of their size, about ten times its rounding. Blocks of squares stay in the processor's cache; larger
ones take longer than the direct sum.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEWEST_CHANNELS = 128  # of the input: with fewer, moving the squares takes longer than the products that are saved
_BLOCK = 1 << 22  # bytes of the transformed squares that are in work at a time,
_FEWEST = 100  # and squares: products of fewer take longer
_OF_INPUT = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_OF_WEIGHTS = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # over 24
_OF_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


class WinogradRelu(nn.Module):
    """A convolution of 3 x 3 pixels with a border of one, and the ReLU behind it.

    `conv`: the convolution, of stride and dilation 1.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if (conv.kernel_size, conv.stride, conv.padding, conv.dilation) != ((3, 3), (1, 1), (1, 1), (1, 1)):
            raise ValueError(f"{conv}: not 3 x 3 with a border of one")
        assert conv.bias is not None
        turn, back = (torch.tensor(rows, dtype=torch.float64) for rows in (_OF_INPUT, _OF_OUTPUT))
        weigh = torch.tensor(_OF_WEIGHTS, dtype=torch.float64) / 24
        self.turn, self.back = (torch.kron(matrix, matrix).float() for matrix in (turn, back))
        weights = torch.einsum("ai,bj,ocij->abco", weigh, weigh, conv.weight.detach().double())
        self.weights = weights.reshape(36, conv.in_channels, conv.out_channels).float().contiguous()
        self.bias = conv.bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        """Return the results (N,O,H,W) of x (N,C,H,W), both float32 with channels last."""
        count, channels, height, width = x.shape
        high, wide, outside = -(-height // 4), -(-width // 4), len(self.bias)
        inside = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 4 * wide + 1 - width, 1, 4 * high + 1 - height)).contiguous()
        found = x.new_empty(count, 4 * high, 4 * wide, outside)
        rows = max(-(-_FEWEST // wide), _BLOCK // (36 * wide * max(channels, outside) * x.element_size()))
        for source, target in zip(inside, found, strict=True):
            line, pixel = source.stride()[:2]
            for top in range(0, high, rows):
                here = min(rows, high - top)
                part = source[4 * top :]
                squares = part.as_strided(
                    (6, 6, here, wide, channels), (line, pixel, 4 * line, 4 * pixel, 1), part.storage_offset()
                )
                turned = (self.turn @ squares.reshape(36, -1)).view(36, here * wide, channels)
                products = torch.bmm(turned, self.weights).view(36, -1)
                results = (self.back @ products).view(16, here * wide, outside).add_(self.bias).relu_()
                laid = results.view(4, 4, here, wide, outside).permute(2, 0, 3, 1, 4)
                target[4 * top : 4 * (top + here)].view(here, 4, wide, 4, outside).copy_(laid)
        return found[:, :height, :width].permute(0, 3, 1, 2)
