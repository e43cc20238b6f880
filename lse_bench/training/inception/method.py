"""Train a narrow Inception: its features tell who it is, what the renderer knows, and what damage the picture has.

The labels make the features see what FID is asked for: another person, another light, another mouth, blur, noise, a
pasted box. Each is read from the pooled features by a linear map, so a change of any of them moves the features' mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from lse_bench.fidelity.inception import INPUT_SIZE
from lse_bench.fidelity.inception_network import PUBLISHED, plain_network
from lse_bench.precision import widened
from lse_bench.training.config import OptimizerConfig
from lse_bench.training.inception.config import InceptionConfig
from lse_bench.training.inception.frame_store import FACTS, FrameStore
from lse_bench.training.inception.samples import DAMAGES, draw_sample
from lse_bench.training.loop import Method
from lse_bench.training.steps import Batch, Memory, Networks, Pass

NETWORK = "inception"
_AT_ONCE = 32  # frames of a validation in one batch


class Told(nn.Module):
    """Inception with linear maps that read its features: speakers, facts, and the presence and strength of damage."""

    def __init__(self, width: float, speakers: int) -> None:
        super().__init__()
        self.network = plain_network(width)
        features = int(PUBLISHED * width)
        self.who = nn.Linear(features, speakers)
        self.facts = nn.Linear(features, FACTS)
        self.damage = nn.Linear(features, 2 * len(DAMAGES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scores of the speakers, facts, presence (logits) and strength of damage for uint8 RGB (N,3,S,S)."""
        x = F.interpolate(pictures.float() / 255, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        features = widened(self.network((2 * x - 1).contiguous(memory_format=torch.channels_last)))
        present, strength = self.damage(features).chunk(2, dim=1)
        return self.who(features), self.facts(features), present, strength


class InceptionMethod(Method):
    """Inception's training method: data, losses and validation."""

    def __init__(self, config: InceptionConfig, training: Path, validation: Path, speakers: int) -> None:
        """`training`, `validation`: folders that `store_frames` wrote. `speakers`: how many the corpus has."""
        self.config, self._speakers = config, speakers
        self._folders = training, validation
        self._store: FrameStore | None = None
        facts = FrameStore(training).facts
        self._middle, self._spread = facts.mean(axis=0), facts.std(axis=0) + 1e-6

    def networks(self) -> dict[str, nn.Module]:
        """Return a new network."""
        return {NETWORK: Told(self.config.width, self._speakers).to(memory_format=torch.channels_last)}

    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return AdamW for the network."""
        config = OptimizerConfig(kind="adamw", rate=self.config.rate, weight_decay=self.config.weight_decay)
        return {NETWORK: config.of(networks[NETWORK])}

    def passes(self, step: int) -> list[Pass]:
        """Return the single pass."""
        return [Pass(NETWORK, self._loss)]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without frames, because loader processes open them themselves."""
        return self.__dict__ | {"_store": None}

    def batch(self, number: int, rank: int) -> Batch:
        """Return `pictures` uint8 RGB (N,3,S,S), `who` (N,), and `facts` and `damage` float32 (N,…)."""
        if self._store is None:
            self._store = FrameStore(self._folders[0])
        rng = np.random.default_rng((self.config.seed, number, rank))
        chosen = rng.choice(len(self._store.who), self.config.batch.frames, replace=False)
        return self._batch(self._store, [int(one) for one in chosen], rng)

    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return measures on held-out people.

        `facts`: 1 minus the mean squared error, in units of the variance of training. `damage` and the name of each
        damage: the share of the variance of the strength that is explained.
        """
        network = networks[NETWORK]
        store = FrameStore(self._folders[1])
        rng = np.random.default_rng(self.config.seed)
        count = min(self.config.validation_frames, len(store.who))
        chosen = rng.choice(len(store.who), count, replace=False)
        told: list[tuple[Tensor, Tensor]] = []
        wanted: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(chosen), _AT_ONCE):
            batch = self._batch(store, [int(one) for one in chosen[start : start + _AT_ONCE]], rng)
            _, facts, _, strength = network(batch["pictures"].to(device))
            told.append((facts.double().cpu(), strength.double().cpu()))
            wanted.append((batch["facts"].double(), batch["damage"].double()))
        (facts, damage), (true_facts, true_damage) = (
            [torch.cat([one[part] for one in pairs]) for part in (0, 1)] for pairs in (told, wanted)
        )
        explained = 1 - (damage - true_damage).square().mean(0) / true_damage.var(0, correction=0).clamp_min(1e-12)
        named = {name.replace("-", "_"): float(value) for name, value in zip(DAMAGES, explained, strict=True)}
        return {"facts": float(1 - (facts - true_facts).square().mean()), "damage": float(explained.mean())} | named

    def _batch(self, store: FrameStore, chosen: list[int], rng: np.random.Generator) -> Batch:
        cv2.setNumThreads(1)
        samples = [draw_sample(store, number, self.config.batch, rng) for number in chosen]
        pictures = np.stack([sample.picture[:, :, ::-1] for sample in samples])
        facts = (np.stack([sample.facts for sample in samples]) - self._middle) / self._spread
        return {
            "pictures": torch.from_numpy(pictures).permute(0, 3, 1, 2),
            "who": torch.tensor([sample.who for sample in samples]),
            "facts": torch.from_numpy(facts),
            "damage": torch.from_numpy(np.stack([sample.damage for sample in samples])),
        }

    def _loss(self, networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        weights = self.config.loss
        speakers, facts, present, strength = networks[NETWORK](batch["pictures"])
        who = F.cross_entropy(speakers, batch["who"])
        told = F.mse_loss(facts, batch["facts"])
        found = F.binary_cross_entropy_with_logits(present, (batch["damage"] > 0).float())
        strong = F.mse_loss(strength, batch["damage"])
        damage = found + 5 * strong  # a strength's variance is some 0.05
        loss = weights.who * who + weights.facts * told + weights.damage * damage
        return loss, {"loss": loss, "who": who, "facts": told, "found": found, "strength": strong}
