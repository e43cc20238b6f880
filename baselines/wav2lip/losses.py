"""Wav2Lip's losses, as in the released code.

Faces are (B,3,T,96,96), BGR, 0-1. `mel` (B,1,80,16) is the expert's window of sound for all T = 5 frames. The expert is
frozen. The released code leaves it in training mode, so its BatchNorms use statistics of the generated batch. That
makes the gradient of the sync loss about 60 times larger at batch size 4. The caller chooses the mode.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lse_bench.baselines.widths import SIZE
from lse_bench.precision import widened

Listener = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # the expert: embeddings of mel and faces


def cross_entropy(chance: Tensor, wanted: Tensor) -> Tensor:
    """Return the binary cross entropy of the probabilities `chance` against `wanted`, in full precision.

    Autocast does not change the precision of this function.
    """
    with torch.autocast(chance.device.type, enabled=False):
        chance = widened(chance)
        return F.binary_cross_entropy(chance, wanted.to(chance.dtype))


def expert_loss(sound: Tensor, face: Tensor, in_sync: Tensor) -> Tensor:
    """Return the cross entropy of the cosine of the expert's embeddings (B,D) against `in_sync` (B,1), 1 or 0."""
    # Both embeddings have unit length and no negative values. Rounding can make the cosine greater than 1.
    cosine = F.cosine_similarity(widened(sound), widened(face)).clamp(0, 1)
    return cross_entropy(cosine[:, None], in_sync)


def lower_windows(drawn: Tensor) -> Tensor:
    """Return the lower halves of drawn faces as the expert's input, (B,3T,48,96): t0 B, G, R, t1 …"""
    return drawn[:, :, :, SIZE // 2 :].transpose(1, 2).flatten(1, 2)


def sync_loss(expert: Listener, mel: Tensor, drawn: Tensor, gentle: bool = False) -> Tensor:
    """Return the expert's mean loss of drawn faces with their sound: -log(cos), as released.

    `gentle`: the loss is -log((1+cos)/2). Its gradient does not grow without limit as the cosine approaches 0.
    """
    sound, face = expert(mel, lower_windows(drawn))
    if gentle:
        return -torch.log((1 + F.cosine_similarity(widened(sound), widened(face))) / 2).mean()
    return expert_loss(sound, face, torch.ones(len(drawn), 1, device=drawn.device))


def judged_as(opinion: Tensor, real: bool) -> Tensor:
    """Return the cross entropy of the quality discriminator's probabilities `opinion` against `real`."""
    return cross_entropy(opinion, torch.full_like(opinion, float(real)))
