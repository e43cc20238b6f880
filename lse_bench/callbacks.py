"""A Lightning callback that scores a generator during its training. It needs the extra `lightning`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.metrics import LipSync
from lse_bench.rates import SAMPLES_PER_FRAME
from lse_bench.sync.scorer import SyncScorer

try:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import Callback
except ImportError as error:
    raise ImportError(
        "lse_bench.callbacks needs lightning: pip install 'lse-bench[lightning]'", name="lightning"
    ) from error

__all__ = ["Clip", "LipSyncValidation"]


@dataclass(frozen=True, slots=True)
class Clip:
    """A validation clip in memory.

    `frames`: RGB, uint8, (T,H,W,3), 25 frames per second. `sound`: int16, (N,), 16 kHz.
    """

    frames: NDArray[np.uint8]
    sound: NDArray[np.int16]

    def cut(self, frames: int) -> Clip:
        """Return the first `frames` frames with their sound."""
        return Clip(self.frames[:frames], self.sound[: frames * SAMPLES_PER_FRAME])

    @property
    def length(self) -> int:
        """The number of frames that have sound."""
        return min(len(self.frames), len(self.sound) // SAMPLES_PER_FRAME)


Draw = Callable[[LightningModule, NDArray[np.uint8], NDArray[np.int16]], NDArray[np.uint8] | torch.Tensor]


class LipSyncValidation(Callback):
    """A callback that logs LSE-D, LSE-C and the absolute AV offset of a generator after a validation epoch.

    By default the generator gets mismatched audio: the frames of each clip with the sound of the next clip. The
    callback logs `PREFIX/lse_d`, `PREFIX/lse_c` and `PREFIX/offset`. It also logs the anchors, which it scores once.
    `PREFIX/real/…` are the untouched clips. `PREFIX/unsynced/…` are their frames with the mismatched audio and
    without the generator. The scores of a useful model lie between these two.

    Every process scores its share of the clips and takes part in every reduction. All processes need the same `clips`.
    """

    def __init__(
        self,
        draw: Draw,
        clips: Sequence[Clip],
        scorer: SyncScorer | str = "syncnet_v2",
        *,
        every_n_epochs: int = 1,
        mismatched: bool = True,
        prefix: str = "lip_sync",
    ) -> None:
        """Store the settings and load the scorer.

        `draw(module, frames, sound)`: returns the redrawn frames, RGB uint8, NumPy (T,H,W,3) or torch (T,3,H,W).
        `clips`: the validation clips. `scorer`: a `SyncScorer` or a name of weights (see `LipSync`).
        `every_n_epochs`: the callback scores after the epochs whose number, counted from 0, is a multiple of this.
        `mismatched`: False keeps each clip's own sound. `prefix`: the first part of the logged names.

        Raises UsageError if there are fewer than two clips.
        """
        if len(clips) < 2:
            raise UsageError(
                f"{len(clips)} validation clips: at least two are needed, since each clip gets the sound of another"
            )
        self.draw, self.clips, self.prefix, self.every = draw, list(clips), prefix, every_n_epochs
        self.mismatched = mismatched
        self.metric = LipSync(scorer)
        self._anchors: dict[str, float] = {}

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the clips, and log the means on every rank."""
        if trainer.sanity_checking or trainer.current_epoch % self.every:
            return
        if pl_module.device.type == "cuda":  # NCCL reduces only tensors on the GPU
            self.metric.to(pl_module.device)
        mine = range(trainer.global_rank, len(self.clips), trainer.world_size)
        if not self._anchors:
            self._anchors |= self._scored("real/", mine, lambda clip, sound: clip, own_sound=True)
            self._anchors |= self._scored("unsynced/", mine, lambda clip, sound: clip, own_sound=False)
        training = pl_module.training
        pl_module.eval()
        with torch.no_grad():
            found = self._scored(
                "", mine, lambda clip, sound: self.draw(pl_module, clip, sound), own_sound=not self.mismatched
            )
        pl_module.train(training)
        for name, value in (found | self._anchors).items():
            pl_module.log(f"{self.prefix}/{name}", value, rank_zero_only=False, sync_dist=False)

    def _scored(
        self,
        lead: str,
        numbers: Sequence[int],
        draw: Callable[[NDArray[np.uint8], NDArray[np.int16]], Any],
        own_sound: bool,
    ) -> dict[str, float]:
        """Return the means over the clips of all processes, each name with `lead` in front."""
        self.metric.reset()
        for number in numbers:
            clip = self.clips[number]
            other = clip if own_sound else self.clips[(number + 1) % len(self.clips)]
            pair = Clip(clip.frames, other.sound)
            pair = pair.cut(pair.length)
            self.metric.update([draw(pair.frames, pair.sound)], [pair.sound])
        found = self.metric.compute()  # a reduction: every process takes part, even one without clips
        return {f"{lead}{name}": float(found[name]) for name in ("lse_d", "lse_c", "offset")}
