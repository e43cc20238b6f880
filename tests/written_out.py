"""Steps of training written out once more, as the original scripts have them: no loop, no passes, plain torch.

They are compared with the loop's own steps in float64, where rounding decides nothing, on narrow networks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = dict[str, Tensor]


def expert_steps(expert: Any, batches: list[Batch], rate: float) -> list[dict[str, float]]:
    """Wav2Lip's lip-sync expert: cross entropy of the cosine."""
    optimizer = torch.optim.Adam(expert.parameters(), rate)
    rows = []
    for batch in batches:
        optimizer.zero_grad()
        sound, face = expert(batch["mel"], batch["faces"])
        cosine = F.cosine_similarity(sound, face)
        loss = F.binary_cross_entropy(cosine[:, None], batch["in_sync"])
        loss.backward()
        optimizer.step()
        rows.append({"loss": loss.item()})
    return rows


def wav2lip_steps(
    generator: nn.Module,
    expert: Any,
    judge: Any,
    batches: list[Batch],
    rate: float,
    beta: float,
    sync_weight: float,
    quality_weight: float,
) -> list[dict[str, float]]:
    """Wav2Lip's generator and, unless `judge` is None, its quality discriminator."""
    drawing = torch.optim.Adam(generator.parameters(), rate, (beta, 0.999))
    judging = torch.optim.Adam(judge.parameters(), rate, (beta, 0.999)) if judge is not None else None
    expert.requires_grad_(False)
    rows = []
    for batch in batches:
        target, count = batch["target"], len(batch["target"])
        hidden = target.clone()
        hidden[..., 48:, :] = 0
        drawn = generator(batch["mels"], torch.cat([hidden, batch["reference"]], dim=1))
        recon = (drawn - target).abs().mean()
        sync = perceptual = torch.zeros(())
        if sync_weight:
            seen = torch.cat([drawn[:, :, t, 48:] for t in range(5)], dim=1)
            sound, face = expert(batch["mel"], seen)
            sync = F.binary_cross_entropy(F.cosine_similarity(sound, face)[:, None], torch.ones(count, 1))
        if judge is not None:
            opinion = judge(drawn)
            perceptual = -opinion.log().mean()
        loss = sync_weight * sync + quality_weight * perceptual + (1 - sync_weight - quality_weight) * recon
        drawing.zero_grad()
        loss.backward()
        drawing.step()
        row = {"recon": recon.item(), "sync": sync.item()}
        if judge is not None and judging is not None:
            judging.zero_grad()
            real, fake = judge(target), judge(drawn.detach())
            disc_real, disc_fake = -real.log().mean(), -(1 - fake).log().mean()
            (disc_real + disc_fake).backward()
            judging.step()
            row |= {"perceptual": perceptual.item(), "disc_real": disc_real.item(), "disc_fake": disc_fake.item()}
        rows.append(row)
    return rows


class HandAdam:
    """Keras 2.2.4's Adam, one parameter at a time."""

    def __init__(self, network: nn.Module, rate: float) -> None:
        self._parameters, self._rate, self._count = list(network.parameters()), rate, 0
        self._moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self._parameters]

    def step(self, loss: Tensor) -> None:
        """Move by the gradient of a loss."""
        gradients = torch.autograd.grad(loss, self._parameters)
        self._count += 1
        rate = self._rate * (1 - 0.999**self._count) ** 0.5 / (1 - 0.9**self._count)
        for number, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            m, v = self._moments[number]
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            self._moments[number] = (m, v)
            parameter.data -= rate * m / (v**0.5 + 1e-7)


def contrastive(distance: Tensor, wrong: bool) -> Tensor:
    """LipGAN's loss: large distances are bad for what is real, small ones for what is wrong."""
    return F.relu(1 - distance).square().mean() if wrong else distance.square().mean()


def lipgan_steps(
    generator: nn.Module, judge: Any, batches: list[Batch], rate: float, penalty: float, roll: int
) -> list[dict[str, float]]:
    """LipGAN's generator and, unless `judge` is None, its discriminator; `batch["coin"]` chooses what that learns."""
    drawing = HandAdam(generator, rate)
    judging = HandAdam(judge, rate) if judge is not None else None
    rows = []
    for batch in batches:
        faces, target, sound = batch["faces"], batch["target"], batch["sound"]
        row = {}
        if judging is not None:
            generator.eval()
            with torch.no_grad():
                fake = generator(faces, sound)
            generator.train()
            on_drawn = contrastive(judge(fake, sound), wrong=True)
            on_rolled = contrastive(judge(target, torch.cat([sound[-roll:], sound[:-roll]])), wrong=True)
            judging.step(on_drawn if batch["coin"] else on_rolled)
            on_real = contrastive(judge(target, sound), wrong=False)
            judging.step(on_real)
            row = {"disc_loss": on_drawn.item(), "unsync_loss": on_rolled.item(), "sync_loss": on_real.item()}
        drawn = generator(faces, sound)
        total = mae = (drawn - target).abs().mean()
        if judging is not None:
            adversarial = contrastive(judge(drawn, sound), wrong=False)
            total = mae + penalty * adversarial
            row["adv"] = adversarial.item()
        drawing.step(total)
        rows.append(row | {"mae": mae.item(), "loss": total.item()})
    return rows
