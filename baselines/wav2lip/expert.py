"""Training of Wav2Lip's lip-sync expert: does a window of sound belong to five lower half faces?

`bce`, the released loss: cross entropy of the cosine, half of the pairs with sound from elsewhere in the same clip.
`infonce`: each window finds its own sound among those of the batch, where `windows` of each clip are the hard cases;
it leaves its plateau within minutes. A guide helps on MiniLRS: both embeddings also tell the corpus's lip parameters.
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
_FAR = (5, 15)  # frames: how far off the wrong sound of validation's windows is
_PER_CLIP = 8  # windows of each clip in validation
_FLOOR = 3.7e-44  # e**-100: torch holds logarithms of chances above -100


class ChangeConfig(Section):
    """Augmentation, one draw for a window: flipping (chance), brightness and colour (factors, plus or minus), blur
    (chance), noise (grey levels, standard deviation at most) and stains (chance).

    Stains are up to four small coloured patches that come and go from frame to frame: marks by which a generator would
    otherwise please an expert without moving the lips.
    """

    flip: float = Field(default=0.0, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    colour: float = Field(default=0.0, ge=0, lt=1)
    blur: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0)
    stains: float = Field(default=0.0, ge=0, le=1)


class ExpertConfig(RunConfig):
    """Everything that a training run of the expert follows from. `clips` times `windows` of each make a batch."""

    width: Width
    loss: Literal["bce", "infonce"]
    clips: int = Field(gt=0)
    windows: int = Field(gt=0)
    validation_clips: int = Field(gt=0)
    optimizer: OptimizerConfig
    guide: GuideConfig = GuideConfig(weight=0, steps=0)
    change: ChangeConfig = ChangeConfig()


class ExpertTraining(Method):
    """The method for the loop."""

    best = ("window", "max")

    def __init__(self, config: ExpertConfig, data: Path, init: Path | None = None) -> None:
        """`data`: prepared clips. `init`: weights to begin with. Raises UsageError for data it cannot train on."""
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
                f"{data}: {len(self.training)} clips for training with {fewest} windows, {len(self.validation)} for "
                f"validation; {needed} and 1 are needed"
            )
        if config.guide.steps and config.loss == "bce":
            raise UsageError('the guide helps infonce only; set guide.steps = 0, or loss = "infonce"')
        if config.guide.steps and not self._store.has(self.training[0], "lips"):
            raise UsageError(f"{data}: the guide needs lip parameters, which only MiniLRS has; set guide.steps = 0")

    def networks(self) -> dict[str, nn.Module]:
        """The expert."""
        network = ListeningExpert(self.config.width, self.config.loss == "infonce", self.config.guide.steps > 0)
        if self._init is not None:
            begin_from(network.expert, load_expert(self._init), self._init)
        return {EXPERT: network.to(memory_format=torch.channels_last)}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """The config's."""
        return {EXPERT: self.config.optimizer.of(networks[EXPERT])}

    def passes(self, step: int) -> list[Pass]:
        """One."""
        return [Pass(EXPERT, matching_loss)]

    def batch(self, number: int, rank: int) -> Batch:
        """`faces` uint8 (N,15,48,96), `mel` (N,1,80,16), `in_sync` (N,1); under the guide `lips` and its weight."""
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
        """As released: a clip, a window, and half the time the sound of another window of it."""
        items = []
        for _ in range(self.config.clips * self.config.windows):
            clip = self.training[rng.integers(len(self.training))]
            seen, heard = (int(place) for place in rng.choice(np.array(places(clip)), 2, replace=False))
            items.append((clip, seen, seen if rng.random() < 0.5 else heard))
        return items

    def _matching(self, rng: np.random.Generator, guided: bool) -> list[tuple[PreparedClip, int, int]]:
        """Windows of a few clips; while the guide lasts, one each of many."""
        items = []
        per_clip = 1 if guided else self.config.windows
        count = self.config.clips * self.config.windows // per_clip
        for chosen in rng.choice(len(self.training), count, replace=count > len(self.training)):
            clip = self.training[chosen]
            starts = rng.choice(np.array(places(clip)), per_clip, replace=False)
            items += [(clip, int(start), int(start)) for start in starts]
        return items

    def _faces(self, clip: PreparedClip, start: int, rng: np.random.Generator) -> NDArray[np.uint8]:
        """(15,48,96)."""
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
        """On held-out clips: how often a window's own sound is nearer than one 5 to 15 frames off (`window`), and the
        released code's loss with half of the pairs wrong (`sync`)."""
        network = networks[EXPERT]
        assert isinstance(network, ListeningExpert)
        return window_accuracy(network.expert, self._store, self.validation, self.config.validation_clips, device)


def _stain(pictures: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A soft coloured patch on (T,H,W,3), as strong in each frame as chance will have it."""
    height, width = pictures.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across, down = rng.uniform(1, 8, 2)
    far = ((x - rng.uniform(0, width)) / across) ** 2 + ((y - rng.uniform(0, height)) / down) ** 2
    patch = np.exp(-far)[None, :, :, None] * rng.uniform(0, 0.8, (len(pictures), 1, 1, 1))
    pictures += (patch * (rng.uniform(0, 255, 3) - pictures)).astype(np.float32)


def window_accuracy(
    expert: Expert, store: PreparedClips, clips: list[PreparedClip], count: int, device: torch.device
) -> dict[str, float]:
    """`window`: share of (window, shift) where the own sound is the nearer; `sync`: mean cross entropy, half wrong."""
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
    """`weights.safetensors`, and at full width `lipsync_expert.pth` for the original code."""
    network = networks[EXPERT]
    assert isinstance(network, ListeningExpert)
    state = network.expert.state_dict()
    files = [out / "weights.safetensors"]
    write_weights(files[0], state, {"lse_bench": EXPERT, "width": repr(config.width), "precision": config.precision})
    if config.width == 1:
        files.append(out / "lipsync_expert.pth")
        write_official(files[1], state, config.steps)
    return files
