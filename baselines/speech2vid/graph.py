"""A MatConvNet graph as a torch module, with MatConvNet's own rules for padding, rounding, BatchNorm and NaN.

A NaN input makes exactly those outputs NaN whose receptive field contains it. The next ReLU changes these to 0, since
MATLAB's max(NaN, 0) is 0. Digital silence has NaN features (`features/htk_mfcc.py`) and depends on this rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.errors import WeightsError
from lse_bench.precision import widened
from lse_bench.weights.matconvnet import DagLayer, DagNet

_EPSILON = 1e-5  # of BatchNorm, if the file has none


class Convolution(nn.Conv2d):
    """A convolution with separate padding for each side. A NaN makes only those outputs NaN whose window contains it.

    `shape`: output channels, input channels of a group, height and width of the kernel. `pads`: left, right, top,
    bottom.
    """

    def __init__(
        self, shape: tuple[int, ...], pads: list[int], stride: list[int], dilation: list[int], groups: int, bias: bool
    ) -> None:
        out, wide, height, width = shape
        pair = (stride[0], stride[1])
        super().__init__(
            wide * groups, out, (height, width), pair, dilation=(dilation[0], dilation[1]), groups=groups, bias=bias
        )
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        missing = torch.isnan(x)
        if not bool(missing.any()):
            return super().forward(F.pad(x, self.pads))
        known: Tensor = super().forward(F.pad(x.masked_fill(missing, 0), self.pads))
        touched = F.pad(missing.any(1, keepdim=True).to(x.dtype), self.pads)
        window = torch.ones(1, 1, *self.kernel_size, dtype=x.dtype, device=x.device)
        spread = F.conv2d(touched, window, stride=self.stride, dilation=self.dilation) > 0
        return known.masked_fill(spread, torch.nan)


class TransposedConvolution(nn.ConvTranspose2d):
    """A transposed convolution whose output is cropped. `crops`: top, bottom, left, right.

    `shape`: input channels, output channels, height and width of the kernel.
    """

    def __init__(self, shape: tuple[int, ...], crops: list[int], stride: list[int], bias: bool) -> None:
        wide, out, height, width = shape
        super().__init__(wide, out, (height, width), (stride[0], stride[1]), bias=bias)
        self.crops = crops

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        whole: Tensor = super().forward(x)
        top, bottom, left, right = self.crops
        return whole[..., top : whole.shape[2] - bottom, left : whole.shape[3] - right]


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm whose training statistics leave out NaN. A NaN input stays NaN."""

    def forward(self, x: Tensor) -> Tensor:
        missing = torch.isnan(x)
        if not bool(missing.any()):
            return super().forward(x)
        if not self.training:
            return super().forward(x.masked_fill(missing, 0)).masked_fill(missing, torch.nan)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        values, axes = widened(x).masked_fill(missing, 0), (0, 2, 3)
        known = (~missing).to(values.dtype)
        count = known.sum(axes).clamp(min=2)
        mean = values.sum(axes) / count
        centred = (values - mean[:, None, None]) * known
        variance = centred.square().sum(axes) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normed = centred * scale[:, None, None] + self.bias[:, None, None]
        return normed.masked_fill(missing, torch.nan)


class Relu(nn.Module):
    """A ReLU that changes NaN to 0. If `leak` is not 0, it is a leaky ReLU of that slope and NaN stays NaN."""

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        if self.leak:
            return F.leaky_relu(x, self.leak)
        return torch.fmax(x, x.new_zeros(()))


