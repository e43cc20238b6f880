"""SyncNet, the two-tower network behind LSE-D and LSE-C, and its fast inference form.

Chung & Zisserman, "Out of time: automated lip sync in the wild" (2016). `SyncNet` has the entry
names and shapes of the published `syncnet_v2.model`; `FastSyncNet` computes the same function
from the same state dict in less time.

Inputs: *lip* five consecutive frames, BGR, 0-255, 224x224; *sound* 13 MFCC by 20 columns (0.2 s).
Output: one embedding of 1024 numbers for each window and tower, not normalised.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAME_SIZE = 224
WINDOW_FRAMES = 5
WINDOW_COLUMNS = 20  # MFCC columns, 10 ms each
COEFFICIENTS = 13
EMBEDDING = 1024
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


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 512), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Linear(512, EMBEDDING))


class SyncNet(nn.Module):
    """The network as published: 3-D convolutions over five frames, BatchNorm after each.

    Use it to train, to hold weights and as the reference; `FastSyncNet` is for scoring.
    """

    def __init__(
        self, widths_sound: tuple[int, ...] = WIDTHS_SOUND, widths_lip: tuple[int, ...] = WIDTHS_LIP
    ) -> None:
        super().__init__()
        self.netcnnaud = _sound_tower(widths_sound)
        self.netfcaud = _head(widths_sound[-1])
        self.netfclip = _head(widths_lip[-1])
        self.netcnnlip = _lip_tower(widths_lip)

    def sound(self, mfcc: Tensor) -> Tensor:
        """Embeddings (N,1024) of `mfcc` (N,1,13,20)."""
        embedding: Tensor = self.netfcaud(self.netcnnaud(mfcc).flatten(1))
        return embedding

    def lip(self, frames: Tensor) -> Tensor:
        """Embeddings (N,1024) of `frames` (N,3,5,224,224), BGR, 0-255."""
        embedding: Tensor = self.netfclip(self.netcnnlip(frames).flatten(1))
        return embedding
