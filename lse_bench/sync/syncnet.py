"""SyncNet, the two-tower network behind LSE-D and LSE-C, and its fast inference form.

Chung & Zisserman, "Out of time: automated lip sync in the wild" (2016). `SyncNet` has the entry
names and shapes of the published `syncnet_v2.model`; `FastSyncNet` computes the same function
from the same state dict in less time.

Inputs: *lip* five consecutive frames, BGR, 0-255, 224x224; *sound* 13 MFCC by 20 columns (0.2 s).
Output: one embedding for each window and tower, not normalised; 1024 numbers as published. A narrower network
(`SyncNet.narrowed`) has a narrower embedding in proportion: its last layer reads fewer features, so more numbers would
only repeat them. Distances depend on the width and are never compared between networks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.devices import exactly, loading
from lse_bench.errors import WeightsError
from lse_bench.weights.readers import kind_of, read_torch

FRAME_SIZE = 224
WINDOW_FRAMES = 5
WINDOW_COLUMNS = 20  # MFCC columns, 10 ms each
HIDDEN, EMBEDDING = 512, 1024
_ADVICE = (
    "LSE-D and LSE-C are defined with Chung & Zisserman's SyncNet, syncnet_v2.model (54,573,114 bytes), from "
    "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model"
)
WIDTHS_SOUND = (64, 192, 384, 256, 256, 512)
WIDTHS_LIP = (96, 256, 256, 256, 256, 512)


def _convolution(kind: type[nn.Module], norm: type[nn.Module], *args, **kwargs) -> list[nn.Module]:  # type: ignore[no-untyped-def]
    return [kind(*args, **kwargs), norm(args[1]), nn.ReLU(inplace=True)]


def _sound_tower(widths: tuple[int, ...]) -> nn.Sequential:
    def conv(i: int, o: int, kernel: int | tuple[int, int], padding: int) -> list[nn.Module]:
        return _convolution(nn.Conv2d, nn.BatchNorm2d, i, o, kernel, padding=padding)

    a, b, c, d, e, f = widths
    return nn.Sequential(
        *conv(1, a, 3, 1),
        nn.MaxPool2d(1, 1),  # does nothing; it holds index 3 of the published names
        *conv(a, b, 3, 1),
        nn.MaxPool2d(3, (1, 2)),
        *conv(b, c, 3, 1),
        *conv(c, d, 3, 1),
        *conv(d, e, 3, 1),
        nn.MaxPool2d(3, (2, 2)),
        *conv(e, f, (5, 4), 0),
    )


def _lip_tower(widths: tuple[int, ...]) -> nn.Sequential:
    def conv(i: int, o: int, kernel: tuple[int, int, int], stride: int, padding: int) -> list[nn.Module]:
        return _convolution(
            nn.Conv3d, nn.BatchNorm3d, i, o, kernel, stride=(1, stride, stride), padding=(0, padding, padding)
        )

    a, b, c, d, e, f = widths
    return nn.Sequential(
        *conv(3, a, (WINDOW_FRAMES, 7, 7), 2, 0),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
        *conv(a, b, (1, 5, 5), 2, 1),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        *conv(b, c, (1, 3, 3), 1, 1),
        *conv(c, d, (1, 3, 3), 1, 1),
        *conv(d, e, (1, 3, 3), 1, 1),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
        *conv(e, f, (1, 6, 6), 1, 0),
    )


def _head(width: int, hidden: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, embedding)
    )


class SyncNet(nn.Module):
    """The network as published: 3-D convolutions over five frames, BatchNorm after each.

    Use it to train, to hold weights and as the reference; `FastSyncNet` is for scoring.
    """

    def __init__(
        self,
        widths_sound: tuple[int, ...] = WIDTHS_SOUND,
        widths_lip: tuple[int, ...] = WIDTHS_LIP,
        hidden: int = HIDDEN,
        embedding: int = EMBEDDING,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.netcnnaud = _sound_tower(widths_sound)
        self.netfcaud = _head(widths_sound[-1], hidden, embedding)
        self.netfclip = _head(widths_lip[-1], hidden, embedding)
        self.netcnnlip = _lip_tower(widths_lip)

    @classmethod
    def narrowed(cls, factor: float) -> SyncNet:
        """The published architecture, every width times `factor` (rounded, 8 at least), the embedding's included."""

        def scaled(width: int) -> int:
            return max(8, round(width * factor))

        widths_sound, widths_lip = (tuple(scaled(width) for width in w) for w in (WIDTHS_SOUND, WIDTHS_LIP))
        return cls(widths_sound, widths_lip, scaled(HIDDEN), scaled(EMBEDDING))

    def sound(self, mfcc: Tensor) -> Tensor:
        """Embeddings (N,D) of `mfcc` (N,1,13,20)."""
        embedding: Tensor = self.netfcaud(self.netcnnaud(mfcc).flatten(1))
        return embedding

    def lip(self, frames: Tensor) -> Tensor:
        """Embeddings (N,D) of `frames` (N,3,5,224,224), BGR, 0-255."""
        embedding: Tensor = self.netfclip(self.netcnnlip(frames).flatten(1))
        return embedding

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> SyncNet:
        """The network that `state` belongs to, its widths read from the shapes, in evaluation mode.

        Raises KeyError or RuntimeError when entries are missing or do not fit; `load_syncnet` words that for users.
        """
        indices = (0, 4, 8, 11, 14, 18)
        widths_sound = tuple(state[f"netcnnaud.{i}.weight"].shape[0] for i in indices)
        widths_lip = tuple(state[f"netcnnlip.{i}.weight"].shape[0] for i in indices)
        embedding, hidden = state["netfclip.3.weight"].shape
        network = cls(widths_sound, widths_lip, hidden, embedding)
        network.load_state_dict(dict(state))
        return network.eval()


