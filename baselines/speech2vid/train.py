"""Training of Speech2Vid: the generator, then the network that sharpens what it draws.

The published training was never released; what is known of it, and which choices are this project's, stands in the
README beside this file. A sample is a face at frame n, five faces of the same clip more than five frames away as the
identity, and the 35 MFCC columns whose middle is n; digital silence stays NaN, which the network's rule makes 0.
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

_BLUR, _SIGMA = 5, 2.0  # of the blurred faces that a re-implementation trains its deblurring on


class Speech2VidConfig(RunConfig):
    """Everything that a training run of the generator follows from.

    `content`: weight of the content loss, which needs `--content`. `mask_zero_targets`: its features that are exactly 0
    in the target count for nothing, as in the authors' own loss. `identity_gap`: frames that the identity's faces keep
    from the target, at least.
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
    """Of the deblurring network. `source`: what it sharpens, faces that the generator drew or blurred real ones."""

    width: Width
    batch: int = Field(gt=0)
    identity_gap: int = Field(default=6, ge=1)
    source: Literal["generator", "blur"]
    loss: Literal["mse", "mae"]
    validation_clips: int = Field(gt=0)
    optimizer: OptimizerConfig


class Speech2VidTraining(Method):
    """The generator's method for the loop."""

    best = ("recon", "min")

    def __init__(
        self,
        config: Speech2VidConfig,
        data: Path,
        scorer: Path | None = None,
        content: Path | None = None,
        init: Path | None = None,
    ) -> None:
        """`data`: prepared clips, aligned; `scorer`: SyncNet's weights, for LSE; `content`: a MatConvNet file with the
        content loss's encoder; `init`: a generator to begin with. Raises UsageError for what does not fit.
        """
        if bool(config.content) != (content is not None):
            raise UsageError("a content loss needs both: content above 0 in the config, and --content FILE")
        self.config, self._init, self._scorer_path = config, init, scorer
        self._samples = IdentitySamples(PreparedClips(data), config.identity_gap)
        self.training, self.validation = self._samples.parts()
        self._content = None if content is None else load_content(content)

    def __getstate__(self) -> dict[str, Any]:
        """For loader processes, which need no encoder."""
        return self.__dict__ | {"_content": None}

    def networks(self) -> dict[str, nn.Module]:
        """The generator."""
        network = fresh(generator_layers(self.config.width), PREDICTION)
        return {GENERATOR: network if self._init is None else _alike(load_network(self._init), network, self._init)}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """The config's."""
        return {GENERATOR: self.config.optimizer.of(networks[GENERATOR])}

    def place(self, device: torch.device) -> None:
        """The content loss's encoder."""
        if self._content is not None:
            self._content[0].requires_grad_(False).to(device)

    def passes(self, step: int) -> list[Pass]:
        """One."""
        return [drawing_pass(self._content, self.config.content, self.config.mask_zero_targets)]

    def batch(self, number: int, rank: int) -> Batch:
        """See `IdentitySamples.of`."""
        return self._samples.batch(self.training, self.config.batch, (self.config.seed, number, rank))

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """On held-out clips: L1 of whole faces (`recon`) and lower halves, that of a pasted other face of the clip
        (`copy`), LSE of faces drawn to mismatched audio.
        """
        clips = spread(self.validation, self.config.validation_clips)
        found = measure_clips(networks[GENERATOR], self._samples, clips, device)
        if self.config.lse_clips and self._scorer_path is not None:
            store, clips = self._samples.store, self.validation
            draw = self.drawer(networks[GENERATOR], device)
            found |= mismatched(load_syncnet(self._scorer_path), store, clips, self.config.lse_clips, draw, device)
        return found

    def drawer(self, generator: nn.Module, device: torch.device) -> Draw:
        """Draws whole clips: the identity is five faces of the clip, five frames apart, as the adapter takes them."""
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
        """See `training.sample_sheet`."""
        return sample_sheet(self._samples.store, self.validation, self.drawer(networks[GENERATOR], device))


def measure_clips(
    generator: nn.Module, samples: IdentitySamples, clips: Sequence[PreparedClip], device: torch.device
) -> dict[str, float]:
    """Mean `mouth_measures` over four faces of each clip; the reference is a face of the identity."""
    rows = []
    for batch in samples.held_out(clips, device):
        other = unit(batch["identity"][:, 0, INSIDE, INSIDE].flip(-1))
        rows.append(mouth_measures(generator(inputs_of(batch)).float(), wanted_of(batch), other))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


class DeblurTraining(Method):
    """The deblurring network's method for the loop; the generator is frozen."""

    best = ("sharp", "min")

    def __init__(self, config: DeblurConfig, data: Path, generator: Path | None, init: Path | None = None) -> None:
        """`generator`: its weights, needed where the config draws with it."""
        if (config.source == "generator") != (generator is not None):
            raise UsageError("source = generator in the config and --generator WEIGHTS belong together")
        self.config, self._init = config, init
        self._samples = IdentitySamples(PreparedClips(data), config.identity_gap)
        self.training, self.validation = self._samples.parts()
        self._generator = None if generator is None else load_network(generator)

    def __getstate__(self) -> dict[str, Any]:
        """For loader processes, which need no generator."""
        return self.__dict__ | {"_generator": None}

    def networks(self) -> dict[str, nn.Module]:
        """The deblurring network. Its last layer begins at 0, so that it first leaves faces as they are."""
        network = fresh(deblur_layers(self.config.width), DEBLURRED)
        if self._init is not None:
            return {DEBLUR: _alike(load_deblurring(self._init), network, self._init)}
        nn.init.zeros_(network.get_submodule(network.chain[-1].name).weight)  # type: ignore[arg-type]
        return {DEBLUR: network}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """The config's."""
        return {DEBLUR: self.config.optimizer.of(networks[DEBLUR])}

    def place(self, device: torch.device) -> None:
        """The generator."""
        if self._generator is not None:
            self._generator.requires_grad_(False).to(device)

    def passes(self, step: int) -> list[Pass]:
        """One."""
        return [sharpening_pass(self._soft, self.config.loss)]

    def batch(self, number: int, rank: int) -> Batch:
        """As the generator's, and `blurred` uint8 (B,109,109,3) where the config blurs."""
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
        """On held-out clips: mean absolute error before (`soft`) and after (`sharp`)."""
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
    """The given network. Raises UsageError when it is not of the config's shape."""
    shapes = [{name: tuple(value.shape) for name, value in graph.state_dict().items()} for graph in (given, fresh)]
    if shapes[0] != shapes[1]:
        raise UsageError(f"{path}: --init of another shape than the config's network; is its width the config's?")
    return given


def export(networks: dict[str, nn.Module], config: Speech2VidConfig | DeblurConfig, out: Path) -> list[Path]:
    """`weights.safetensors` for our adapter."""
    name = GENERATOR if GENERATOR in networks else DEBLUR
    state = {key: value for key, value in networks[name].state_dict().items() if "num_batches" not in key}
    path = out / "weights.safetensors"
    write_weights(path, state, {"lse_bench": name, "width": repr(config.width), "precision": config.precision})
    return [path]