class Pooling(nn.Module):
    """Average or maximum pooling. `pads`: left, right, top, bottom.

    Padded values count neither for the maximum nor for the average.
    """

    def __init__(self, kernel: list[int], stride: list[int], pads: list[int], average: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.pads, self.average = kernel, stride, pads, average

    def forward(self, x: Tensor) -> Tensor:
        if not self.average:
            return F.max_pool2d(F.pad(x, self.pads, value=-torch.inf), self.kernel, self.stride)
        inside = F.pad(torch.ones_like(x[:1, :1]), self.pads)
        return F.avg_pool2d(F.pad(x, self.pads), self.kernel, self.stride) / F.avg_pool2d(
            inside, self.kernel, self.stride
        )


class Double(nn.Module):
    """Bilinear up-sampling to twice the size, with aligned corners."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class Concatenation(nn.Module):
    """A concatenation along torch's dimension `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, self.dim)


class Graph(nn.Module):
    """The part of a DagNN that computes the variable `output`. Modules have the layers' names.

    `where`: the name of the network in messages. Raises WeightsError if no layer computes `output`, or if the kind or
    shape of a layer is not supported.
    """

    def __init__(self, net: DagNet, output: str, where: str = "the network") -> None:
        super().__init__()
        try:
            self.chain = net.ancestors(output)
        except KeyError:
            there = sorted({name for layer in net.layers for name in layer.outputs})
            raise WeightsError(f"{where}: no layer makes {output}; layers make {', '.join(there[-6:])}") from None
        self.output = output
        made = {name for layer in self.chain for name in layer.outputs}
        self.inputs = sorted({name for layer in self.chain for name in layer.inputs} - made)
        for layer in self.chain:
            try:
                self.add_module(layer.name, _module(layer, net.params))
            except (KeyError, ValueError, RuntimeError, IndexError) as error:
                raise WeightsError(f"{where}: layer {layer.name} ({layer.kind}) cannot be built: {error}") from None
        self.eval()

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the output for the variables `inputs`, by name, NCHW. A variable that is given is not computed."""
        return self.variables(inputs, (self.output,))[self.output]

    def variables(self, inputs: Mapping[str, Tensor], wanted: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the variables `wanted` by name, each layer computed once. `inputs`: as for `forward`."""
        held = dict(inputs)
        needed = set(wanted)
        steps = []
        for layer in reversed(self.chain):
            if needed & set(layer.outputs) - set(inputs):
                steps.append(layer)
                needed |= set(layer.inputs)
        uses = {name: sum(name in layer.inputs for layer in steps) for name in needed}
        for layer in reversed(steps):
            held[layer.outputs[0]] = self.get_submodule(layer.name)(*(held[name] for name in layer.inputs))
            for name in layer.inputs:
                uses[name] -= 1
                if not uses[name] and name not in wanted:
                    del held[name]  # frees the memory of a feature map
        return {name: held[name] for name in wanted}


def _module(layer: DagLayer, params: Mapping[str, Any]) -> nn.Module:
    if layer.kind == "Conv":
        return _convolution(layer, params)
    if layer.kind == "ConvTranspose":
        return _transposed(layer, params)
    if layer.kind == "BatchNorm":
        return _batch_norm(layer, params)
    if layer.kind == "ReLU":
        return Relu(float(np.ravel(layer.block.get("leak", 0.0))[0]))
    if layer.kind == "Pooling":
        method = str(np.ravel(layer.block.get("method", "max"))[0])
        if method not in ("max", "avg"):
            raise ValueError(f"the pooling method {method} is not supported")
        kernel = _pair(layer.whole("poolSize", 1))
        return Pooling(kernel, _pair(layer.whole("stride", 1)), _pads(layer), method == "avg")
    if layer.kind == "Concat":
        return Concatenation({1: 2, 2: 3, 3: 1, 4: 0}[layer.whole("dim", 3)[0]])
    if layer.kind == "Sigmoid":
        return nn.Sigmoid()
    if layer.kind == "UpSamp2":
        return Double()
    raise ValueError("this kind of layer is not supported")


def _pair(values: list[int]) -> list[int]:
    return values * 2 if len(values) == 1 else values


def _four(values: list[int]) -> list[int]:
    """Return top, bottom, left, right from one, two or four numbers."""
    if len(values) == 1:
        return values * 4
    return [values[0], values[0], values[1], values[1]] if len(values) == 2 else values


def _pads(layer: DagLayer) -> list[int]:
    top, bottom, left, right = _four(layer.whole("pad", 0))
    return [left, right, top, bottom]


def _filters(layer: DagLayer, params: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """Return filters and biases, None without any. MATLAB drops trailing sizes of 1, which are restored.

    The axes of the filters are MATLAB's fourth, third, first (height) and second (width).
    """
    values = np.asarray(params[layer.params[0]], dtype=np.float32)
    shape = layer.whole("size", list(values.shape))
    values = values.reshape(shape if len(shape) == 4 else [*values.shape, 1][:4], order="F")
    bias = torch.from_numpy(np.ravel(params[layer.params[1]]).copy()) if len(layer.params) > 1 else None
    return torch.from_numpy(np.ascontiguousarray(values.transpose(3, 2, 0, 1))), bias


def _convolution(layer: DagLayer, params: Mapping[str, Any]) -> nn.Module:
    weight, bias = _filters(layer, params)
    stride, dilation = _pair(layer.whole("stride", 1)), _pair(layer.whole("dilate", 1))
    module = Convolution(tuple(weight.shape), _pads(layer), stride, dilation, 1, bias is not None)
    _set(module, weight, bias)
    return module


def _transposed(layer: DagLayer, params: Mapping[str, Any]) -> nn.Module:
    weight, bias = _filters(layer, params)
    crops, stride = _four(layer.whole("crop", 0)), _pair(layer.whole("upsample", 1))
    module = TransposedConvolution(tuple(weight.shape), crops, stride, bias is not None)
    _set(module, weight, bias)
    return module


def _set(module: nn.Conv2d | nn.ConvTranspose2d, weight: Tensor, bias: Tensor | None) -> None:
    module.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))


def _batch_norm(layer: DagLayer, params: Mapping[str, Any]) -> nn.Module:
    scale, shift = (np.ravel(params[name]) for name in layer.params[:2])
    mean, deviation = np.asarray(params[layer.params[2]], dtype=np.float64).reshape(-1, 2).T
    epsilon = float(np.ravel(layer.block.get("epsilon", _EPSILON))[0])
    norm = BatchNorm(len(scale), epsilon)
    values = {
        "weight": scale,
        "bias": shift,
        "running_mean": mean,
        # The file stores sqrt(variance + epsilon), which may be smaller than sqrt(epsilon).
        "running_var": deviation**2 - epsilon,
    }
    state = {name: torch.from_numpy(np.asarray(value, dtype=np.float32).copy()) for name, value in values.items()}
    norm.load_state_dict(state | {"num_batches_tracked": torch.tensor(0)})
    return norm
