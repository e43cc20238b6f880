"""Faster inference forms of the convolutional generators. They compute the same function as the original networks.

Each BatchNorm is folded into the convolution before it. On a CPU, the convolution also does the ReLU and the residual
addition before it, and its weights are laid out once instead of at every call. This uses oneDNN's fused operators,
which torch ships for its compiler. If a build of torch lacks them, plain operators compute the same function.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


class FusedBlock(nn.Module):
    """A convolution with bias and a ReLU. `residual`: the input is added before the ReLU.

    The fused operators are used only for a plain `nn.Conv2d` on a CPU. Otherwise the block calls the convolution's own
    `forward`, so a subclass keeps its own padding rule."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d, device: str, residual: bool = False) -> None:
        super().__init__()
        self.convolution = convolution
        self.residual = residual
        # A subclass has its own padding rule, which the fused operators do not have.
        plain = type(convolution) is nn.Conv2d and device == "cpu" and _fused_operators(convolution.weight.dtype)
        self._packed = _pack(convolution) if plain and isinstance(convolution, nn.Conv2d) else None

    def forward(self, x: Tensor) -> Tensor:
        if self._packed is None:
            y: Tensor = self.convolution(x)
            return F.relu_(y.add_(x) if self.residual else y)
        c = self.convolution
        assert isinstance(c, nn.Conv2d)
        shape = (list(c.padding), list(c.stride), list(c.dilation), c.groups)
        ops = torch.ops.mkldnn
        if self.residual:
            done: Tensor = ops._convolution_pointwise.binary(
                x, x, self._packed, c.bias, *shape, "add", 1.0, "relu", [], None
            )
        else:
            done = ops._convolution_pointwise(x, self._packed, c.bias, *shape, "relu", [], "")
        return done


def _fused_operators(dtype: torch.dtype) -> bool:
    """Return whether this build of torch has the operators, and this processor has them for weights of `dtype`."""
    names = ("_convolution_pointwise", "_reorder_convolution_weight")
    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    if dtype == torch.float32:
        return True
    asked = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}.get(dtype, "")
    supported = getattr(torch.ops.mkldnn, asked, None)
    return supported is not None and bool(supported())


def _pack(c: nn.Conv2d) -> Tensor:
    weight = c.weight.detach().contiguous(memory_format=torch.channels_last)
    shape = (list(c.padding), list(c.stride), list(c.dilation), c.groups)
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, *shape)
    return packed


def folded(convolution: nn.Module, norm: nn.Module) -> nn.Conv2d | nn.ConvTranspose2d:
    """Fold an evaluation-mode BatchNorm into the convolution before it."""
    assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, norm, transpose=isinstance(convolution, nn.ConvTranspose2d))


def replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace the submodule `old` of `network` with `new`."""
    name = next(name for name, module in network.named_modules() if module is old)
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, new)


def ready(network: Network, device: str) -> Network:
    """Prepare `network` for inference on `device` and return it: evaluation mode, no gradients, channels last.

    Changes `network` in place.
    """
    network.eval().requires_grad_(False).to(device)
    return network.to(memory_format=torch.channels_last)
