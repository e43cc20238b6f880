"""The faces and sound of Speech2Vid's training samples. Frames are at 25 per second."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lse_bench.baselines.speech2vid.model import COLUMNS, IDENTITIES, MIDDLE
from lse_bench.errors import UsageError
from lse_bench.features.htk_mfcc import COLUMNS_PER_SECOND, htk_columns
from lse_bench.rates import FPS, SAMPLES_PER_FRAME
from lse_bench.training.prepared import PreparedClip, PreparedClips
from lse_bench.training.split import split_clips
from lse_bench.training.steps import Batch

PER_FRAME = int(COLUMNS_PER_SECOND / FPS)  # MFCC columns of one frame
_PER_CLIP = 4  # faces of each clip in validation


class IdentitySamples:
    """Samples for training of the generator and the deblurring network.

    A sample is a face, its sound, and five faces of the same clip at least `gap` frames away. Raises UsageError if the
    faces are not cropped as `aligned`.
    """

    def __init__(self, store: PreparedClips, gap: int) -> None:
        store.need("aligned", "Speech2Vid")
        self.store, self._gap = store, gap

    def parts(self) -> tuple[list[PreparedClip], list[PreparedClip]]:
        """Return the usable clips for training and for validation. Raises UsageError if there are none for either."""
        parts = split_clips(self.store.clips)
        training, validation = ([clip for clip in parts[name] if self._usable(clip)] for name in parts)
        if not training or not validation:
            raise UsageError(
                f"{self.store.folder}: {len(training)} training clips and {len(validation)} validation clips are long "
                f"enough for {IDENTITIES} faces {self._gap} frames away. At least 1 of each is needed: prepare more or "
                "longer clips"
            )
        return training, validation

    def _usable(self, clip: PreparedClip) -> bool:
        return len(frames_of(clip)) > 0 and clip.frames >= 2 * self._gap + IDENTITIES

    def batch(self, clips: Sequence[PreparedClip], size: int, key: tuple[int, ...]) -> Batch:
        """Return `size` samples of random clips. `key`: the random seed; the same key gives the same batch."""
        rng = np.random.default_rng(key)
        return self.of([clips[int(rng.integers(len(clips)))] for _ in range(size)], rng)

    def of(self, clips: list[PreparedClip], rng: np.random.Generator) -> Batch:
        """Return one random sample of each clip.

        `target`: uint8 (B,112,112,3) BGR. `identity`: uint8 (B,5,112,112,3) BGR. `sound`: float32 (B,1,12,35), NaN for
        digital silence.
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
        """Return a batch of four samples of each clip. The same clips always give the same batches."""
        rng = np.random.default_rng(0)
        batches = [self.of([clip] * _PER_CLIP, rng) for clip in clips]
        return [{name: value.to(device) for name, value in batch.items()} for batch in batches]


def frames_of(clip: PreparedClip) -> range:
    """Return the frames whose window of sound lies inside the clip."""
    last = (htk_columns(clip.frames * SAMPLES_PER_FRAME) - COLUMNS) // PER_FRAME
    return range(MIDDLE, min(clip.frames, last + MIDDLE + 1))
