"""Wav2Lip's losses and one step of training of each of its networks, as the released code has them.

A batch of the generator: `faces` (B,6,T,96,96), the target's upper half and a reference; `target` (B,3,T,96,96);
`mels` (B,T,1,80,16), a window of sound for each frame; `mel` (B,1,80,16), the window of all T = 5 frames. The expert is
frozen; the released code leaves it in training mode, where its BatchNorms use statistics of the generated batch, and
that makes the gradient of the sync loss some sixty times larger at batch 4. Whoever calls decides by `expert.eval()`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from lse_bench.baselines.halves import SIZE
from lse_bench.baselines.wav2lip.model import Expert, Generator, QualityDiscriminator
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

RELEASED_SYNC_WEIGHT, RELEASED_GAN_SYNC_WEIGHT, RELEASED_QUALITY_WEIGHT = 0.01, 0.03, 0.07
SYNC_THRESHOLD = 0.75  # evaluation's sync loss below which the released code switches its weight on


@dataclass(frozen=True, slots=True)
class GeneratorBatch:
    """See the module's text."""

    faces: Tensor
    target: Tensor
    mels: Tensor
    mel: Tensor


def expert_loss(expert: Expert, mel: Tensor, faces: Tensor, in_sync: Tensor) -> Tensor:
    """Cross entropy of the cosine of sound (B,1,80,16) and lower half faces (B,15,48,96); `in_sync` (B,1): 1 or 0."""
    sound, face = expert(mel, faces)
    # Both are of length 1 and not negative; rounding can carry the cosine over 1.
    cosine = F.cosine_similarity(sound, face).clamp(0, 1)
    return F.binary_cross_entropy(cosine[:, None], in_sync)


def lower_windows(drawn: Tensor) -> Tensor:
    """What the expert sees of drawn faces (B,3,T,96,96): (B,3T,48,96), t0 B, G, R, t1 …"""
    return drawn[:, :, :, SIZE // 2 :].transpose(1, 2).flatten(1, 2)


def sync_loss(expert: Expert, mel: Tensor, drawn: Tensor) -> Tensor:
    """How far drawn faces are from being in sync with their sound, by the expert."""
    return expert_loss(expert, mel, lower_windows(drawn), drawn.new_ones(len(drawn), 1))


def judged_as(judge: QualityDiscriminator, faces: Tensor, real: bool) -> Tensor:
    """Cross entropy of the quality discriminator's opinion of faces (B,3,T,96,96) against `real`."""
    opinion = judge(faces)
    return F.binary_cross_entropy(opinion, torch.full_like(opinion, float(real)))


def expert_step(expert: Expert, optimizer: Optimizer, mel: Tensor, faces: Tensor, in_sync: Tensor) -> dict[str, float]:
    """One step of the expert; returns its loss before it."""
    optimizer.zero_grad()
    loss = expert_loss(expert, mel, faces, in_sync)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return {"sync": float(loss.detach())}


def generator_step(
    generator: Generator, expert: Expert, optimizer: Optimizer, batch: GeneratorBatch, sync_weight: float
) -> dict[str, float]:
    """One step of Wav2Lip: (1-w) L1 + w sync. Without a weight the expert is not asked."""
    optimizer.zero_grad()
    drawn = generator(batch.mels, batch.faces)
    recon = F.l1_loss(drawn, batch.target)
    sync = sync_loss(expert, batch.mel, drawn) if sync_weight else drawn.new_zeros(())
    loss = sync_weight * sync + (1 - sync_weight) * recon
    loss.backward()
    optimizer.step()
    return {"recon": float(recon.detach()), "sync": float(sync.detach())}


def gan_step(
    generator: Generator,
    expert: Expert,
    judge: QualityDiscriminator,
    optimizer: Optimizer,
    judge_optimizer: Optimizer,
    batch: GeneratorBatch,
    sync_weight: float,
    quality_weight: float = RELEASED_QUALITY_WEIGHT,
) -> dict[str, float]:
    """One step of Wav2Lip+GAN: the generator, then the discriminator on what was drawn before that step."""
    optimizer.zero_grad()
    judge_optimizer.zero_grad()
    drawn = generator(batch.mels, batch.faces)
    sync = sync_loss(expert, batch.mel, drawn) if sync_weight else drawn.new_zeros(())
    perceptual = judged_as(judge, drawn, real=True) if quality_weight else drawn.new_zeros(())
    recon = F.l1_loss(drawn, batch.target)
    rest = 1 - sync_weight - quality_weight
    loss = sync_weight * sync + quality_weight * perceptual + rest * recon
    loss.backward()
    optimizer.step()
    judge_optimizer.zero_grad()
    real = judged_as(judge, batch.target, real=True)
    real.backward()  # type: ignore[no-untyped-call]
    fake = judged_as(judge, drawn.detach(), real=False)
    fake.backward()  # type: ignore[no-untyped-call]
    judge_optimizer.step()
    values = {"recon": recon, "sync": sync, "perceptual": perceptual, "disc_real": real, "disc_fake": fake}
    return {name: float(value.detach()) for name, value in values.items()}
