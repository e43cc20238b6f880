"""A Lightning callback that scores a generator while it trains. Needs the extra `lightning`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.metrics import LipSync
from lse_bench.sync.clip_facts import SAMPLES_PER_FRAME
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
    """A validation clip: `frames` RGB uint8 (T,H,W,3) at 25 frames per second, `sound` int16 (N,), 16 kHz."""

    frames: NDArray[np.uint8]
    sound: NDArray[np.int16]

    def cut(self, frames: int) -> Clip:
        """The first `frames` frames with their sound."""
        return Clip(self.frames[:frames], self.sound[: frames * SAMPLES_PER_FRAME])

    @property
    def length(self) -> int:
        """Frames that have sound."""
        return min(len(self.frames), len(self.sound) // SAMPLES_PER_FRAME)


Draw = Callable[[LightningModule, NDArray[np.uint8], NDArray[np.int16]], NDArray[np.uint8] | torch.Tensor]


class LipSyncValidation(Callback):
    """Logs LSE-D and LSE-C of a generator at the end of every validation epoch.

    The generator speaks mismatched audio: each clip's frames get the sound of the next clip. `PREFIX/lse_d`,
    `PREFIX/lse_c`, `PREFIX/offset` are logged, and beside them `PREFIX/real/…`, the clips as they are, and
    `PREFIX/unsynced/…`, their frames with the mismatched sound and no generator: a useful model lies between the two.

    Every process scores its share of the clips and takes part in every reduction. Each needs the same `clips`.
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
        """`draw(module, frames, sound)` returns the redrawn frames: RGB uint8, (T,H,W,3) or torch (T,3,H,W).
        `mismatched=False` keeps each clip's own sound. Raises UsageError for fewer than two clips."""
        if len(clips) < 2:
            raise UsageError(f"{len(clips)} validation clips: two are needed, since each gets the sound of another")
        self.draw, self.clips, self.prefix, self.every = draw, list(clips), prefix, every_n_epochs
        self.mismatched = mismatched
        self.metric = LipSync(scorer)
        self._anchors: dict[str, float] = {}

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score, and log on every rank."""
        if trainer.sanity_checking or trainer.current_epoch % self.every:
            return
        if pl_module.device.type == "cuda":  # NCCL reduces what lies on the card
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
        """Means over the clips of all processes."""
        self.metric.reset()
        for number in numbers:
            clip = self.clips[number]
            other = clip if own_sound else self.clips[(number + 1) % len(self.clips)]
            pair = Clip(clip.frames, other.sound)
            pair = pair.cut(pair.length)
            self.metric.update([draw(pair.frames, pair.sound)], [pair.sound])
        found = self.metric.compute()  # a reduction: every process is here, with clips or without
        return {f"{lead}{name}": float(found[name]) for name in ("lse_d", "lse_c", "offset")}
