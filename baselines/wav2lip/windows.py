"""The frames and mel columns of Wav2Lip's training samples. Frames are at 25 per second, columns at 80 per second."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.baselines.wav2lip.model import COLUMNS, WINDOW_FRAMES
from lse_bench.features.mel import COLUMNS_PER_SECOND
from lse_bench.rates import FPS
from lse_bench.training.prepared import PreparedClip, PreparedClips, windows
from lse_bench.training.steps import Batch


def first_column(frame: int) -> int:
    """Return the mel column at which a frame begins: int(80 frame / 25), as in the original code."""
    return int(frame * COLUMNS_PER_SECOND / FPS)


def places(clip: PreparedClip, offset: int = 0) -> range:
    """Return the first frames of the windows of a clip whose sound lies inside the clip.

    `offset`: frames from a frame to the start of its sound.
    """
    last = clip.frames - WINDOW_FRAMES
    while last >= 0 and first_column(last + WINDOW_FRAMES - 1 + max(0, offset)) + COLUMNS > clip.columns:
        last -= 1
    return range(max(0, -offset), last + 1)


def mel_window(store: PreparedClips, clip: PreparedClip, start: int) -> NDArray[np.float32]:
    """Return the expert's window of sound for the five frames from `start` on, (1,80,16)."""
    return np.ascontiguousarray(store.read(clip, "mel", first_column(start), COLUMNS).T[None])


def mel_windows(store: PreparedClips, clip: PreparedClip, start: int, offset: int) -> NDArray[np.float32]:
    """Return the generator's window of sound for each of the five frames from `start` on, (5,1,80,16).

    `offset`: frames from a frame to the start of its sound.
    """
    starts = np.array([first_column(start + number + offset) for number in range(WINDOW_FRAMES)])
    first = int(starts[0])
    columns = store.read(clip, "mel", first, int(starts[-1]) - first + COLUMNS)
    return windows(columns, starts - first, COLUMNS)[:, None]


class WindowSamples:
    """Samples for the generator's training: a target window, a reference window of the same clip, the target's sound.

    `offset`: frames from a frame to the start of its sound. `gap`: least distance in frames between the starts of
    target and reference window.
    """

    def __init__(self, store: PreparedClips, offset: int, gap: int) -> None:
        self.store, self.offset, self.gap = store, offset, gap

    def usable(self, clip: PreparedClip) -> bool:
        """Return whether a clip is so long that each of its windows has a reference window."""
        return len(places(clip, self.offset)) > 2 * self.gap

    def of(self, clips: list[PreparedClip], rng: np.random.Generator) -> Batch:
        """Return one random sample of each clip.

        `target`, `reference`: uint8 (B,5,96,96,3) BGR. `mels`: sound for the generator, float32 (B,5,1,80,16). `mel`:
        sound for the expert, float32 (B,1,80,16).
        """
        rows: dict[str, list[NDArray[Any]]] = {"target": [], "reference": [], "mels": [], "mel": []}
        for clip in clips:
            starts = np.array(places(clip, self.offset))
            target = int(rng.choice(starts))
            other = int(rng.choice(starts[np.abs(starts - target) >= self.gap]))
            rows["target"].append(self.store.read(clip, "faces", target, WINDOW_FRAMES))
            rows["reference"].append(self.store.read(clip, "faces", other, WINDOW_FRAMES))
            rows["mels"].append(mel_windows(self.store, clip, target, self.offset))
            rows["mel"].append(mel_window(self.store, clip, target))
        return {name: torch.from_numpy(np.stack(values)) for name, values in rows.items()}
