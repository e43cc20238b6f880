"""Inception v3 as FID defines it, in a fast exact form.

The function is that of pytorch-fid (pool3, 2048 numbers): TensorFlow's network of 2015-12-05, which averages without
its padding and ends in a block with a max pool. Weights: `pt_inception-2015-12-05-6726825d.pth`. BatchNorm is folded
into the convolutions, branches that read the same input share one 1x1 convolution, memory is channels-last and batches
are small, which a CPU prefers. Input: RGB frames, uint8; output: float32 features.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lse_bench.devices import exactly
from lse_bench.errors import UsageError, WeightsError
from lse_bench.weights.readers import kind_of, read_torch

FEATURES = 2048
INPUT_SIZE = 299
_BN_EPS = 0.001
RESIZES = ("bilinear", "antialias")  # as pytorch-fid; with a low-pass filter, for frames larger than 299


class FidInception:
    """Features of frames from a state dict with pytorch-fid's entry names."""

    TILE: ClassVar = {"cpu": 8, "cuda": 64}  # frames at a time

    @exactly()
    def __init__(self, state: Mapping[str, Tensor], device: str = "cpu") -> None:
        """Raises WeightsError when entries are missing."""
        self.device = torch.device(device)
        self.tile = self.TILE.get(self.device.type, 8)
        self._layers: dict[str, tuple[Tensor, Tensor]] = {}
        self._widths: dict[str, list[int]] = {}  # of joined branches
        names = sorted({name.rsplit(".conv.", 1)[0] for name in state if name.endswith(".conv.weight")})
        try:
            for name in names:
                self._layers[name] = self._folded(state, name)
            for block in ("5b", "5c", "5d"):
                self._join(f"Mixed_{block}", ("branch1x1", "branch5x5_1", "branch3x3dbl_1"))
            for block in ("6b", "6c", "6d", "6e"):
                self._join(f"Mixed_{block}", ("branch1x1", "branch7x7_1", "branch7x7dbl_1"))
            self._join("Mixed_7a", ("branch3x3_1", "branch7x7x3_1"))
            for block in ("7b", "7c"):
                self._join(f"Mixed_{block}", ("branch1x1", "branch3x3_1", "branch3x3dbl_1"))
            with torch.inference_mode():
                self._network(torch.zeros(1, 3, 75, 75, device=self.device))
        except KeyError as error:
            raise WeightsError(f"Inception weights without the entry {error}") from None
        except RuntimeError as error:
            raise WeightsError(f"Inception's entries do not fit together: {' '.join(str(error).split())}") from None

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> FidInception:
        """From a checkpoint file. Raises WeightsError when it is unsafe, damaged or of another network."""
        state = read_torch(path)
        if "Conv2d_1a_3x3.conv.weight" not in state:
            raise WeightsError(f"{path}: this is {kind_of(state)}, not the Inception network of FID")
        return cls(state, device)

    @exactly()
    @torch.inference_mode()
    def features(self, frames: NDArray[np.uint8], resize: str = "bilinear") -> NDArray[np.float32]:
        """Features (N,2048), float32, of RGB `frames` (N,H,W,3), uint8. Raises UsageError for an unknown `resize`."""
        if resize not in RESIZES:
            raise UsageError(f"no resize called {resize}; there are: {', '.join(RESIZES)}")
        parts = []
        for start in range(0, len(frames), self.tile):
            x = torch.from_numpy(frames[start : start + self.tile]).to(self.device)
            x = x.permute(0, 3, 1, 2).float() / 255
            x = F.interpolate(
                x, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False, antialias=resize == "antialias"
            )
            x = (2 * x - 1).contiguous(memory_format=torch.channels_last)
            parts.append(self._network(x).cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, FEATURES), np.float32)

    def _folded(self, state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
        weight = state[f"{name}.conv.weight"].double()
        scale = state[f"{name}.bn.weight"].double() / torch.sqrt(state[f"{name}.bn.running_var"].double() + _BN_EPS)
        bias = state[f"{name}.bn.bias"].double() - state[f"{name}.bn.running_mean"].double() * scale
        weight = (weight * scale[:, None, None, None]).float().to(self.device)
        return weight.contiguous(memory_format=torch.channels_last), bias.float().to(self.device)

    def _join(self, block: str, branches: tuple[str, ...]) -> None:
        """Put 1x1 convolutions of one input side by side; the first name then stands for all of them."""
        parts = [self._layers.pop(f"{block}.{branch}") for branch in branches]
        weight = torch.cat([weight for weight, _ in parts]).contiguous(memory_format=torch.channels_last)
        self._layers[f"{block}.joined"] = (weight, torch.cat([bias for _, bias in parts]))
        self._widths[block] = [len(bias) for _, bias in parts]

    def _conv(self, x: Tensor, name: str, stride: int = 1, padding: int | tuple[int, int] = 0) -> Tensor:
        weight, bias = self._layers[name]
        return F.relu_(F.conv2d(x, weight, bias, stride=stride, padding=padding))

    def _split(self, x: Tensor, block: str) -> tuple[Tensor, ...]:
        return torch.split(self._conv(x, f"{block}.joined"), self._widths[block], dim=1)

    def _network(self, x: Tensor) -> Tensor:
        x = self._conv(x, "Conv2d_1a_3x3", 2)
        x = self._conv(x, "Conv2d_2a_3x3")
        x = F.max_pool2d(self._conv(x, "Conv2d_2b_3x3", padding=1), 3, 2)
        x = self._conv(x, "Conv2d_3b_1x1")
        x = F.max_pool2d(self._conv(x, "Conv2d_4a_3x3"), 3, 2)
        for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self._block_a(x, block)
        x = self._reduce_b(x, "Mixed_6a")
        for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self._block_c(x, block)
        x = self._reduce_d(x, "Mixed_7a")
        x = self._block_e(x, "Mixed_7b", average=True)
        x = self._block_e(x, "Mixed_7c", average=False)
        return x.mean(dim=(2, 3))

    def _pooled(self, x: Tensor, block: str) -> Tensor:
        """The average of what lies inside the picture, then a 1x1 convolution."""
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return self._conv(x, f"{block}.branch_pool")

    def _block_a(self, x: Tensor, block: str) -> Tensor:
        single, five, three = self._split(x, block)
        five = self._conv(five, f"{block}.branch5x5_2", padding=2)
        three = self._conv(three, f"{block}.branch3x3dbl_2", padding=1)
        three = self._conv(three, f"{block}.branch3x3dbl_3", padding=1)
        return torch.cat([single, five, three, self._pooled(x, block)], 1)

    def _reduce_b(self, x: Tensor, block: str) -> Tensor:
        three = self._conv(x, f"{block}.branch3x3", 2)
        double = self._conv(x, f"{block}.branch3x3dbl_1")
        double = self._conv(double, f"{block}.branch3x3dbl_2", padding=1)
        double = self._conv(double, f"{block}.branch3x3dbl_3", 2)
        return torch.cat([three, double, F.max_pool2d(x, 3, 2)], 1)

    def _block_c(self, x: Tensor, block: str) -> Tensor:
        single, seven, double = self._split(x, block)
        seven = self._conv(seven, f"{block}.branch7x7_2", padding=(0, 3))
        seven = self._conv(seven, f"{block}.branch7x7_3", padding=(3, 0))
        for step, padding in ((2, (3, 0)), (3, (0, 3)), (4, (3, 0)), (5, (0, 3))):
            double = self._conv(double, f"{block}.branch7x7dbl_{step}", padding=padding)
        return torch.cat([single, seven, double, self._pooled(x, block)], 1)

    def _reduce_d(self, x: Tensor, block: str) -> Tensor:
        three, seven = self._split(x, block)
        three = self._conv(three, f"{block}.branch3x3_2", 2)
        seven = self._conv(seven, f"{block}.branch7x7x3_2", padding=(0, 3))
        seven = self._conv(seven, f"{block}.branch7x7x3_3", padding=(3, 0))
        seven = self._conv(seven, f"{block}.branch7x7x3_4", 2)
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)

    def _block_e(self, x: Tensor, block: str, average: bool) -> Tensor:
        single, three, double = self._split(x, block)
        double = self._conv(double, f"{block}.branch3x3dbl_2", padding=1)
        wide = [
            self._conv(three, f"{block}.branch3x3_2{side}", padding=pad) for side, pad in (("a", (0, 1)), ("b", (1, 0)))
        ]
        deep = [
            self._conv(double, f"{block}.branch3x3dbl_3{side}", padding=pad)
            for side, pad in (("a", (0, 1)), ("b", (1, 0)))
        ]
        # The last block of the FID network takes the maximum instead of the average.
        pooled = self._pooled(x, block) if average else self._conv(F.max_pool2d(x, 3, 1, 1), f"{block}.branch_pool")
        return torch.cat([single, *wide, *deep, pooled], 1)
