"""SyncNet, the two-tower network that LSE-D and LSE-C are computed with, and its fast inference form.

The paper is Chung & Zisserman, "Out of time: automated lip sync in the wild" (2016). `SyncNet` has the entry names and
shapes of the published `syncnet_v2.model`. `FastSyncNet` computes the same function from the same weights in less time.

The lip tower takes five consecutive frames, BGR, 0-255, 224x224. The sound tower takes 13 MFCC by 20 columns (0.2 s).
Each tower gives one embedding for each window, which is not normalised. The published network gives 1024 numbers. A
narrower network (`SyncNet.narrowed`) has a narrower embedding in proportion: its last layer reads fewer features, so
more numbers would be redundant. Distances depend on the width. Do not compare them between networks.
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
    "LSE-D and LSE-C need Chung & Zisserman's SyncNet, syncnet_v2.model (54,573,114 bytes), from "
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
        nn.MaxPool2d(1, 1),  # no effect; it takes index 3, so that the entry names are the published ones
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
    """The network as published: 3-D convolutions over five frames, with BatchNorm after each convolution.

    Use it to train, to load weights and as the reference. Use `FastSyncNet` to score.
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
        """Return the published architecture with every width times `factor`, rounded and at least 8.

        The width of the embedding is scaled too.
        """

        def scaled(width: int) -> int:
            return max(8, round(width * factor))

        widths_sound, widths_lip = (tuple(scaled(width) for width in w) for w in (WIDTHS_SOUND, WIDTHS_LIP))
        return cls(widths_sound, widths_lip, scaled(HIDDEN), scaled(EMBEDDING))

    def sound(self, mfcc: Tensor) -> Tensor:
        """Return the embeddings (N,D) of `mfcc` (N,1,13,20)."""
        embedding: Tensor = self.netfcaud(self.netcnnaud(mfcc).flatten(1))
        return embedding

    def lip(self, frames: Tensor) -> Tensor:
        """Return the embeddings (N,D) of `frames` (N,3,5,224,224), BGR, 0-255."""
        embedding: Tensor = self.netfclip(self.netcnnlip(frames).flatten(1))
        return embedding

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> SyncNet:
        """Return the network with the weights `state`, in evaluation mode. The shapes give its widths.

        Raises KeyError if an entry is missing and RuntimeError if entries do not fit. `load_syncnet` turns both into
        messages for users.
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
    """Return SyncNet with the weights in `path`, in evaluation mode.

    Raises WeightsError if the file is missing, unsafe, damaged or of another network.
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
        raise WeightsError(f"{path}: this SyncNet checkpoint lacks the entry {error}. {_ADVICE}") from None
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path}: the entries of this SyncNet do not fit together: {detail}") from None


class FastSyncNet:
    """The function of `SyncNet` in its fastest exact form: folded BatchNorm, 2-D convolutions, channels last.

    The first 3-D convolution spans all five frames, so it equals a 2-D one over 15 channels. ReLU follows the pooling,
    which gives the same values with less work. Convolutions always process a *tile* of a fixed number of windows,
    because kernels for other sizes round differently. A window's embedding therefore depends neither on the batch size
    nor on the other windows. Embeddings differ from those of `SyncNet` by about 1e-5 (float32 rounding).

    `device`: a torch device. `precision`: `fp32` or `bf16`, the type of the convolutions.
    """

    TILE: ClassVar = {"cpu": 16, "cuda": 64}  # windows: the fastest size on a CPU, and one that fills a GPU well
    _FRONT: ClassVar = {"cpu": 2}  # windows whose first layer stays in a processor's cache; elsewhere the whole tile

    @exactly()
    def __init__(self, network: SyncNet, device: str = "cpu", precision: str = "fp32") -> None:
        self.device = torch.device(device)
        self.tile = self.TILE.get(self.device.type, 8)
        self._front = self._FRONT.get(self.device.type, self.tile)
        self.dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        with torch.no_grad():
            self._sound = self._folded(network.netcnnaud)
            self._lip = self._folded(network.netcnnlip)
        # The heads take a thousandth of the time. In float64 they add no rounding error.
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
        """Return zeros as an input of `lip`: (windows,15,224,224), uint8, channels last, on the network's device."""
        shape = (windows, 3 * WINDOW_FRAMES, FRAME_SIZE, FRAME_SIZE)
        return torch.zeros(shape, device=self.device, dtype=torch.uint8).to(memory_format=torch.channels_last)

    @exactly()
    @torch.inference_mode()
    def lip(self, windows: Tensor) -> Tensor:
        """Return the embeddings (N,D), float64 on the CPU, of `windows` (N,15,224,224): five BGR frames, 0-255.

        Windows can be of any type; uint8 takes the least time.
        """
        return self._tiled(windows, self._lip_tile)

    @exactly()
    @torch.inference_mode()
    def sound(self, windows: Tensor) -> Tensor:
        """Return the embeddings (N,D), float64 on the CPU, of `windows` (N,1,13,20): MFCC."""
        return self._tiled(windows, self._sound_tile)

    def _tiled(self, windows: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        parts = []
        for start in range(0, len(windows), self.tile):
            tile = windows[start : start + self.tile].to(self.device)
            count = len(tile)
            if count < self.tile:
                tile = torch.cat([tile, tile.new_zeros(self.tile - count, *tile.shape[1:])])
            parts.append(network(tile.contiguous(memory_format=torch.channels_last))[:count])
        return torch.cat(parts).cpu()

    def _lip_tile(self, x: Tensor) -> Tensor:
        first, second, third, fourth, fifth, last = self._lip
        # Frames are widened to floating point here, few at a time: their memory would take longer than their sums.
        pieces = (x[start : start + self._front].to(self.dtype) for start in range(0, len(x), self._front))
        x = torch.cat([F.relu_(F.max_pool2d(F.conv2d(piece, *first, stride=2), 3, 2)) for piece in pieces])
        x = F.relu_(F.max_pool2d(F.conv2d(x, *second, stride=2, padding=1), 3, 2, 1))
        x = F.relu_(F.conv2d(x, *third, padding=1))
        x = F.relu_(F.conv2d(x, *fourth, padding=1))
        x = F.relu_(F.max_pool2d(F.conv2d(x, *fifth, padding=1), 3, 2))
        x = F.relu_(F.conv2d(x, *last))
        embedding: Tensor = self._lip_head(x.flatten(1).double())
        return embedding

    def _sound_tile(self, x: Tensor) -> Tensor:
        first, second, third, fourth, fifth, last = self._sound
        x = F.relu_(F.conv2d(x.to(self.dtype), *first, padding=1))
        x = F.relu_(F.max_pool2d(F.conv2d(x, *second, padding=1), 3, (1, 2)))
        x = F.relu_(F.conv2d(x, *third, padding=1))
        x = F.relu_(F.conv2d(x, *fourth, padding=1))
        x = F.relu_(F.max_pool2d(F.conv2d(x, *fifth, padding=1), 3, 2))
        x = F.relu_(F.conv2d(x, *last))
        embedding: Tensor = self._sound_head(x.flatten(1).double())
        return embedding
