"""Raise the confidence of a clip without moving its mouth, by changing pixels elsewhere a little.

It is a test of a measure. The attack knows the network and follows its gradient, as a generator does that is trained
with the scorer, or one like it, as its teacher. Every pixel outside the mouth changes by at most a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lse_bench.damage.pictures import Box, Picture, lower_face
from lse_bench.devices import exactly
from lse_bench.features.syncnet_mfcc import mfcc
from lse_bench.media.audio import Sound
from lse_bench.sync.clip_facts import windows_of
from lse_bench.sync.curve import MAX_SHIFT
from lse_bench.sync.syncnet import FRAME_SIZE, WINDOW_COLUMNS, WINDOW_FRAMES, SyncNet, load_syncnet
from lse_bench.sync.windows import COLUMNS_PER_FRAME

_NEAR = 2  # frames: shifts around 0 that are not pushed away
_CHUNK = 12  # windows in memory at a time


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack on the network that scores.

    `weights`: its file. `bound`: the most that a pixel changes, in grey levels. `passes`: how often the gradient is
    followed. `every`: each pass looks at every n-th window. `rate`: the first step, as a share of the bound; steps get
    shorter.
    """

    weights: Path
    bound: float = 12.0
    passes: int = 24
    every: int = 3
    rate: float = 0.25

    def run(self, frames: NDArray[np.uint8], sound: Sound, box: Box) -> Iterator[Picture]:
        """Yield the attacked frames.

        `frames`: (T,H,W,3), BGR. `sound`: int16, 16 kHz. `box`: the face's, whose lower half is left alone. A clip
        without a window is returned as it is. One thread works, because the attack follows the sign of sums, and other
        numbers of threads add them in another order.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            attacked = self._attacked(frames, sound, box)
        finally:
            torch.set_num_threads(threads)
        for frame in attacked:
            yield np.ascontiguousarray(frame)

    @exactly()
    def _attacked(self, frames: NDArray[np.uint8], sound: Sound, box: Box) -> NDArray[np.uint8]:
        count = windows_of(len(frames), len(sound))
        if count <= 0:
            return frames
        network = _network(self.weights)
        heard = _sounds(network, sound, count)
        clean = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
        free = torch.ones(1, 1, *clean.shape[2:])
        rows, columns = lower_face(frames[0], box)
        free[..., rows, columns] = 0
        change = torch.zeros_like(clean)
        for number in range(self.passes):
            step = self.rate * self.bound * (1 - number / self.passes)
            places = torch.arange(number % self.every, count, self.every)
            for some in torch.split(places, _CHUNK):
                gradient = _gradient(network, clean, change, some, heard)
                change -= step * gradient.sign() * free
            change.clamp_(-self.bound, self.bound)
            change.copy_((clean + change).clamp(0, 255) - clean)
        whole: NDArray[np.uint8] = (clean + change).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return whole


@lru_cache(maxsize=1)
def _network(weights: Path) -> SyncNet:
    network = load_syncnet(weights)
    return network.requires_grad_(False)


def _sounds(network: SyncNet, sound: Sound, count: int) -> Tensor:
    """Return the sound embeddings (count,D) of a clip's windows."""
    columns = torch.from_numpy(mfcc(sound).astype(np.float32)).unfold(1, WINDOW_COLUMNS, COLUMNS_PER_FRAME)
    with torch.no_grad():
        return network.sound(columns.transpose(0, 1)[:count, None])


def _gradient(network: SyncNet, clean: Tensor, change: Tensor, places: Tensor, heard: Tensor) -> Tensor:
    """Return the gradient (T,3,H,W) of the loss of some windows: their distance now against that at other times."""
    first, last = int(places[0]), int(places[-1]) + WINDOW_FRAMES
    part = change[first:last].clone().requires_grad_(True)
    shown = F.interpolate(clean[first:last] + part, (FRAME_SIZE, FRAME_SIZE), mode="bilinear", align_corners=False)
    windows = torch.stack([shown[place : place + WINDOW_FRAMES] for place in (places - first).tolist()])
    lips = network.lip(windows.transpose(1, 2))
    shifts = torch.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    sounds = places[:, None] + shifts
    there = (sounds >= 0) & (sounds < len(heard)) & (shifts.abs() > _NEAR)
    distances = (lips[:, None] - heard[sounds.clamp(0, len(heard) - 1)]).norm(dim=2)
    away = (distances * there).sum(1) / there.sum(1).clamp(min=1)
    loss = (distances[:, MAX_SHIFT] - away).sum()
    found = torch.zeros_like(change)
    (found[first:last],) = torch.autograd.grad(loss, part)
    return found
