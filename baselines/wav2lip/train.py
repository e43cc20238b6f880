"""Training of Wav2Lip's generator, alone (`wav2lip`) or against the quality discriminator (`wav2lip-gan`).

A sample is five frames with their lower halves blanked, five reference frames of the same clip, and the sound. The loss
is (1-w-q) L1 + w sync + q quality. The sync weight w is 0 until validation's sync loss falls below a threshold, as
released, or until a given step. A checkpoint stores whether the threshold has switched the weight on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from lse_bench.baselines.pictures import mouth_measures
from lse_bench.baselines.validation import begin_from, in_batches, mismatched, sample_sheet
from lse_bench.baselines.wav2lip.losses import sync_loss
from lse_bench.baselines.wav2lip.model import COLUMNS, Expert, Generator, QualityDiscriminator, masked
from lse_bench.baselines.wav2lip.passes import GENERATOR, JUDGE, passes_of, planes
from lse_bench.baselines.wav2lip.weights import load_expert, load_network, write_official
from lse_bench.baselines.wav2lip.windows import WindowSamples, first_column
from lse_bench.errors import UsageError
from lse_bench.precision import widened
from lse_bench.sync.syncnet import load_syncnet
from lse_bench.training.config import OptimizerConfig, RunConfig, Section, Width
from lse_bench.training.export import write_weights
from lse_bench.training.loop import Method
from lse_bench.training.lse_probe import Draw, Pictures, spread
from lse_bench.training.prepared import PreparedClip, PreparedClips, windows
from lse_bench.training.split import split_clips
from lse_bench.training.steps import Batch, Pass

_PER_CLIP = 2  # windows of each clip in validation


class SyncConfig(Section):
    """Settings for the sync loss.

    `weight`: weight of the sync loss, once it is on. `threshold`: it switches on for good when validation's sync loss
    is below this value. `start`: it switches on at this step. If both are None, it stays off. `ramp`: from `start` on
    the weight rises over this many steps, because Adam has no statistics of these gradients yet. `expert_mode`: `train`
    leaves the expert's BatchNorms in training mode, as released. `gentle`: see `sync_loss`. `lend_ear`: the generator's
    audio encoder starts with the weights of the expert's, which has the same shape except for one more block. This
    applies also if `weight` is 0, but not if `--init` is given.
    """

    weight: float = Field(ge=0, lt=1)
    threshold: float | None = None
    start: int | None = None
    ramp: int = Field(default=0, ge=0)
    expert_mode: Literal["eval", "train"] = "eval"
    gentle: bool = False
    lend_ear: bool = False

    def weight_at(self, step: int) -> float:
        """Return the weight at `step`, counted from 0, if no threshold has switched it on."""
        if self.start is None or step < self.start:
            return 0.0
        return self.weight * min(1.0, (step - self.start + 1) / (self.ramp + 1))


class JudgeConfig(Section):
    """Settings for the quality discriminator. `weight`: weight of its loss in the generator's loss."""

    weight: float = Field(ge=0, lt=1)
    optimizer: OptimizerConfig


class GeneratorConfig(RunConfig):
    """Everything that determines a training run of Wav2Lip.

    `window_offset`: frames from a frame to the start of its sound. The released code has -1 in training and 0 in
    inference. `reference_gap`: least distance in frames between the starts of reference and target window; 1 as
    released. `norm_start`: step from which the generator's BatchNorms use their running statistics, as in inference.
    None means never, as released. A small batch has few clips, and its own statistics hide how light or dark they are.
    `judge`: None trains without the quality discriminator.
    """

    width: Width
    batch: int = Field(gt=0)
    window_offset: int = Field(ge=-4, le=4)
    reference_gap: int = Field(default=1, ge=1)
    norm_start: int | None = None
    validation_clips: int = Field(gt=0)
    lse_clips: int = Field(ge=0)
    optimizer: OptimizerConfig
    sync: SyncConfig
    judge: JudgeConfig | None = None


