"""Which faces and sound a training sample of Speech2Vid is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lse_bench.baselines.speech2vid.model import COLUMNS, IDENTITIES, MIDDLE
from lse_bench.errors import UsageError
from lse_bench.features.htk_mfcc import COLUMNS_PER_SECOND, htk_columns
from lse_bench.generators.interface import FPS, SAMPLES_PER_FRAME
from lse_bench.training.prepared import PreparedClip, PreparedClips
from lse_bench.training.split import split_clips
from lse_bench.training.steps import Batch

PER_FRAME = int(COLUMNS_PER_SECOND / FPS)  # MFCC columns
_PER_CLIP = 4  # faces of each clip in validation


class IdentitySamples:
    """A face, its sound, and five faces of the same clip at least `gap` frames away; for both networks."""

    def __init__(self, store: PreparedClips, gap: int) -> None:
        store.need("aligned", "Speech2Vid")
        self.store, self._gap = store, gap

    def parts(self) -> tuple[list[PreparedClip], list[PreparedClip]]:
        """Clips for training and for validation. Raises UsageError when one of them has none."""
        parts = split_clips(self.store.clips)
        training, validation = ([clip for clip in parts[name] if self._usable(clip)] for name in parts)
        if not training or not validation:
            raise UsageError(
                f"{self.store.folder}: {len(training)} clips for training, {len(validation)} for validation are long "
                f"enough for {IDENTITIES} faces {self._gap} frames away; 1 of each is needed"
            )
        return training, validation

    def _usable(self, clip: PreparedClip) -> bool:
        return len(frames_of(clip)) > 0 and clip.frames >= 2 * self._gap + IDENTITIES

    def batch(self, clips: Sequence[PreparedClip], size: int, key: tuple[int, ...]) -> Batch:
        """`size` samples of clips drawn by a random stream's key."""
        rng = np.random.default_rng(key)
        return self.of([clips[int(rng.integers(len(clips)))] for _ in range(size)], rng)

    def of(self, clips: list[PreparedClip], rng: np.random.Generator) -> Batch:
        """One sample of each clip: `target` uint8 (B,112,112,3), `identity` uint8 (B,5,112,112,3), BGR; `sound`
        (B,1,12,35).
        """
        target, identity, sound = [], [], []
        for clip in clips:
            at = int(rng.choice(np.array(frames_of(clip))))
            frames = np.arange(clip.frames)
            far = rng.choice(frames[np.abs(frames - at) >= self._gap], IDENTITIES, replace=False)
            target.append(self.store.read(clip, "faces", at, 1)[0])
            identity.append(np.stack([self.store.read(clip, "faces", int(place), 1)[0] for place in far]))
            sound.append(self.store.read(clip, "mfcc", (at - MIDDLE) * PER_FRAME, COLUMNS).T[None])
        arrays = {"target": target, "identity": identity, "sound": sound}
        return {name: torch.from_numpy(np.stack(rows)) for name, rows in arrays.items()}

    def held_out(self, clips: Sequence[PreparedClip], device: torch.device) -> list[Batch]:
        """A batch of each clip, always the same."""
        rng = np.random.default_rng(0)
        batches = [self.of([clip] * _PER_CLIP, rng) for clip in clips]
        return [{name: value.to(device) for name, value in batch.items()} for batch in batches]


def frames_of(clip: PreparedClip) -> range:
    """Frames whose window of sound lies in the clip."""
    last = (htk_columns(clip.frames * SAMPLES_PER_FRAME) - COLUMNS) // PER_FRAME
    return range(MIDDLE, min(clip.frames, last + MIDDLE + 1))
