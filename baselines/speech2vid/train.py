"""Training of Speech2Vid: the generator, then the deblurring network, which sharpens the drawn faces.

The authors never released their training. The README in this folder states what is known of it and which choices are
this project's. A sample is a face at frame n, five faces of the same clip at least `identity_gap` frames away as the
identity, and the 35 MFCC columns with n in their middle. Digital silence stays NaN, which the network changes to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from lse_bench.baselines.pictures import mouth_measures, unit
from lse_bench.baselines.speech2vid.graph import Graph
from lse_bench.baselines.speech2vid.model import (
    COLUMNS,
    DEBLURRED,
    IDENTITIES,
    MIDDLE,
    PREDICTION,
    deblur_layers,
    generator_layers,
)
from lse_bench.baselines.speech2vid.passes import INSIDE, drawing_pass, fresh, inputs_of, sharpening_pass, wanted_of
from lse_bench.baselines.speech2vid.samples import PER_FRAME, IdentitySamples
from lse_bench.baselines.speech2vid.weights import DEBLUR, GENERATOR, load_content, load_deblurring, load_network
from lse_bench.baselines.validation import in_batches, mismatched, sample_sheet
from lse_bench.errors import UsageError
from lse_bench.precision import widened
from lse_bench.sync.syncnet import load_syncnet
from lse_bench.training.config import OptimizerConfig, RunConfig, Width
from lse_bench.training.export import write_weights
from lse_bench.training.loop import Method
from lse_bench.training.lse_probe import Draw, Pictures, spread
from lse_bench.training.prepared import PreparedClip, PreparedClips, windows
from lse_bench.training.steps import Batch, Pass

_BLUR, _SIGMA = 5, 2.0  # pixels; of the blurred faces on which a re-implementation trains its deblurring


class Speech2VidConfig(RunConfig):
    """Everything that determines a training run of the generator.

    `identity_gap`: least distance in frames between the target and the identity's faces. `content`: weight of the
    content loss, which needs `--content`. `mask_zero_targets`: the content loss ignores features that are exactly 0 in
    the target, as in the authors' own loss.
    """

    width: Width
    batch: int = Field(gt=1)
    identity_gap: int = Field(default=6, ge=1)
    content: float = Field(default=0.0, ge=0)
    mask_zero_targets: bool = False
    validation_clips: int = Field(gt=0)
    lse_clips: int = Field(ge=0)
    optimizer: OptimizerConfig


class DeblurConfig(RunConfig):
    """Everything that determines a training run of the deblurring network.

    `source`: the faces to sharpen, either drawn by the generator or real ones with blur. `loss`: mean squared or mean
    absolute error. `identity_gap`: least distance in frames between the target and the identity's faces.
    """

    width: Width
    batch: int = Field(gt=0)
    identity_gap: int = Field(default=6, ge=1)
    source: Literal["generator", "blur"]
    loss: Literal["mse", "mae"]
    validation_clips: int = Field(gt=0)
    optimizer: OptimizerConfig


class Speech2VidTraining(Method):
    """The generator's training method for the common loop."""

    best = ("recon", "min")

    def __init__(
        self,
        config: Speech2VidConfig,
        data: Path,
        scorer: Path | None = None,
        content: Path | None = None,
        init: Path | None = None,
    ) -> None:
        """Read the index of the prepared clips in `data` and check it.

        `scorer`: SyncNet's weights, for LSE in validation; None leaves LSE out. `content`: a MatConvNet file with the
        encoder of the content loss. `init`: a generator's weights to start from, None for random ones. Raises
        UsageError if the faces are not cropped as `aligned`, if no clips are long enough, or if only one of the
        config's `content` and the file `content` is given.
        """
        if bool(config.content) != (content is not None):
            raise UsageError("a content loss needs both content above 0 in the config and --content FILE")
        self.config, self._init, self._scorer_path = config, init, scorer
        self._samples = IdentitySamples(PreparedClips(data), config.identity_gap)
        self.training, self.validation = self._samples.parts()
        self._content = None if content is None else load_content(content)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for loader processes, without the encoder, which they do not need."""
        return self.__dict__ | {"_content": None}

    def networks(self) -> dict[str, nn.Module]:
        """Return the generator, fresh or with the weights of `init`."""
        network = fresh(generator_layers(self.config.width), PREDICTION)
        return {GENERATOR: network if self._init is None else _alike(load_network(self._init), network, self._init)}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return the config's optimiser for the generator."""
        return {GENERATOR: self.config.optimizer.of(networks[GENERATOR])}

    def place(self, device: torch.device) -> None:
        """Move the frozen encoder of the content loss to `device`."""
        if self._content is not None:
            self._content[0].requires_grad_(False).to(device)

    def passes(self, step: int) -> list[Pass]:
        """Return the only pass of a step; see `drawing_pass`."""
        return [drawing_pass(self._content, self.config.content, self.config.mask_zero_targets)]

    def batch(self, number: int, rank: int) -> Batch:
        """Return a batch of random training clips; see `IdentitySamples.of`."""
        return self._samples.batch(self.training, self.config.batch, (self.config.seed, number, rank))

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return measures on held-out clips.

        `recon`, `mouth`, `copy`: see `measure_clips`. `lse_d`, `lse_c`: LSE of faces drawn to mismatched audio, if the
        config has `lse_clips` and there is a scorer.
        """
        clips = spread(self.validation, self.config.validation_clips)
        found = measure_clips(networks[GENERATOR], self._samples, clips, device)
        if self.config.lse_clips and self._scorer_path is not None:
            store, clips = self._samples.store, self.validation
            draw = self.drawer(networks[GENERATOR], device)
            found |= mismatched(load_syncnet(self._scorer_path), store, clips, self.config.lse_clips, draw, device)
        return found

    def drawer(self, generator: nn.Module, device: torch.device) -> Draw:
        """Return a function that draws whole clips.

        The identity is five faces of the clip, five frames apart, as in the adapter. The result is aligned faces, uint8
        (T,112,112,3) BGR, whose border is that of the real faces.
        """
        store = self._samples.store

        def draw(clip: PreparedClip, heard: PreparedClip) -> Pictures:
            faces, mfcc = store.read(clip, "faces"), store.read(heard, "mfcc")
            count = min(clip.frames, heard.frames)
            sound = windows(mfcc, (np.arange(count) - MIDDLE) * PER_FRAME, COLUMNS)[:, None]
            whole = faces[:count].copy()
            identity = torch.from_numpy(faces[np.minimum(np.arange(IDENTITIES) * 5, clip.frames - 1)])[None]
            for at in in_batches(count):
                batch = {"sound": torch.from_numpy(sound[at]).to(device), "identity": identity.to(device)}
                batch["identity"] = batch["identity"].expand(len(batch["sound"]), -1, -1, -1, -1)
                drawn = generator(inputs_of(batch)).float()
                whole[at, INSIDE, INSIDE] = (drawn * 255).permute(0, 2, 3, 1).cpu().numpy()[..., ::-1]
            return whole

        return draw

    def pictures(self, networks: dict[str, nn.Module], device: torch.device) -> NDArray[np.uint8]:
        """Return a sample picture; see `validation.sample_sheet`."""
        return sample_sheet(self._samples.store, self.validation, self.drawer(networks[GENERATOR], device))


def measure_clips(
    generator: nn.Module, samples: IdentitySamples, clips: Sequence[PreparedClip], device: torch.device
) -> dict[str, float]:
    """Return the mean `mouth_measures` over four faces of each clip. The reference is a face of the identity."""
    rows = []
    for batch in samples.held_out(clips, device):
        other = unit(batch["identity"][:, 0, INSIDE, INSIDE].flip(-1))
        rows.append(mouth_measures(generator(inputs_of(batch)).float(), wanted_of(batch), other))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


class DeblurTraining(Method):
    """The deblurring network's training method for the common loop. The generator is frozen."""

    best = ("sharp", "min")

    def __init__(self, config: DeblurConfig, data: Path, generator: Path | None, init: Path | None = None) -> None:
        """Read the index of the prepared clips in `data` and check it.

        `generator`: the generator's weights, needed if and only if the config has `source = "generator"`. `init`: a
        deblurring network's weights to start from, None for fresh ones. Raises UsageError if `generator` does not fit
        the config, if the faces are not cropped as `aligned`, or if no clips are long enough.
        """
        if (config.source == "generator") != (generator is not None):
            raise UsageError('source = "generator" in the config and --generator WEIGHTS need each other')
        self.config, self._init = config, init
        self._samples = IdentitySamples(PreparedClips(data), config.identity_gap)
        self.training, self.validation = self._samples.parts()
        self._generator = None if generator is None else load_network(generator)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for loader processes, without the generator, which they do not need."""
        return self.__dict__ | {"_generator": None}

    def networks(self) -> dict[str, nn.Module]:
        """Return the deblurring network. A fresh one has a last layer of 0, so at first it does not change faces."""
        network = fresh(deblur_layers(self.config.width), DEBLURRED)
        if self._init is not None:
            return {DEBLUR: _alike(load_deblurring(self._init), network, self._init)}
        nn.init.zeros_(network.get_submodule(network.chain[-1].name).weight)  # type: ignore[arg-type]
        return {DEBLUR: network}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return the config's optimiser for the deblurring network."""
        return {DEBLUR: self.config.optimizer.of(networks[DEBLUR])}

    def place(self, device: torch.device) -> None:
        """Move the frozen generator to `device`."""
        if self._generator is not None:
            self._generator.requires_grad_(False).to(device)

    def passes(self, step: int) -> list[Pass]:
        """Return the only pass of a step; see `sharpening_pass`."""
        return [sharpening_pass(self._soft, self.config.loss)]

    def batch(self, number: int, rank: int) -> Batch:
        """Return a batch as for the generator. With `source = "blur"` it also has `blurred`, the blurred targets.

        `blurred`: uint8 (B,109,109,3) BGR.
        """
        batch = self._samples.batch(self.training, self.config.batch, (self.config.seed, number, rank))
        if self.config.source == "blur":
            inside = batch["target"][:, INSIDE, INSIDE].numpy()
            blurred = np.stack([cv2.GaussianBlur(face, (_BLUR, _BLUR), _SIGMA) for face in inside])
            batch["blurred"] = torch.from_numpy(blurred)
        return batch

    def _soft(self, batch: Batch) -> Tensor:
        if self._generator is None:
            return unit(batch["blurred"].flip(-1))
        drawn: Tensor = widened(self._generator(inputs_of(batch)))
        return drawn

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return the mean absolute error, 0-1, on held-out clips before (`soft`) and after (`sharp`) sharpening."""
        soft_errors, sharp_errors = [], []
        for batch in self._samples.held_out(spread(self.validation, self.config.validation_clips), device):
            if self.config.source == "blur":
                inside = batch["target"][:, INSIDE, INSIDE].cpu().numpy()
                blurred = np.stack([cv2.GaussianBlur(face, (_BLUR, _BLUR), _SIGMA) for face in inside])
                batch["blurred"] = torch.from_numpy(blurred).to(device)
            soft, wanted = self._soft(batch), wanted_of(batch)
            sharpened = (soft + widened(networks[DEBLUR]({"input_lip": soft}))).clamp(0, 1)
            soft_errors.append(float(F.l1_loss(soft, wanted)))
            sharp_errors.append(float(F.l1_loss(sharpened, wanted)))
        return {"soft": float(np.mean(soft_errors)), "sharp": float(np.mean(sharp_errors))}


def _alike(given: Graph, fresh: Graph, path: Path) -> Graph:
    """Return `given`, the network of the file `path`. Raises UsageError if its shapes differ from those of `fresh`."""
    shapes = [{name: tuple(value.shape) for name, value in graph.state_dict().items()} for graph in (given, fresh)]
    if shapes[0] != shapes[1]:
        raise UsageError(f"{path}: --init has another shape than the config's network; use weights of its width")
    return given


def export(networks: dict[str, nn.Module], config: Speech2VidConfig | DeblurConfig, out: Path) -> list[Path]:
    """Write the trained network to `weights.safetensors` for our adapter. Return its path."""
    name = GENERATOR if GENERATOR in networks else DEBLUR
    state = {key: value for key, value in networks[name].state_dict().items() if "num_batches" not in key}
    path = out / "weights.safetensors"
    write_weights(path, state, {"lse_bench": name, "width": repr(config.width), "precision": config.precision})
    return [path]
