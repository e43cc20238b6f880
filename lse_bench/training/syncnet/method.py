"""Train SyncNet: its two towers learn embeddings whose distance is small for synchronised audio and video.

*InfoNCE* (`infonce`): within a batch of windows, each lip embedding should be nearer to the embedding of its own sound
than to all others, and the reverse. The logit of a pair is minus its Euclidean distance times a learned scale.
*contrastive*: the loss of Chung and Zisserman, with one matching and one mismatched sound for each window of frames. It
stays on a plateau for some hundred steps and gives worse results.

Both losses start on a plateau. A *guide* shortens it: in the first steps, a linear map of each embedding must also
predict the lip parameters. MiniLRS provides these parameters. Real corpora do not; set `guide.steps = 0` for them.
While the guide is on, the windows of a batch come from clips drawn independently, without augmentation, because many
different faces teach what all faces have in common.

Training uses frames of half size, 112 pixels. The first layer's 7x7 weights of stride 2 are summed in pairs to 4x4
weights of stride 1. The result equals the full network's output on frames with every pixel doubled, so the trained
weights are valid for frames of 224 pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from lse_bench.errors import UsageError
from lse_bench.minilrs.visemes import PARAMETERS
from lse_bench.sync.quality import auc, lse, shifted_offset, window_wins
from lse_bench.sync.syncnet import FRAME_SIZE, WINDOW_FRAMES
from lse_bench.training.config import OptimizerConfig
from lse_bench.training.loop import Method
from lse_bench.training.pairs import NETWORK, Pairs, matching_pass
from lse_bench.training.steps import Batch, Pass
from lse_bench.training.syncnet.clip_store import ClipStore, StoredClip
from lse_bench.training.syncnet.config import ChangeConfig, TrainConfig

HALF = FRAME_SIZE // 2
_VALIDATION_SHIFT, _VALIDATION_WINDOWS = 10, 50
_EMBEDDED_AT_ONCE = 64


class SyncNetMethod(Method):
    """SyncNet's training method: data, augmentation, losses and validation."""

    def __init__(self, config: TrainConfig, training: Path, validation: Path) -> None:
        """`training`, `validation`: folders that `clip_store.store_clips` wrote, with frames of 112 pixels."""
        self.config = config
        self._folders = training, validation
        self._store: ClipStore | None = None
        self._usable: list[StoredClip] = []

    def networks(self) -> dict[str, nn.Module]:
        """Return a new SyncNet with its scale and guide."""
        return {NETWORK: Pairs(self.config.width)}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return AdamW for SyncNet."""
        config = OptimizerConfig(kind="adamw", rate=self.config.rate, weight_decay=self.config.weight_decay)
        return {NETWORK: config.of(networks[NETWORK])}

    def passes(self, step: int) -> list[Pass]:
        """Return the single pass of the configured loss."""
        return [matching_pass(self.config.loss, self.config.margin)]

    def open(self) -> ClipStore:
        """Return the training clips.

        Raises UsageError if they cannot fill a batch, or if the guide is on and the corpus has no lip parameters.
        """
        if self._store is None:
            store = ClipStore(self._folders[0])
            self._usable = [clip for clip in store.clips if clip.windows >= self.config.batch.windows]
            if len(self._usable) < self.config.batch.clips:
                raise UsageError(
                    f"only {len(self._usable)} clips have the {self.config.batch.windows} windows that a batch takes "
                    f"from each clip; batch.clips = {self.config.batch.clips} needs as many such clips"
                )
            if self.config.guide.steps and store.lips(store.clips[0], 0) is None:
                raise UsageError("the guide needs lip parameters, which this corpus lacks; set guide.steps = 0")
            self._store = store
        return self._store

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without clips, because loader processes open the clips themselves."""
        return self.__dict__ | {"_store": None, "_usable": []}

    def batch(self, number: int, rank: int) -> Batch:
        """Return `frames` uint8 (N,15,112,112) and `mfcc` float32 (N,1,13,20).

        While the guide is on, also return `lips` float32 (N,35) and the guide's weight `guide` ().
        """
        store = self.open()
        cv2.setNumThreads(1)
        size = self.config.batch
        rng = np.random.default_rng((self.config.seed, number, rank))
        frames = np.empty((size.clips * size.windows, HALF, HALF, 3 * WINDOW_FRAMES), np.uint8)
        mfcc = np.empty((len(frames), 1, 13, 20), np.float32)
        guide = self.config.guide.at(number // self.config.accumulate)
        lips = np.empty((len(frames), WINDOW_FRAMES, len(PARAMETERS)), np.float32)
        row = 0
        per_clip = 1 if guide else size.windows
        for chosen in rng.choice(len(self._usable), len(frames) // per_clip, replace=guide > 0):
            clip = self._usable[chosen]
            change = _Change(rng, _UNCHANGED if guide else self.config.change)
            for window in rng.choice(clip.windows, per_clip, replace=False):
                pictures = store.frames(clip, int(window))
                frames[row] = np.concatenate([change.picture(picture) for picture in pictures], axis=2)
                mfcc[row, 0] = change.sound(store.mfcc(clip, int(window)))
                if guide:
                    lips[row] = store.lips(clip, int(window))
                row += 1
        batch = {"frames": torch.from_numpy(frames).permute(0, 3, 1, 2), "mfcc": torch.from_numpy(mfcc)}
        if guide:
            batch |= {"lips": torch.from_numpy(lips).flatten(1), "guide": torch.tensor(guide)}
        return batch

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return measures on held-out clips.

        `within_1`: the share of imposed offsets that are found to within one frame. `auc`: the AUC of LSE-C between own
        and mismatched audio. `window`: how often a window is nearer to its own sound than to a sound 5 to 15 frames
        away. `lse_d`, `lse_c`: the means for own audio. `lse_c_unsynced`: the mean LSE-C for mismatched audio.
        `within_1`, `auc` and `lse_c_unsynced` are NaN if no clip allows them.
        """
        network = networks[NETWORK]
        assert isinstance(network, Pairs)
        store = ClipStore(self._folders[1])
        clips = store.clips[:: max(1, len(store.clips) // self.config.validation_clips)][: self.config.validation_clips]
        embedded = [embed_clip(network, store, clip, device) for clip in clips]
        rng = np.random.default_rng(self.config.seed)
        hits, wins, pairs = [], 0, 0
        for lip, sound in embedded:
            windows = min(_VALIDATION_WINDOWS, len(lip) - 2 * _VALIDATION_SHIFT)
            if windows >= 10:
                for shift in rng.integers(-_VALIDATION_SHIFT, _VALIDATION_SHIFT + 1, 5):
                    found = shifted_offset(lip, sound, int(shift), windows, _VALIDATION_SHIFT)
                    hits.append(abs(found - shift) <= 1)
            won, out_of = window_wins(lip, sound)
            wins, pairs = wins + won, pairs + out_of
        own = [lse(lip, sound) for lip, sound in embedded]
        mismatched = []
        for number, (lip, _) in enumerate(embedded):
            other = _mismatched(clips, number)
            if other is not None:
                sound = embedded[other][1]
                length = min(len(lip), len(sound))
                mismatched.append(lse(lip[:length], sound[:length]))
        return {
            "within_1": float(np.mean(hits)) if hits else float("nan"),
            "auc": auc([s.lse_c for s in own], [s.lse_c for s in mismatched]) if mismatched else float("nan"),
            "window": wins / max(1, pairs),
            "lse_d": float(np.mean([score.lse_d for score in own])),
            "lse_c": float(np.mean([score.lse_c for score in own])),
            "lse_c_unsynced": float(np.mean([s.lse_c for s in mismatched])) if mismatched else float("nan"),
        }


def _mismatched(clips: list[StoredClip], number: int) -> int | None:
    """Return the index of a clip of another recording than `clips[number]`, or None if all are of one recording."""
    for step in range(9, 9 + len(clips)):  # clips of one recording are adjacent; start well beyond them
        other = (number + step) % len(clips)
        if clips[other].id.rpartition("/")[0] != clips[number].id.rpartition("/")[0] or "/" not in clips[number].id:
            return other if other != number else None
    return None


def embed_clip(
    network: Pairs, store: ClipStore, clip: StoredClip, device: torch.device
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lip and sound embeddings (windows, D) float64 of a stored clip with frames of 112 pixels."""
    lips, sounds = [], []
    for start in range(0, clip.windows, _EMBEDDED_AT_ONCE):
        count = min(_EMBEDDED_AT_ONCE, clip.windows - start)
        pictures = torch.from_numpy(store.frames(clip, start, count).copy()).permute(0, 3, 1, 2)
        frames = torch.cat([pictures[i : i + count] for i in range(WINDOW_FRAMES)], dim=1)
        mfcc = torch.from_numpy(np.stack([store.mfcc(clip, start + i) for i in range(count)])[:, None])
        lip, sound, *_ = network(frames.to(device), mfcc.to(device))
        lips.append(lip.double().cpu().numpy())
        sounds.append(sound.double().cpu().numpy())
    return np.concatenate(lips), np.concatenate(sounds)


_UNCHANGED = ChangeConfig(
    crop=1, brightness=(1, 1), offset=0, colour=0, shadow=0, noise=0, blur=0, cover=0, energy=0, timbre=0
)


class _Change:
    """The augmentation of one clip: the same crop, light and voice in all its windows."""

    def __init__(self, rng: np.random.Generator, config: ChangeConfig) -> None:
        self._rng, self._config = rng, config
        self._share = rng.uniform(config.crop, 1)
        self._corner = rng.random(2)
        self._flip = rng.random() < 0.5
        level = np.arange(256, dtype=np.float32)[:, None]
        gain = np.exp(rng.uniform(*np.log(config.brightness))) * (1 + rng.uniform(-config.colour, config.colour, 3))
        table = level * gain + rng.uniform(-config.offset, config.offset)
        self._light = np.clip(table, 0, 255).astype(np.uint8)[None]
        shadow = 1 + config.shadow * rng.uniform(-1, 1, (4, 4, 1)).repeat(3, axis=2)
        self._shadow = cv2.resize(shadow.astype(np.float32), (HALF, HALF), interpolation=cv2.INTER_CUBIC)
        self._sigma = rng.uniform(0, config.noise)
        grain = rng.standard_normal((HALF + 16, HALF + 16, 3)) * self._sigma
        self._grain = np.rint(grain).astype(np.int16)
        self._blur = rng.uniform(0.5, 1.3) if rng.random() < config.blur else 0.0
        self._covers = []
        if rng.random() < config.cover:  # objects in front of the upper face, such as glasses and hair
            for _ in range(rng.integers(1, 4)):
                x, y = rng.integers(0, HALF), rng.integers(0, HALF // 2)
                w, h = rng.integers(4, HALF // 2), rng.integers(2, HALF // 5)
                self._covers.append((int(x), int(y), int(w), int(h), rng.uniform(0, 160, 3).tolist()))
        self._energy = rng.uniform(-config.energy, config.energy)
        self._timbre = rng.normal(0, config.timbre, (12, 1)).astype(np.float32)

    def picture(self, frame: NDArray[Any]) -> NDArray[Any]:
        """Return a BGR frame (S,S,3) uint8 as an augmented crop (112,112,3)."""
        side = round(len(frame) * self._share)
        y, x = (int(place * (len(frame) - side + 0.999)) for place in self._corner)
        piece = cv2.resize(frame[y : y + side, x : x + side], (HALF, HALF), interpolation=cv2.INTER_LINEAR)
        if self._flip:
            piece = cv2.flip(piece, 1)
        for left, top, w, h, colour in self._covers:
            cv2.rectangle(piece, (left, top), (left + w, top + h), colour, -1)
        lit = cv2.multiply(cv2.LUT(piece, self._light), self._shadow, dtype=cv2.CV_8U)
        if self._blur:
            lit = cv2.GaussianBlur(lit, (0, 0), self._blur)
        dy, dx = self._rng.integers(0, 16, 2)
        noisy: NDArray[Any] = cv2.add(lit, self._grain[dy : dy + HALF, dx : dx + HALF], dtype=cv2.CV_8U)
        return noisy

    def sound(self, mfcc: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return MFCC (13,20) with changed loudness and timbre."""
        changed = mfcc.copy()
        changed[0] += self._energy
        changed[1:] += self._timbre
        return changed
