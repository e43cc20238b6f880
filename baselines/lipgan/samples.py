"""The faces and sound of LipGAN's training samples. Frames are at 25 per second."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.baselines.lipgan.model import SOUND_SHAPE, Branch
from lse_bench.features import htk_mfcc, mel
from lse_bench.rates import FPS, SAMPLES_PER_FRAME
from lse_bench.training.prepared import PreparedClip, PreparedClips, windows
from lse_bench.training.steps import Batch

_FEATURES: dict[Branch, tuple[str, float]] = {
    "master": ("mfcc", htk_mfcc.COLUMNS_PER_SECOND / FPS),
    "fully_pythonic": ("mel", mel.COLUMNS_PER_SECOND / FPS),
}


class FaceSamples:
    """Samples for LipGAN's training: a face, another face of the same clip as its reference, and the sound.

    `offset`: frames from a frame to the start of its sound. `gap`: least distance in frames between target and
    reference.
    """

    def __init__(self, store: PreparedClips, branch: Branch, offset: int, gap: int) -> None:
        self.store, self.offset, self.gap = store, offset, gap
        self._feature, self._per_frame = _FEATURES[branch]
        self._wide = SOUND_SHAPE[branch][1]

    def first_column(self, frame: int) -> int:
        """Return the first column of a frame's window of sound. It may lie outside the clip."""
        return int((frame + self.offset) * self._per_frame)

    def frames(self, clip: PreparedClip) -> range:
        """Return the frames whose window of sound lies inside the clip."""
        columns = clip.columns if self._feature == "mel" else htk_mfcc.htk_columns(clip.frames * SAMPLES_PER_FRAME)
        last = clip.frames - 1
        while last >= 0 and self.first_column(last) + self._wide > columns:
            last -= 1
        return range(max(0, -self.offset), last + 1)

    def usable(self, clip: PreparedClip) -> bool:
        """Return whether a clip is long enough and, for MFCC, has no digital silence.

        MFCC of digital silence are non-finite. The original code skips such samples.
        """
        if len(self.frames(clip)) <= 2 * self.gap:
            return False
        return self._feature == "mel" or bool(np.isfinite(self.store.read(clip, "mfcc")).all())

    def of(self, clips: list[PreparedClip], rng: np.random.Generator) -> Batch:
        """Return one random sample of each clip.

        `target`, `reference`: uint8 (B,96,96,3) BGR. `sound`: float32 (B,1,12,35) or (B,1,80,27).
        """
        rows: dict[str, list[NDArray[Any]]] = {"target": [], "reference": [], "sound": []}
        for clip in clips:
            target, all_frames = int(rng.choice(np.array(self.frames(clip)))), np.arange(clip.frames)
            other = int(rng.choice(all_frames[np.abs(all_frames - target) >= self.gap]))
            rows["target"].append(self.store.read(clip, "faces", target, 1)[0])
            rows["reference"].append(self.store.read(clip, "faces", other, 1)[0])
            rows["sound"].append(self.store.read(clip, self._feature, self.first_column(target), self._wide).T[None])
        return {name: torch.from_numpy(np.stack(values)) for name, values in rows.items()}

    def sound_of(self, clip: PreparedClip) -> NDArray[np.float32]:
        """Return the window of sound of every frame, (frames,1,rows,columns), as in inference.

        At both ends the window is moved to stay inside the sound. Non-finite values become finite: NaN becomes 0.
        """
        starts = np.array([self.first_column(frame) for frame in range(clip.frames)])
        columns = np.nan_to_num(self.store.read(clip, self._feature))
        return windows(columns, np.clip(starts, 0, max(0, len(columns) - self._wide)), self._wide)[:, None]
