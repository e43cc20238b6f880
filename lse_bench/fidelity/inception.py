"""Inception v3 as FID defines it: pytorch-fid's network in a faster form.

It computes pytorch-fid's features (pool3, 2048 numbers) from pytorch-fid's blocks. This is TensorFlow's network of
2015-12-05: its average pools leave out the padding, and its last block has a max pool. The weights are
`pt_inception-2015-12-05-6726825d.pth` from our store, which checks their digest. For speed on a CPU, BatchNorm is
folded into the convolutions, the memory format is channels-last, and the batches are small. The input is RGB frames,
uint8. The output is float32 features. Weights of a narrower network of the same blocks, such as `inception-mini`, are
read too; the width follows from their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lse_bench.choices import Resize
from lse_bench.devices import exactly, loading
from lse_bench.errors import UsageError, WeightsError
from lse_bench.fidelity.inception_network import FIRST, PUBLISHED, plain_network, width_of
from lse_bench.weights.readers import kind_of, read_torch

INPUT_SIZE = 299
RESIZES: tuple[Resize, ...] = get_args(Resize)  # pytorch-fid's method; a low-pass filter for frames larger than 299


class FidInception:
    """FID's Inception network, which computes the features of frames.

    `dimensions`: D, the number of features: 2048, or fewer for a narrower network such as `inception-mini`.
    """

    TILE: ClassVar = {"cpu": 8, "cuda": 64}  # frames in one batch

    @loading()
    def __init__(self, state: Mapping[str, Tensor], device: str = "cpu") -> None:
        """Build the network from a state dict with pytorch-fid's entry names.

        Raises WeightsError if entries are missing or have another shape, and UsageError without the extra `fid`.
        """
        self.device = torch.device(device)
        self.tile = self.TILE.get(self.device.type, 8)
        try:
            width = width_of(len(state[FIRST])) if FIRST in state else 1.0
            network = plain_network(width)
            network.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
        except (RuntimeError, TypeError, ValueError) as error:
            raise WeightsError(
                f"these are not the entries of FID's Inception: {' '.join(str(error).split())[:300]}"
            ) from None
        network.eval().requires_grad_(False).double()  # folding in float64 rounds the weights only once
        for block in network.modules():
            if hasattr(block, "conv") and hasattr(block, "bn"):
                block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
        self.dimensions = int(PUBLISHED * width)
        self.network: nn.Module = network.float().to(self.device, memory_format=torch.channels_last)

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> FidInception:
        """Load the network from a checkpoint file.

        Raises WeightsError if the file is unsafe, damaged or of another network, and UsageError without the extra
        `fid`.
        """
        state = read_torch(path)
        if FIRST not in state:
            raise WeightsError(f"{path}: this is {kind_of(state)}, not the Inception network of FID")
        try:
            return cls(state, device)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from None

    @exactly()
    @torch.inference_mode()
    def features(self, frames: NDArray[np.uint8], resize: str = "bilinear") -> NDArray[np.float32]:
        """Return the features (N,D), float32, of RGB `frames` (N,H,W,3), uint8.

        `resize`: `bilinear` as in pytorch-fid, or `antialias` for a low-pass filter before downscaling.
        Raises UsageError if `resize` is unknown.
        """
        if resize not in RESIZES:
            raise UsageError(f"no resize method called {resize}. There are: {', '.join(RESIZES)}")
        parts = []
        for start in range(0, len(frames), self.tile):
            x = torch.from_numpy(frames[start : start + self.tile]).to(self.device)
            x = x.permute(0, 3, 1, 2).float() / 255
            x = F.interpolate(
                x, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False, antialias=resize == "antialias"
            )
            count = len(x)
            if count < self.tile:  # always the same number of frames, so a feature does not depend on its neighbours
                x = torch.cat([x, x.new_zeros(self.tile - count, *x.shape[1:])])
            x = (2 * x - 1).contiguous(memory_format=torch.channels_last)
            parts.append(self.network(x)[:count].cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.dimensions), np.float32)
