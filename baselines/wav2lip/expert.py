"""Training of Wav2Lip's lip-sync expert, which decides whether a window of sound belongs to five lower-half faces.

The loss `bce` is the released one: the cross entropy of the cosine. Half of its pairs have sound from another window of
the same clip. With `infonce`, each window must find its own sound among those of the batch. A batch has `windows`
windows of each clip, which are the hard negatives. This loss leaves its plateau within minutes. A guide helps on
MiniLRS: both embeddings also predict the lip parameters of the corpus.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer

from lse_bench.baselines.validation import begin_from
from lse_bench.baselines.wav2lip.model import WINDOW_FRAMES, Expert
from lse_bench.baselines.wav2lip.passes import EXPERT, ListeningExpert, matching_loss
from lse_bench.baselines.wav2lip.weights import load_expert, write_official
from lse_bench.baselines.wav2lip.windows import mel_window, places
from lse_bench.baselines.widths import SIZE
from lse_bench.errors import UsageError
from lse_bench.training.config import OptimizerConfig, RunConfig, Section, Width
from lse_bench.training.export import write_weights
from lse_bench.training.loop import Method
from lse_bench.training.lse_probe import spread
from lse_bench.training.prepared import PreparedClip, PreparedClips
from lse_bench.training.split import split_clips
from lse_bench.training.steps import Batch, Pass
from lse_bench.training.syncnet.config import GuideConfig

HALF = SIZE // 2
_FAR = (5, 15)  # least and greatest shift of wrong sound in validation, in frames
_PER_CLIP = 8  # windows of each clip in validation
_FLOOR = 3.7e-44  # e**-100, since torch's cross entropy keeps logarithms of probabilities above -100


class ChangeConfig(Section):
    """Settings for the augmentation of a window. Each random choice holds for all five frames, except as stated.

    `flip`, `blur`, `stains`: probabilities. `brightness`: largest relative change of all channels. `colour`: largest
    relative change of each channel. `noise`: largest standard deviation in grey levels; the noise differs in each
    pixel.

    Stains are up to four small coloured patches whose strength differs from frame to frame. Without them, a generator
    could lower the expert's loss by painting marks instead of moving the lips.
    """

    flip: float = Field(default=0.0, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    colour: float = Field(default=0.0, ge=0, lt=1)
    blur: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0)
    stains: float = Field(default=0.0, ge=0, le=1)


class ExpertConfig(RunConfig):
    """Everything that determines a training run of the expert. A batch has `clips` times `windows` windows.

    With `infonce` these are `windows` windows of each of `clips` clips.
    """

    width: Width
    loss: Literal["bce", "infonce"]
    clips: int = Field(gt=0)
    windows: int = Field(gt=0)
    validation_clips: int = Field(gt=0)
    optimizer: OptimizerConfig
    guide: GuideConfig = GuideConfig(weight=0, steps=0)
    change: ChangeConfig = ChangeConfig()


class ExpertTraining(Method):
    """The expert's training method for the common loop."""

    best = ("window", "max")

    def __init__(self, config: ExpertConfig, data: Path, init: Path | None = None) -> None:
        """Read the index of the prepared clips in `data` and check it. `init`: weights to start from, None for random.

        Raises UsageError if the faces are not cropped as `box`, if too few clips are long enough, or if the guide does
        not fit the loss or the data.
        """
        self.config, self._init = config, init
        self._store = PreparedClips(data)
        self._store.need("box", EXPERT)
        parts = split_clips(self._store.clips)
        fewest = config.windows if config.loss == "infonce" else 2
        self.training = [clip for clip in parts["training"] if len(places(clip)) >= fewest]
        self.validation = [clip for clip in parts["validation"] if len(places(clip)) > _FAR[1]]
        needed = config.clips if config.loss == "infonce" else 1
        if len(self.training) < needed or not self.validation:
            raise UsageError(
                f"{data}: {len(self.training)} training clips have {fewest} windows, and {len(self.validation)} "
                f"validation clips are long enough. At least {needed} and 1 are needed: prepare more or longer clips"
            )
        if config.guide.steps and config.loss == "bce":
            raise UsageError('the guide helps infonce only; set guide.steps = 0 or loss = "infonce"')
        if config.guide.steps and not self._store.has(self.training[0], "lips"):
            raise UsageError(f"{data}: the guide needs lip parameters, which only MiniLRS has; set guide.steps = 0")

    def networks(self) -> dict[str, nn.Module]:
        """Return the expert with the layers that only its training needs."""
        network = ListeningExpert(self.config.width, self.config.loss == "infonce", self.config.guide.steps > 0)
        if self._init is not None:
            begin_from(network.expert, load_expert(self._init), self._init)
        return {EXPERT: network.to(memory_format=torch.channels_last)}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return the config's optimiser for the expert."""
        return {EXPERT: self.config.optimizer.of(networks[EXPERT])}

    def passes(self, step: int) -> list[Pass]:
        """Return the only pass of a step, `matching_loss`."""
        return [Pass(EXPERT, matching_loss)]

    def batch(self, number: int, rank: int) -> Batch:
        """Return a batch: `faces` uint8 (N,15,48,96), `mel` float32 (N,1,80,16), `in_sync` float32 (N,1), 1 or 0.

        If the config has a guide, the batch also has the lip parameters `lips` of the five frames, (N,35), and the
        guide's weight `guide`.
        """
        rng = np.random.default_rng((self.config.seed, number, rank))
        guide = self.config.guide.at(number // self.config.accumulate)
        items = self._paired(rng) if self.config.loss == "bce" else self._matching(rng, guide > 0)
        faces = np.stack([self._faces(clip, seen, rng) for clip, seen, _ in items])
        mel = np.stack([mel_window(self._store, clip, heard) for clip, _, heard in items])
        in_sync = np.array([[float(seen == heard)] for _, seen, heard in items], np.float32)
        batch = {
            name: torch.from_numpy(value) for name, value in (("faces", faces), ("mel", mel), ("in_sync", in_sync))
        }
        if self.config.guide.steps:
            lips = np.stack([self._store.read(clip, "lips", seen, WINDOW_FRAMES).ravel() for clip, seen, _ in items])
            batch |= {"lips": torch.from_numpy(lips), "guide": torch.tensor(guide, dtype=torch.float32)}
        return batch

    def _paired(self, rng: np.random.Generator) -> list[tuple[PreparedClip, int, int]]:
        """Draw clips, first frames of faces and first frames of sound, as the released code does.

        Half of the time the sound is that of another window of the same clip.
        """
        items = []
        for _ in range(self.config.clips * self.config.windows):
            clip = self.training[rng.integers(len(self.training))]
            seen, heard = (int(place) for place in rng.choice(np.array(places(clip)), 2, replace=False))
            items.append((clip, seen, seen if rng.random() < 0.5 else heard))
        return items

    def _matching(self, rng: np.random.Generator, guided: bool) -> list[tuple[PreparedClip, int, int]]:
        """Draw `windows` windows of each of `clips` clips, with their own sound.

        While the guide lasts, draw as many windows, but one of each clip.
        """
        items = []
        per_clip = 1 if guided else self.config.windows
        count = self.config.clips * self.config.windows // per_clip
        for chosen in rng.choice(len(self.training), count, replace=count > len(self.training)):
            clip = self.training[chosen]
            starts = rng.choice(np.array(places(clip)), per_clip, replace=False)
            items += [(clip, int(start), int(start)) for start in starts]
        return items

    def _faces(self, clip: PreparedClip, start: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return the augmented lower halves of the five frames from `start` on, uint8 (15,48,96): t0 B, G, R, t1 …"""
        change = self.config.change
        pictures = self._store.read(clip, "faces", start, WINDOW_FRAMES)[:, HALF:]
        if change.flip and rng.random() < change.flip:
            pictures = pictures[:, :, ::-1]
        if change.blur and rng.random() < change.blur:
            sigma = rng.uniform(0.5, 1.5)
            pictures = np.stack([cv2.GaussianBlur(np.ascontiguousarray(one), (0, 0), sigma) for one in pictures])
        changed = np.array(pictures, dtype=np.float32)
        if change.stains and rng.random() < change.stains:
            for _ in range(rng.integers(1, 5)):
                _stain(changed, rng)
        factor = rng.uniform(1 - change.brightness, 1 + change.brightness)
        changed *= factor * rng.uniform(1 - change.colour, 1 + change.colour, 3).astype(np.float32)
        if change.noise:
            changed += rng.standard_normal(changed.shape, np.float32) * rng.uniform(0, change.noise)
        pictures = np.clip(np.rint(changed), 0, 255)
        return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2).reshape(-1, HALF, SIZE), dtype=np.uint8)

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return the measures of `window_accuracy` on held-out clips."""
        network = networks[EXPERT]
        assert isinstance(network, ListeningExpert)
        return window_accuracy(network.expert, self._store, self.validation, self.config.validation_clips, device)


def _stain(pictures: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Draw a soft coloured patch on `pictures` (T,H,W,3), in place. Its strength in each frame is random."""
    height, width = pictures.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across, down = rng.uniform(1, 8, 2)
    far = ((x - rng.uniform(0, width)) / across) ** 2 + ((y - rng.uniform(0, height)) / down) ** 2
    patch = np.exp(-far)[None, :, :, None] * rng.uniform(0, 0.8, (len(pictures), 1, 1, 1))
    pictures += (patch * (rng.uniform(0, 255, 3) - pictures)).astype(np.float32)


def window_accuracy(
    expert: Expert, store: PreparedClips, clips: list[PreparedClip], count: int, device: torch.device
) -> dict[str, float]:
    """Return two measures of up to 8 windows of each of `count` clips.

    `window`: share of comparisons, 0-1, in which the window's own sound is nearer than a sound 5 to 15 frames away.
    `sync`: the released loss, where pairs in sync and pairs out of sync count half each.
    """
    wins, pairs, right, wrong = 0, 0, [], []
    rng = np.random.default_rng(0)
    for clip in spread(clips, count):
        starts = places(clip)
        chosen = rng.choice(np.array(starts), min(_PER_CLIP, len(starts)), replace=False)
        faces = np.stack([store.read(clip, "faces", int(at), WINDOW_FRAMES)[:, HALF:] for at in chosen])
        faces = faces.transpose(0, 1, 4, 2, 3).reshape(len(chosen), -1, HALF, SIZE)
        mel = np.stack([mel_window(store, clip, at) for at in starts])
        sound = expert.audio_encoder(torch.from_numpy(mel).to(device)).flatten(1)
        face = expert.face_encoder(torch.from_numpy(faces).to(device).float() / 255).flatten(1)
        cosine = (F.normalize(face.float()) @ F.normalize(sound.float()).T).clamp(0, 1).cpu().numpy()
        away = np.abs(np.array(starts)[None] - chosen[:, None])
        own = cosine[np.arange(len(chosen)), chosen - starts.start]
        other = (away >= _FAR[0]) & (away <= _FAR[1])
        wins += int((own[:, None] > cosine)[other].sum())
        pairs += int(other.sum())
        right.append(-np.log(np.maximum(own, _FLOOR)))
        wrong.append(-np.log(np.maximum(1 - cosine[other], _FLOOR)))
    sync = (np.concatenate(right).mean() + np.concatenate(wrong).mean()) / 2
    return {"window": wins / max(1, pairs), "sync": float(sync)}


def export(networks: dict[str, nn.Module], config: ExpertConfig, out: Path) -> list[Path]:
    """Write `weights.safetensors` and, at full width, `lipsync_expert.pth` for the original code. Return the paths."""
    network = networks[EXPERT]
    assert isinstance(network, ListeningExpert)
    state = network.expert.state_dict()
    files = [out / "weights.safetensors"]
    write_weights(files[0], state, {"lse_bench": EXPERT, "width": repr(config.width), "precision": config.precision})
    if config.width == 1:
        files.append(out / "lipsync_expert.pth")
        write_official(files[1], state, config.steps)
    return files
