"""Training of LipGAN: the generator by its error alone, or against a discriminator of faces and sound.

These follow `train_unet.py` and `train.py` of the released code. A sample is one face with its lower half blanked, a
whole face some frames away in the same clip, and the window of sound. With the discriminator, a step has three passes.
First, the discriminator learns from drawn faces or from sound that was rolled along the batch. A coin decides which;
the other loss is only measured. Second, the discriminator learns from real pairs. Third, the generator learns against
it. Label 0 means real and in sync. In the first pass the generator draws in evaluation mode, with its moving
statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from lse_bench.baselines.lipgan.keras_adam import KerasAdam
from lse_bench.baselines.lipgan.model import Branch, Discriminator, Generator, Size
from lse_bench.baselines.lipgan.passes import GENERATOR, JUDGE, ROLL, faces_of, passes_of
from lse_bench.baselines.lipgan.samples import FaceSamples
from lse_bench.baselines.lipgan.weights import load_generator
from lse_bench.baselines.pictures import mouth_measures, unit
from lse_bench.baselines.validation import begin_from, in_batches, mismatched, sample_sheet
from lse_bench.errors import UsageError
from lse_bench.precision import widened
from lse_bench.sync.syncnet import load_syncnet
from lse_bench.training.config import RunConfig, Section, Width
from lse_bench.training.export import write_weights
from lse_bench.training.loop import Method
from lse_bench.training.lse_probe import Draw, Pictures, spread
from lse_bench.training.prepared import PreparedClip, PreparedClips
from lse_bench.training.split import split_clips
from lse_bench.training.steps import Batch, Pass

_PER_CLIP = 4  # faces of each clip in validation


class KerasAdamConfig(Section):
    """Settings for the Adam of Keras 2.2.4."""

    rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-7

    def of(self, network: nn.Module) -> Optimizer:
        """Return an optimiser of the parameters of `network`."""
        return KerasAdam(network.parameters(), self.rate, self.betas, self.eps)


class JudgeConfig(Section):
    """Settings for the discriminator.

    `penalty`: weight of the discriminator's loss in the generator's loss. `roll`: batch items by which sound is moved
    to be out of sync.
    """

    penalty: float = Field(gt=0)
    roll: int = ROLL
    optimizer: KerasAdamConfig


class LipGanConfig(RunConfig):
    """Everything that determines a training run of LipGAN.

    `window_offset`: frames from a frame to the start of its sound. The released code has -4 for `master`, whose windows
    have the frame in their middle, and -8 for `fully_pythonic`, which kept the picture numbers of `master`.
    `reference_gap`: least distance in frames between target and reference. `judge`: None trains by the error alone.
    """

    branch: Branch
    size: Size
    width: Width
    batch: int = Field(gt=1)
    window_offset: int = Field(ge=-12, le=4)
    reference_gap: int = Field(ge=1)
    validation_clips: int = Field(gt=0)
    lse_clips: int = Field(ge=0)
    optimizer: KerasAdamConfig
    judge: JudgeConfig | None = None


class LipGanTraining(Method):
    """The training method of LipGAN for the common loop."""

    best = ("recon", "min")

    def __init__(self, config: LipGanConfig, data: Path, scorer: Path | None = None, init: Path | None = None) -> None:
        """Read the index of the prepared clips in `data` and check it.

        `scorer`: SyncNet's weights, for LSE in validation; None leaves LSE out. `init`: a generator's weights to start
        from, None for random ones. Raises UsageError if the faces are not cropped as `box`, if no clips are usable, or
        if `judge.roll` is a multiple of the batch size.
        """
        if config.judge is not None and config.judge.roll % config.batch == 0:
            raise UsageError(
                f"judge.roll {config.judge.roll} with batch {config.batch} rolls every sound back to its own face, so "
                "no pair would be out of sync. Choose a roll that is not a multiple of the batch"
            )
        self.config, self._init, self._scorer_path = config, init, scorer
        self._store = PreparedClips(data)
        self._store.need("box", "LipGAN")
        self._samples = FaceSamples(self._store, config.branch, config.window_offset, config.reference_gap)
        parts = split_clips(self._store.clips)
        self.training = [clip for clip in parts["training"] if self._samples.usable(clip)]
        self.validation = [clip for clip in parts["validation"] if self._samples.usable(clip)]
        if not self.training or not self.validation:
            raise UsageError(
                f"{data}: {len(self.training)} training clips and {len(self.validation)} validation clips are without "
                f"silence and long enough for a reference {config.reference_gap} frames away. At least 1 of each is "
                "needed: prepare more or longer clips"
            )

    def networks(self) -> dict[str, nn.Module]:
        """Return the generator and, if the config has a `judge`, the discriminator."""
        config = self.config
        generator = Generator(config.branch, config.size, config.width)
        if self._init is not None:
            begin_from(generator, load_generator(self._init, config.branch), self._init)
        networks: dict[str, nn.Module] = {GENERATOR: generator}
        if config.judge is not None:
            networks[JUDGE] = Discriminator(config.branch, config.width)
        return {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return a Keras Adam for each network."""
        found = {GENERATOR: self.config.optimizer.of(networks[GENERATOR])}
        if self.config.judge is not None:
            found[JUDGE] = self.config.judge.optimizer.of(networks[JUDGE])
        return found

    def passes(self, step: int) -> list[Pass]:
        """Return the passes of a step; see `passes_of`."""
        judge = self.config.judge
        return passes_of(None if judge is None else judge.penalty, ROLL if judge is None else judge.roll)

    def batch(self, number: int, rank: int) -> Batch:
        """Return a batch of random training clips (see `FaceSamples.of`) with `coin`, 0 or 1."""
        rng = np.random.default_rng((self.config.seed, number, rank))
        chosen = rng.integers(len(self.training), size=self.config.batch)
        batch = self._samples.of([self.training[number] for number in chosen], rng)
        return batch | {"coin": torch.tensor(float(rng.integers(2)))}

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return measures on held-out clips.

        `recon`, `mouth`, `copy`: see `mouth_measures`. `lse_d`, `lse_c`: LSE of faces drawn to mismatched audio, if the
        config has `lse_clips` and there is a scorer.
        """
        clips = spread(self.validation, self.config.validation_clips)
        found = measure_clips(networks[GENERATOR], self._samples, clips, device)
        if self.config.lse_clips and self._scorer_path is not None:
            scorer, draw = load_syncnet(self._scorer_path), self.drawer(networks[GENERATOR], device)
            found |= mismatched(scorer, self._store, self.validation, self.config.lse_clips, draw, device)
        return found

    def drawer(self, generator: nn.Module, device: torch.device) -> Draw:
        """Return a function that draws whole clips as inference does: each frame is its own reference."""

        def draw(clip: PreparedClip, heard: PreparedClip) -> Pictures:
            faces, sound = self._store.read(clip, "faces"), self._samples.sound_of(heard)
            count = min(len(faces), len(sound))
            drawn = []
            for at in in_batches(count):
                batch = {name: torch.from_numpy(faces[at]).to(device) for name in ("target", "reference")}
                pictures = generator(faces_of(batch), torch.from_numpy(sound[at]).to(device))
                drawn.append((pictures.float() * 255).permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8))
            return np.concatenate(drawn)

        return draw

    def pictures(self, networks: dict[str, nn.Module], device: torch.device) -> NDArray[np.uint8]:
        """Return a sample picture; see `validation.sample_sheet`."""
        return sample_sheet(self._store, self.validation, self.drawer(networks[GENERATOR], device))


def measure_clips(
    generator: nn.Module, samples: FaceSamples, clips: Sequence[PreparedClip], device: torch.device
) -> dict[str, float]:
    """Return the mean `mouth_measures` over four faces of each clip."""
    rng = np.random.default_rng(0)
    rows = []
    for clip in clips:
        batch = {name: value.to(device) for name, value in samples.of([clip] * _PER_CLIP, rng).items()}
        drawn = widened(generator(faces_of(batch), batch["sound"]))
        rows.append(mouth_measures(drawn, unit(batch["target"]), unit(batch["reference"])))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def export(networks: dict[str, nn.Module], config: LipGanConfig, out: Path) -> list[Path]:
    """Write the generator to `weights.safetensors` for our adapter. Return its path."""
    path = out / "weights.safetensors"
    about = {
        "lse_bench": "lipgan",
        "branch": config.branch,
        "size": config.size,
        "width": repr(config.width),
        "window_offset": str(config.window_offset),
        "precision": config.precision,
    }
    write_weights(path, networks[GENERATOR].state_dict(), about)
    return [path]
