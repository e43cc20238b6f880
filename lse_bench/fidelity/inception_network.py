"""FID's Inception network without weights: pytorch-fid's blocks, at full width or narrower."""

from __future__ import annotations

from typing import Any

from torch import nn

from lse_bench.versions import require

PUBLISHED = 2048  # features
FIRST = "Conv2d_1a_3x3.conv.weight"
_FIRST_CHANNELS = 32


def plain_network(width: float = 1.0) -> Any:
    """Build pytorch-fid's network without weights, because pytorch-fid itself would download them.

    `width`: a factor on the channel counts of every layer, a multiple of 1/8. It returns the features
    (N, 2048 x width) of pictures (N,3,299,299) from -1 to 1. Raises UsageError without the extra `fid`, and ValueError
    for another width.
    """
    require("pytorch_fid", "fid", "FID")
    import torchvision
    from pytorch_fid import inception as theirs

    if not (0 < width <= 1 and (8 * width).is_integer()):
        raise ValueError(f"width {width}: it must be a multiple of 1/8 above 0 and up to 1")
    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    for name, pool in (("5b", 32), ("5c", 64), ("5d", 64)):
        inside = getattr(network, f"Mixed_{name}").branch1x1.conv.in_channels
        setattr(network, f"Mixed_{name}", theirs.FIDInceptionA(inside, pool_features=pool))
    for name, middle in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        setattr(network, f"Mixed_{name}", theirs.FIDInceptionC(768, channels_7x7=middle))
    network.Mixed_7b, network.Mixed_7c = theirs.FIDInceptionE_1(1280), theirs.FIDInceptionE_2(PUBLISHED)
    network.fc = nn.Identity()
    if width != 1:
        for block in network.modules():
            if hasattr(block, "conv") and hasattr(block, "bn"):
                _narrow(block, width)
    return network


def width_of(first_channels: int) -> float:
    """Return the width of a network by the output channels of its first layer."""
    return first_channels / _FIRST_CHANNELS


def _narrow(block: Any, width: float) -> None:
    """Replace the convolution and the normalisation of a block by narrower ones. The picture keeps its channels."""
    conv = block.conv
    inside = conv.in_channels if conv.in_channels == 3 else int(conv.in_channels * width)
    outside = int(conv.out_channels * width)
    block.conv = nn.Conv2d(inside, outside, conv.kernel_size, conv.stride, conv.padding, bias=False)
    block.bn = nn.BatchNorm2d(outside, eps=block.bn.eps)
