"""Training of LipGAN: the generator by its error alone, or against a discriminator of faces and sound.

As `train_unet.py` and `train.py` of the released code. A sample is one face with its lower half blanked, a whole one
some frames away in the same clip, and the window of sound. Against the discriminator a step is: the discriminator on
drawn faces or on sound that was rolled along the batch (a coin decides; the other is only measured), then on real
pairs, then the generator against it. Label 0 means real and in sync. The discriminator sees faces that the generator
draws in evaluation mode, with its moving statistics.
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
    """Keras 2.2.4's Adam."""

    rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-7

    def of(self, network: nn.Module) -> Optimizer:
        """The optimiser of a network's parameters."""
        return KerasAdam(network.parameters(), self.rate, self.betas, self.eps)


class JudgeConfig(Section):
    """The discriminator's part. `roll`: items by which sound moves along the batch to be out of sync."""

    penalty: float = Field(gt=0)
    roll: int = ROLL
    optimizer: KerasAdamConfig


class LipGanConfig(RunConfig):
    """Everything that a training run of LipGAN follows from.

    `window_offset`: frames from a frame to the start of its sound. As released it is -4 for `master`, whose windows
    have the frame in their middle, and -8 for `fully_pythonic`, which kept the pictures' numbers of `master`.
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
    """The method for the loop."""

    best = ("recon", "min")

    def __init__(self, config: LipGanConfig, data: Path, scorer: Path | None = None, init: Path | None = None) -> None:
        """`data`: prepared clips; `scorer`: SyncNet's weights, for LSE; `init`: a generator to begin with.

        Raises UsageError for data it cannot train on, or a roll that leaves sound where it is.
        """
        if config.judge is not None and config.judge.roll % config.batch == 0:
            raise UsageError(
                f"judge.roll {config.judge.roll} with batch {config.batch} rolls every sound back to its own face, so "
                "nothing would be out of sync; choose a roll that the batch does not divide"
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
                f"{data}: {len(self.training)} clips for training, {len(self.validation)} for validation are long "
                f"enough for a reference {config.reference_gap} frames away and not silent; 1 of each is needed"
            )

    def networks(self) -> dict[str, nn.Module]:
        """The generator and, where the config has one, the discriminator."""
        config = self.config
        generator = Generator(config.branch, config.size, config.width)
        if self._init is not None:
            begin_from(generator, load_generator(self._init, config.branch), self._init)
        networks: dict[str, nn.Module] = {GENERATOR: generator}
        if config.judge is not None:
            networks[JUDGE] = Discriminator(config.branch, config.width)
        return {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Keras's Adam for each."""
        found = {GENERATOR: self.config.optimizer.of(networks[GENERATOR])}
        if self.config.judge is not None:
            found[JUDGE] = self.config.judge.optimizer.of(networks[JUDGE])
        return found

    def passes(self, step: int) -> list[Pass]:
        """See `passes_of`."""
        judge = self.config.judge
        return passes_of(None if judge is None else judge.penalty, ROLL if judge is None else judge.roll)

    def batch(self, number: int, rank: int) -> Batch:
        """See `FaceSamples.of`; and `coin`, 0 or 1."""
        rng = np.random.default_rng((self.config.seed, number, rank))
        chosen = rng.integers(len(self.training), size=self.config.batch)
        batch = self._samples.of([self.training[number] for number in chosen], rng)
        return batch | {"coin": torch.tensor(float(rng.integers(2)))}

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """On held-out clips: L1 of whole faces (`recon`) and mouths, that of the pasted reference's mouth (`copy`), LSE
        of faces drawn to mismatched audio.
        """
        clips = spread(self.validation, self.config.validation_clips)
        found = measure_clips(networks[GENERATOR], self._samples, clips, device)
        if self.config.lse_clips and self._scorer_path is not None:
            scorer, draw = load_syncnet(self._scorer_path), self.drawer(networks[GENERATOR], device)
            found |= mismatched(scorer, self._store, self.validation, self.config.lse_clips, draw, device)
        return found

    def drawer(self, generator: nn.Module, device: torch.device) -> Draw:
        """Draws whole clips as inference does: the reference is the very frame to be changed."""

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
        """See `training.sample_sheet`."""
        return sample_sheet(self._store, self.validation, self.drawer(networks[GENERATOR], device))


def measure_clips(
    generator: nn.Module, samples: FaceSamples, clips: Sequence[PreparedClip], device: torch.device
) -> dict[str, float]:
    """Mean `mouth_measures` over four faces of each clip."""
    rng = np.random.default_rng(0)
    rows = []
    for clip in clips:
        batch = {name: value.to(device) for name, value in samples.of([clip] * _PER_CLIP, rng).items()}
        drawn = widened(generator(faces_of(batch), batch["sound"]))
        rows.append(mouth_measures(drawn, unit(batch["target"]), unit(batch["reference"])))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def export(networks: dict[str, nn.Module], config: LipGanConfig, out: Path) -> list[Path]:
    """`weights.safetensors` for our adapter."""
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