@loading()
def load_syncnet(path: Path | str) -> SyncNet:
    """SyncNet with the weights in `path`, in evaluation mode.

    Raises WeightsError when the file is missing, unsafe, damaged or holds another network.
    """
    path = Path(path)
    if not path.exists():
        raise WeightsError(f"{path}: no such file. {_ADVICE}")
    state = read_torch(path)
    if "netcnnlip.0.weight" not in state:
        raise WeightsError(f"{path}: this is {kind_of(state)}, not SyncNet. {_ADVICE}")
    try:
        return SyncNet.from_state(state)
    except KeyError as error:
        raise WeightsError(f"{path}: a SyncNet checkpoint without the entry {error}. {_ADVICE}") from None
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path}: SyncNet's entries do not fit together: {detail}") from None


class FastSyncNet:
    """The same function in the fastest exact form: BatchNorm folded, 2-D convolutions, channels last.

    The first 3-D convolution spans all five frames, so it is a 2-D one over 15 channels. ReLU comes after pooling,
    which gives the same values on fewer of them. Convolutions always see a *tile* of the same number of windows,
    because kernels for other sizes round differently: so a window's embedding depends neither on the batch size nor
    on its neighbours. Against `SyncNet` embeddings move by some 1e-5 (float32 rounding).
    """

    TILE: ClassVar = {"cpu": 8, "cuda": 64}  # windows; the fastest size on a CPU, a well filled one on a GPU

    @exactly()
    def __init__(self, network: SyncNet, device: str = "cpu", precision: str = "fp32") -> None:
        self.device = torch.device(device)
        self.tile = self.TILE.get(self.device.type, 8)
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        with torch.no_grad():
            self._sound = self._folded(network.netcnnaud)
            self._lip = self._folded(network.netcnnlip)
        # The heads cost a thousandth of the whole; in float64 they add no rounding of their own.
        self._sound_head = copy.deepcopy(network.netfcaud).to(self.device, torch.float64).eval()
        self._lip_head = copy.deepcopy(network.netfclip).to(self.device, torch.float64).eval()
        self.dimensions = network.embedding

    def _folded(self, tower: nn.Sequential) -> list[tuple[Tensor, Tensor]]:
        layers = []
        for conv, norm in zip(tower, list(tower)[1:], strict=False):
            if not isinstance(conv, nn.Conv2d | nn.Conv3d):
                continue
            assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d) and conv.bias is not None
            assert norm.running_mean is not None and norm.running_var is not None
            scale = (norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)).cpu()
            weight = conv.weight.double().cpu() * scale.reshape(-1, *[1] * (conv.weight.ndim - 1))
            bias = (conv.bias.cpu() - norm.running_mean.cpu()) * scale + norm.bias.cpu()
            if weight.ndim == 5:  # (out, in, time, y, x): frames become channels, frame by frame
                weight = weight.transpose(1, 2).flatten(1, 2)
            weight, bias = weight.to(self.device, self.dtype), bias.to(self.device, self.dtype)
            layers.append((weight.contiguous(memory_format=torch.channels_last), bias))
        return layers

    def empty_lips(self, windows: int) -> Tensor:
        """A zeroed input for `lip`: (windows,15,224,224), channels last, on the network's device."""
        shape = (windows, 3 * WINDOW_FRAMES, FRAME_SIZE, FRAME_SIZE)
        return torch.zeros(shape, device=self.device, dtype=self.dtype).to(memory_format=torch.channels_last)

    @exactly()
    @torch.inference_mode()
    def lip(self, windows: Tensor) -> Tensor:
        """Embeddings (N,D), float64 on the CPU, of `windows` (N,15,224,224): five BGR frames, 0-255."""
        return self._tiled(windows, self._lip_tile)

    @exactly()
    @torch.inference_mode()
    def sound(self, windows: Tensor) -> Tensor:
        """Embeddings (N,D), float64 on the CPU, of MFCC `windows` (N,1,13,20)."""
        return self._tiled(windows, self._sound_tile)

    def _tiled(self, windows: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        parts = []
        for start in range(0, len(windows), self.tile):
            tile = windows[start : start + self.tile].to(self.device, self.dtype)
            count = len(tile)
            if count < self.tile:
                tile = torch.cat([tile, tile.new_zeros(self.tile - count, *tile.shape[1:])])
            parts.append(network(tile.contiguous(memory_format=torch.channels_last))[:count])
        return torch.cat(parts).cpu()

    def _lip_tile(self, x: Tensor) -> Tensor:
        first, second, third, fourth, fifth, last = self._lip
        x = F.relu_(F.max_pool2d(F.conv2d(x, *first, stride=2), 3, 2))
        x = F.relu_(F.max_pool2d(F.conv2d(x, *second, stride=2, padding=1), 3, 2, 1))
        x = F.relu_(F.conv2d(x, *third, padding=1))
        x = F.relu_(F.conv2d(x, *fourth, padding=1))
        x = F.relu_(F.max_pool2d(F.conv2d(x, *fifth, padding=1), 3, 2))
        x = F.relu_(F.conv2d(x, *last))
        embedding: Tensor = self._lip_head(x.flatten(1).double())
        return embedding

    def _sound_tile(self, x: Tensor) -> Tensor:
        first, second, third, fourth, fifth, last = self._sound
        x = F.relu_(F.conv2d(x, *first, padding=1))
        x = F.relu_(F.max_pool2d(F.conv2d(x, *second, padding=1), 3, (1, 2)))
        x = F.relu_(F.conv2d(x, *third, padding=1))
        x = F.relu_(F.conv2d(x, *fourth, padding=1))
        x = F.relu_(F.max_pool2d(F.conv2d(x, *fifth, padding=1), 3, 2))
        x = F.relu_(F.conv2d(x, *last))
        embedding: Tensor = self._sound_head(x.flatten(1).double())
        return embedding