class GeneratorTraining(Method):
    """The training method of Wav2Lip's generator for the common loop."""

    best = ("total", "min")

    def __init__(
        self,
        config: GeneratorConfig,
        data: Path,
        expert: Path | None = None,
        scorer: Path | None = None,
        init: Path | None = None,
    ) -> None:
        """Read the index of the prepared clips in `data` and check it.

        `expert`: the expert's weights. `scorer`: SyncNet's weights, for LSE in validation; None leaves LSE out. `init`:
        weights to start from, None for random ones. Raises UsageError if the faces are not cropped as `box`, if no
        clips are long enough, or if a sync weight or `lend_ear` is set without an expert.
        """
        if (config.sync.weight or config.sync.lend_ear) and expert is None:
            raise UsageError(
                "sync.weight above 0 or sync.lend_ear = true needs --expert WEIGHTS, made by lse-bench train expert. "
                "To train without an expert, set sync.weight = 0 and sync.lend_ear = false"
            )
        self.config, self._init, self._scorer_path = config, init, scorer
        self._store = PreparedClips(data)
        self._store.need("box", "Wav2Lip")
        parts = split_clips(self._store.clips)
        self._samples = WindowSamples(self._store, config.window_offset, config.reference_gap)
        self.training = [clip for clip in parts["training"] if self._samples.usable(clip)]
        self.validation = [clip for clip in parts["validation"] if self._samples.usable(clip)]
        if not self.training or not self.validation:
            raise UsageError(
                f"{data}: {len(self.training)} training clips and {len(self.validation)} validation clips are long "
                "enough. At least 1 of each is needed: prepare more or longer clips"
            )
        self._expert_path = expert
        self._expert: nn.Module | None = None
        self._sync_on = False

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for loader processes, without the expert, which they do not need."""
        return self.__dict__ | {"_expert": None}

    def networks(self) -> dict[str, nn.Module]:
        """Return the generator and, if the config has a `judge`, the quality discriminator."""
        generator = Generator(self.config.width)
        if self._init is not None:
            begin_from(generator, load_network(self._init), self._init)
        elif self.config.sync.lend_ear:
            assert self._expert_path is not None
            hear_like(generator, load_expert(self._expert_path))
        networks: dict[str, nn.Module] = {GENERATOR: generator}
        if self.config.judge is not None:
            networks[JUDGE] = QualityDiscriminator(self.config.width)
        return {name: network.to(memory_format=torch.channels_last) for name, network in networks.items()}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return the config's optimiser for each network."""
        found = {GENERATOR: self.config.optimizer.of(networks[GENERATOR])}
        if self.config.judge is not None:
            found[JUDGE] = self.config.judge.optimizer.of(networks[JUDGE])
        return found

    def place(self, device: torch.device) -> None:
        """Load the frozen expert onto `device`, in the mode that the config gives."""
        if self._expert_path is not None:
            expert = load_expert(self._expert_path).requires_grad_(False).to(device)
            self._expert = expert.to(memory_format=torch.channels_last)
            self._expert.train(self.config.sync.expert_mode == "train")

    def passes(self, step: int) -> list[Pass]:
        """Return the passes of `step`, counted from 0; see `passes_of`."""
        weight = self.config.sync.weight if self._sync_on else self.config.sync.weight_at(step)
        quality = None if self.config.judge is None else self.config.judge.weight
        settled = self.config.norm_start is not None and step >= self.config.norm_start
        return passes_of(self._expert, weight, quality, settled, self.config.sync.gentle)

    def batch(self, number: int, rank: int) -> Batch:
        """Return a batch of random training clips; see `WindowSamples.of`."""
        rng = np.random.default_rng((self.config.seed, number, rank))
        chosen = rng.integers(len(self.training), size=self.config.batch)
        return self._samples.of([self.training[number] for number in chosen], rng)

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return measures on held-out clips.

        `recon`, `mouth`, `copy`, `sync`: see `measure_clips`. `total`: (1-w) `recon` + w `sync` with the full sync
        weight w, which is 0 without an expert. `lse_d`, `lse_c`: LSE of faces drawn to mismatched audio, if the config
        has `lse_clips` and there is a scorer.
        """
        clips = spread(self.validation, self.config.validation_clips)
        gentle = self.config.sync.gentle
        found = measure_clips(
            networks[GENERATOR], self._expert, self._samples, clips, device, self.config.batch, gentle
        )
        weight = self.config.sync.weight if self._expert is not None else 0.0
        found["total"] = (1 - weight) * found["recon"] + (weight * found["sync"] if weight else 0.0)
        if self.config.lse_clips and self._scorer_path is not None:
            scorer, draw = load_syncnet(self._scorer_path), self.drawer(networks[GENERATOR], device)
            found |= mismatched(scorer, self._store, self.validation, self.config.lse_clips, draw, device)
        return found

    def after_validation(self, measures: dict[str, float]) -> None:
        """Switch the sync weight on, for the rest of the run, if `sync` is below the threshold."""
        threshold = self.config.sync.threshold
        self._sync_on |= threshold is not None and measures["sync"] < threshold

    def state(self) -> dict[str, float]:
        """Return whether the threshold has switched the sync weight on: `sync_on`, 1 or 0."""
        return {"sync_on": float(self._sync_on)}

    def restore(self, state: dict[str, float]) -> None:
        """Restore what `state` returned."""
        self._sync_on = bool(state["sync_on"])

    def drawer(self, generator: nn.Module, device: torch.device) -> Draw:
        """Return a function that draws whole clips as inference does: each frame is its own reference."""

        def draw(clip: PreparedClip, heard: PreparedClip) -> Pictures:
            faces, mel = self._store.read(clip, "faces"), self._store.read(heard, "mel")
            return draw_clip(generator, faces, mel, self.config.window_offset, device)

        return draw

    def pictures(self, networks: dict[str, nn.Module], device: torch.device) -> NDArray[np.uint8]:
        """Return a sample picture; see `validation.sample_sheet`."""
        return sample_sheet(self._store, self.validation, self.drawer(networks[GENERATOR], device))


def hear_like(generator: Generator, expert: Expert) -> None:
    """Copy the weights of the expert's audio encoder to the generator's. Both networks must have the same width.

    The expert has one more residual block, which is left out.
    """
    blocks = list(expert.audio_encoder)
    del blocks[len(blocks) - 3]
    for ours, theirs in zip(generator.audio_encoder, blocks, strict=True):
        ours.load_state_dict(theirs.state_dict())


def measure_clips(
    generator: nn.Module,
    expert: nn.Module | None,
    samples: WindowSamples,
    clips: Sequence[PreparedClip],
    device: torch.device,
    together: int = 16,
    gentle: bool = False,
) -> dict[str, float]:
    """Return means over two windows of each clip: `mouth_measures`, and the expert's loss `sync`.

    `expert`: None makes `sync` NaN. `together`: windows in a batch, each of another clip. If the expert is in training
    mode, its loss depends on all windows of the batch. `gentle`: see `sync_loss`.
    """
    rng = np.random.default_rng(0)
    rows, weights = [], []
    for start in [*range(0, len(clips), together)] * _PER_CLIP:
        some = list(clips[start : start + together])
        batch = {name: value.to(device) for name, value in samples.of(some, rng).items()}
        target, reference = planes(batch["target"]), planes(batch["reference"])
        drawn = widened(generator(batch["mels"], torch.cat([masked(target), reference], dim=1)))
        sync = float("nan") if expert is None else float(sync_loss(expert, batch["mel"], drawn, gentle))
        rows.append(mouth_measures(drawn, target, reference) | {"sync": sync})
        weights.append(len(some))
    return {name: float(np.average([row[name] for row in rows], weights=weights)) for name in rows[0]}


def draw_clip(
    generator: nn.Module, faces: Pictures, mel: NDArray[np.float32], offset: int, device: torch.device
) -> Pictures:
    """Return `faces`, uint8 (T,96,96,3) BGR, redrawn to a mel spectrogram (columns,80).

    The result ends with the shorter of the two. `offset`: frames from a frame to the start of its sound.
    """
    count = min(len(faces), int((len(mel) - COLUMNS) / first_column(5) * 5) + 1)
    heard = windows(mel, np.array([first_column(i + offset) for i in range(count)]), COLUMNS)[:, None]
    drawn = []
    for at in in_batches(count):
        whole = torch.from_numpy(faces[at]).to(device).permute(0, 3, 1, 2).float() / 255
        pictures = generator(torch.from_numpy(heard[at]).to(device), torch.cat([masked(whole), whole], dim=1))
        drawn.append((pictures.float() * 255).permute(0, 2, 3, 1).cpu().numpy().astype(np.uint8))
    return np.concatenate(drawn)


def export(networks: dict[str, nn.Module], config: GeneratorConfig, out: Path) -> list[Path]:
    """Write `weights.safetensors` for our adapter and, at full width, files in the released layout. Return the paths.

    The generator's file is `wav2lip.pth` or `wav2lip_gan.pth`. The discriminator's is `visual_quality_disc.pth`.
    """
    name = "wav2lip" if config.judge is None else "wav2lip-gan"
    state = networks[GENERATOR].state_dict()
    files = [out / "weights.safetensors"]
    about = {
        "lse_bench": name,
        "width": repr(config.width),
        "window_offset": str(config.window_offset),
        "precision": config.precision,
    }
    write_weights(files[0], state, about)
    if config.width == 1:
        files.append(out / f"{name.replace('-', '_')}.pth")
        write_official(files[1], state, config.steps)
        if config.judge is not None:
            files.append(out / "visual_quality_disc.pth")
            write_official(files[2], networks[JUDGE].state_dict(), config.steps)
    return files
