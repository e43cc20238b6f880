"""I3D, whose features FVD compares: Inception inflated into time, trained on Kinetics-400.

Carreira and Zisserman, "Quo Vadis, Action Recognition?" (2017). FVD (Unterthiner and others, 2018) takes its 400
logits. Convolutions and pools are padded as TensorFlow's `SAME`, with which the weights were trained. The input is 16
RGB frames, uint8, and the output float32 features.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.devices import exactly, loading
from lse_bench.errors import WeightsError
from lse_bench.weights.readers import kind_of, read_torch

FRAMES = 16  # of one feature
DIMENSIONS = 400
INPUT_SIZE = 224
_EPSILON = 1e-3  # of the normalisation, as TensorFlow's
# The output channels of each block: one for each of the four branches, and what is before it in the second and third.
_BLOCKS = {
    "3b": (64, (96, 128), (16, 32), 32),
    "3c": (128, (128, 192), (32, 96), 64),
    "4b": (192, (96, 208), (16, 48), 64),
    "4c": (160, (112, 224), (24, 64), 64),
    "4d": (128, (128, 256), (24, 64), 64),
    "4e": (112, (144, 288), (32, 64), 64),
    "4f": (256, (160, 320), (32, 128), 128),
    "5b": (256, (160, 320), (32, 128), 128),
    "5c": (384, (192, 384), (48, 128), 128),
}


class I3dNetwork(nn.Sequential):
    """The network. It returns the logits (N,400) of videos (N,3,T,224,224) from -1 to 1, T >= 16: means over time."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [
            _Unit(3, 64, 7, 2),
            _Pool((1, 3, 3), (1, 2, 2)),
            _Unit(64, 64, 1),
            _Unit(64, 192, 3),
            _Pool((1, 3, 3), (1, 2, 2)),
        ]
        channels = 192
        for name, widths in _BLOCKS.items():
            if name == "4b":
                layers.append(_Pool((3, 3, 3), (2, 2, 2)))
            if name == "5b":
                layers.append(_Pool((2, 2, 2), (2, 2, 2)))
            layers.append(_Block(channels, *widths))
            channels = widths[0] + widths[1][1] + widths[2][1] + widths[3]
        super().__init__(*layers, nn.AvgPool3d((2, 7, 7), stride=1), nn.Conv3d(channels, DIMENSIONS, 1), _Mean())


class _Unit(nn.Module):
    """A convolution, its normalisation, and a ReLU."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv = nn.Conv3d(inside, outside, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outside, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(_same(x, self.kernel, self.stride))))


class _Pool(nn.Module):
    """The maximum. It follows a ReLU, so that zeros around the video never win."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(_same(x, self.kernel, self.stride), self.kernel, self.stride)


class _Mean(nn.Module):
    """The mean over time and place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3, 4))


class _Block(nn.Module):
    """Four branches side by side: 1x1x1, two of 3x3x3, and a pool."""

    def __init__(self, inside: int, one: int, two: tuple[int, int], three: tuple[int, int], four: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _Unit(inside, one, 1),
                nn.Sequential(_Unit(inside, two[0], 1), _Unit(two[0], two[1], 3)),
                nn.Sequential(_Unit(inside, three[0], 1), _Unit(three[0], three[1], 3)),
                nn.Sequential(_Pool((3, 3, 3), (1, 1, 1)), _Unit(inside, four, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Return x (N,C,T,H,W) with zeros around it as TensorFlow's `SAME` adds them: the odd one behind."""
    pads: list[int] = []
    for size, long, step in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        needed = max((-(-size // step) - 1) * step + long - size, 0)
        pads += [needed // 2, needed - needed // 2]
    return F.pad(x, pads) if any(pads) else x


class I3d:
    """I3D, which computes the features of pieces of video."""

    dimensions = DIMENSIONS

    @loading()
    def __init__(self, state: Mapping[str, Tensor], device: str = "cpu") -> None:
        """Build the network from a state dict of I3D for RGB.

        Entries with the names of `I3dNetwork` are taken by name. The known files name their layers in other ways and
        list them in the same order, so their entries are taken in order. Each must have the right shape. The last
        layer, which some list first, is told by its bias. Raises WeightsError if entries are missing or have another
        shape.
        """
        self.device = torch.device(device)
        network = I3dNetwork()
        network.load_state_dict(_renamed(state, network.state_dict()))
        self.network: nn.Module = network.eval().requires_grad_(False).to(self.device)

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> I3d:
        """Load the network from a file: a state dict, or TorchScript, of which only the state dict is read.

        Raises WeightsError if the file is unsafe, damaged or of another network.
        """
        state = read_torch(path)
        try:
            return cls(state, device)
        except WeightsError as error:
            raise WeightsError(f"{path}: this is {kind_of(state)}, not I3D for RGB ({error})") from None

    @exactly()
    @torch.inference_mode()
    def features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features (400,), float32, of RGB `frames` (16,H,W,3), uint8.

        Frames are resized to 224 x 224, bilinear, without a filter before it, as the scripts around this file do.
        """
        x = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float()
        x = F.interpolate(x, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        video = (x / 127.5 - 1).transpose(0, 1)[None]
        found: NDArray[np.float32] = self.network(video)[0].cpu().numpy()
        return found


def _renamed(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries under the names `wanted`. Raises WeightsError if they do not fit."""
    places = [name for name in wanted if not name.endswith("num_batches_tracked")]
    given = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    names = places if set(given) == set(places) else _in_order(given)
    if len(names) != len(places):
        raise WeightsError(f"{len(names)} entries in place of {len(places)}")
    found = dict(wanted)
    for place, name in zip(places, names, strict=True):
        value = given.get(name)
        if value is None or value.shape != wanted[place].shape:
            have = "nothing" if value is None else str(tuple(value.shape))
            raise WeightsError(f"{name} is {have} in place of {tuple(wanted[place].shape)}")
        found[place] = value
    return found


def _in_order(given: Mapping[str, Tensor]) -> list[str]:
    """Return the names of entries, those of the last layer last. Raises WeightsError if no layer can be the last."""
    biases = [name for name, value in given.items() if name.endswith("bias") and tuple(value.shape) == (DIMENSIONS,)]
    if not biases:
        raise WeightsError(f"no layer of {DIMENSIONS} classes")
    last = biases[0].removesuffix("bias")
    return [name for name in given if not name.startswith(last)] + [f"{last}weight", f"{last}bias"]
