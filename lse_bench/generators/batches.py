"""What adapters of networks share: faces in small batches, windows of sound in step with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lse_bench.devices import compute_exactly

T = TypeVar("T")
BATCH = 8  # faces per pass: larger ones fall out of a CPU's cache, and hold more frames


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def folded(convolution: nn.Module, norm: nn.Module) -> nn.Module:
    """A convolution that does what it and the BatchNorm after it did, in evaluation mode."""
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, norm, transpose=isinstance(convolution, nn.ConvTranspose2d))


def ready(network: nn.Module, device: str) -> nn.Module:
    """For inference on `device`: channels last, no gradients."""
    compute_exactly()
    network.eval().requires_grad_(False).to(device)
    return network.to(memory_format=torch.channels_last)
