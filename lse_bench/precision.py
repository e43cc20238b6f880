"""The precision of training: the choice of the faster one on this device, and the conversion to float32."""

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
_ROUNDS = 8  # the shortest time counts, so that other running programs do not decide the result
_GAIN = 0.9  # bfloat16 must take less than 0.9 of the time, since it is less precise


@dataclass(frozen=True, slots=True)
class Choice:
    """A precision and the reason for its choice, as text."""

    precision: Precision
    reason: str


def widened(x: Tensor) -> Tensor:
    """Return half-precision values as float32. float32 and float64 values do not change."""
    return x if x.dtype == torch.float64 else x.float()


def choose_precision(device: str, processes: int = 1) -> Choice:
    """Choose bfloat16 if the device computes it faster than float32, else float32.

    `device`: a torch device. `processes`: the number of training processes. On a CPU the function times one
    convolution, forward and backward. A GPU gets bfloat16 if it has the hardware for it. Several processes on CPUs get
    float32, since their times could lead to different choices.
    """
    if torch.device(device).type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice("bf16", "this GPU computes bf16")
        return Choice("fp32", "this GPU has no bf16")
    if processes > 1:
        return Choice("fp32", "several processes need one precision, so none is timed; --precision bf16 chooses bf16")
    single, half = seconds_of_convolution("fp32"), seconds_of_convolution("bf16")
    times = f"a convolution takes {half * 1e3:.1f} ms in bf16, {single * 1e3:.1f} ms in fp32"
    return Choice("bf16" if half < _GAIN * single else "fp32", times)


def seconds_of_convolution(precision: Literal["fp32", "bf16"]) -> float:
    """Return the shortest of several times, in seconds, of one convolution on one CPU core, forward and backward.

    It uses one core. On a busy machine threads wait for each other, and either precision takes many times as long.
    """
    batch, channels, side = _SHAPE
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x = torch.ones(batch, channels, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.full((channels, channels, _KERNEL, _KERNEL), 1e-2, requires_grad=True)
    times = []
    for _ in range(_ROUNDS + 1):  # the first round is a warm-up
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            y = F.conv2d(x, weight, padding=_KERNEL // 2)
        torch.autograd.grad(y.sum(), (x, weight))
        times.append(time.perf_counter() - began)
    torch.set_num_threads(threads)
    return min(times[1:])
