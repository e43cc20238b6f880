"""The precision of training: which is faster here, and values that are not narrowed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Precision = Literal["fp32", "bf16", "fp16"]
Asked = Literal["auto", "fp32", "bf16", "fp16"]  # `auto`: see `choose_precision`

# A convolution like those in the middle of a generator: (batch, channels, side), kernel 3.
_SHAPE, _KERNEL = (8, 64, 32), 3
_ROUNDS = 8  # the shortest counts, so that another program's turn decides nothing
_GAIN = 0.9  # bfloat16 must be at least a tenth faster, since it is narrower


@dataclass(frozen=True, slots=True)
class Choice:
    """A precision and the reason for it, in words."""

    precision: Precision
    reason: str


def widened(x: Tensor) -> Tensor:
    """float32 of half-precision values; what is float32 or float64 stays."""
    return x if x.dtype == torch.float64 else x.float()


def choose_precision(device: str, processes: int = 1) -> Choice:
    """bfloat16 where the device computes it faster than float32, else float32.

    A processor is asked by timing one convolution, forward and backward. A GPU is asked whether it has bfloat16 units.
    Several processes on processors take float32, since each could find another answer.
    """
    if torch.device(device).type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice("bf16", "this GPU computes bf16")
        return Choice("fp32", "this GPU has no bf16")
    if processes > 1:
        return Choice("fp32", "several processes need one answer, so none is asked; --precision bf16 chooses bf16")
    single, half = seconds_of_convolution("fp32"), seconds_of_convolution("bf16")
    times = f"a convolution takes {half * 1e3:.1f} ms in bf16, {single * 1e3:.1f} ms in fp32"
    return Choice("bf16" if half < _GAIN * single else "fp32", times)


def seconds_of_convolution(precision: Literal["fp32", "bf16"]) -> float:
    """The shortest of a few times of one convolution on one core of this processor, forward and backward.

    On one core, since threads that wait for each other on a busy machine take many times as long in either precision.
    """
    batch, channels, side = _SHAPE
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x = torch.ones(batch, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.full((channels, channels, _KERNEL, _KERNEL), 1e-2, requires_grad=True)
    times = []
    for _ in range(_ROUNDS + 1):  # the first is to warm up
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            y = F.conv2d(x, weight, padding=_KERNEL // 2)
        torch.autograd.grad(y.sum(), (x, weight))
        times.append(time.perf_counter() - began)
    torch.set_num_threads(threads)
    return min(times[1:])
