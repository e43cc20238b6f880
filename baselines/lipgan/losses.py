"""LipGAN's losses and one step of training, with Keras 2.2.4's own Adam, as the released code has them.

Faces are as the generator takes them (`model.py`), `target` whole faces (B,3,96,96), sound (B,1,…). Label 0 means real
and in sync, 1 drawn or out of sync.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lse_bench.baselines.lipgan.model import Discriminator, Generator, contrastive_loss
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

RELEASED_PENALTY = 0.01  # weight of the contrastive loss beside the absolute error
ROLL = 10  # items by which the sound moves along the batch to be out of sync; no negative where the batch divides it
Branch = Literal["drawn", "unsynced"]


@dataclass(frozen=True, slots=True)
class LipGanBatch:
    """See the module's text."""

    faces: Tensor
    target: Tensor
    sound: Tensor

    @property
    def foreign(self) -> Tensor:
        """The sound of another item of the batch."""
        return self.sound.roll(ROLL, dims=0)


class KerasAdam(Optimizer):
    """Adam whose epsilon is added before the bias correction: -lr sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + eps)."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-7,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; parameters without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["step"] += 1
                count = int(state["step"])
                mean = state["exp_avg"].lerp_(parameter.grad, 1 - first)
                square = state["exp_avg_sq"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
                rate = group["lr"] * (1 - second**count) ** 0.5 / (1 - first**count)
                parameter.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-rate)
        return loss


def error_step(generator: Generator, optimizer: Optimizer, batch: LipGanBatch) -> dict[str, float]:
    """One step of the generator alone (`train_unet.py`): mean absolute error."""
    generator.train()
    optimizer.zero_grad()
    mae = F.l1_loss(generator(batch.faces, batch.sound), batch.target)
    mae.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return {"mae": float(mae.detach())}


def gan_step(
    generator: Generator,
    judge: Discriminator,
    optimizer: Optimizer,
    judge_optimizer: Optimizer,
    batch: LipGanBatch,
    train_on: Branch,
    penalty: float = RELEASED_PENALTY,
) -> dict[str, float]:
    """One step of LipGAN (`train.py`): the discriminator on `train_on` (the released code tosses a coin; the other is
    only measured), then on real pairs, then the generator against it.

    The discriminator sees faces that the generator draws in evaluation mode, with its moving statistics.
    """
    generator.eval()
    with torch.no_grad():
        drawn = generator(batch.faces, batch.sound)
    wrong = {"drawn": (drawn, batch.sound), "unsynced": (batch.target, batch.foreign)}
    losses = {name: _judge(judge, judge_optimizer, *pair, 1.0, train=name == train_on) for name, pair in wrong.items()}
    real = _judge(judge, judge_optimizer, batch.target, batch.sound, 0.0, train=True)
    generator.train()
    optimizer.zero_grad()
    faces = generator(batch.faces, batch.sound)
    mae = F.l1_loss(faces, batch.target)
    distance = judge(faces, batch.sound)
    adversarial = contrastive_loss(distance, torch.zeros_like(distance))
    total = mae + penalty * adversarial
    total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return {
        "disc_loss": losses["drawn"],
        "unsync_loss": losses["unsynced"],
        "sync_loss": real,
        "total": float(total.detach()),
        "mae": float(mae.detach()),
        "adv": float(adversarial.detach()),
    }


def _judge(
    judge: Discriminator, optimizer: Optimizer, faces: Tensor, sound: Tensor, label: float, *, train: bool
) -> float:
    """The contrastive loss of a batch with one label, and a step on it."""
    with torch.set_grad_enabled(train):
        distance = judge(faces, sound)
        loss = contrastive_loss(distance, torch.full_like(distance, label))
    if train:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())
