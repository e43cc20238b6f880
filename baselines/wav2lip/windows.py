"""Which frames and mel columns a training sample of Wav2Lip is made of."""

from __future__ import annotations

import numpy as np
from lse_bench.baselines.training import unit
from lse_bench.baselines.wav2lip.model import COLUMNS, WINDOW_FRAMES
from numpy.typing import NDArray
from torch import Tensor

from lse_bench.features.mel import COLUMNS_PER_SECOND
from lse_bench.generators.interface import FPS
from lse_bench.training.prepared import PreparedClip, PreparedClips, windows

RELEASED_OFFSET = -1  # frames: in the released training each frame hears a window that starts one frame before it


def first_column(frame: int) -> int:
    """The mel column at which a frame begins: int(80 frame / 25), as the original cuts it."""
    return int(frame * COLUMNS_PER_SECOND / FPS)


def places(clip: PreparedClip, offset: int = 0) -> range:
    """First frames of the windows of a clip whose sound, heard `offset` frames from each frame on, lies in the clip."""
    last = clip.frames - WINDOW_FRAMES
    while last >= 0 and first_column(last + WINDOW_FRAMES - 1 + max(0, offset)) + COLUMNS > clip.columns:
        last -= 1
    return range(max(0, -offset), last + 1)


def mel_window(store: PreparedClips, clip: PreparedClip, start: int) -> NDArray[np.float32]:
    """(1,80,16): what the expert hears with the five frames from `start` on."""
    return np.ascontiguousarray(store.read(clip, "mel", first_column(start), COLUMNS).T[None])


def mel_windows(store: PreparedClips, clip: PreparedClip, start: int, offset: int) -> NDArray[np.float32]:
    """(5,1,80,16): what the generator hears with each of the five frames from `start` on."""
    starts = np.array([first_column(start + number + offset) for number in range(WINDOW_FRAMES)])
    first = int(starts[0])
    columns = store.read(clip, "mel", first, int(starts[-1]) - first + COLUMNS)
    return windows(columns, starts - first, COLUMNS)[:, None]


def planes(pictures: Tensor) -> Tensor:
    """(B,3,T,H,W), 0-1, of pictures (B,T,H,W,3), 0-255; what is floating-point already stays as it is."""
    return pictures if pictures.is_floating_point() else unit(pictures).transpose(1, 2)
