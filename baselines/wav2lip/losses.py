"""Wav2Lip's losses, as the released code has them.

Faces are (B,3,T,96,96), BGR, 0-1; `mel` (B,1,80,16) is the window of all T = 5 frames, as the expert hears it. The
expert is frozen; the released code leaves it in training mode, where its BatchNorms use statistics of the generated
batch, and that makes the gradient of the sync loss some sixty times larger at batch 4. Whoever calls decides.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lse_bench.baselines.widths import SIZE
from lse_bench.precision import widened

Listener = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # the expert


def cross_entropy(chance: Tensor, wanted: Tensor) -> Tensor:
    """Binary cross entropy, in full precision whatever the rest runs in."""
    with torch.autocast(chance.device.type, enabled=False):
        chance = widened(chance)
        return F.binary_cross_entropy(chance, wanted.to(chance.dtype))


def expert_loss(sound: Tensor, face: Tensor, in_sync: Tensor) -> Tensor:
    """Cross entropy of the cosine of the expert's embeddings (B,D) against `in_sync` (B,1): 1 or 0."""
    # Both are of length 1 and not negative; rounding can carry the cosine over 1.
    cosine = F.cosine_similarity(widened(sound), widened(face)).clamp(0, 1)
    return cross_entropy(cosine[:, None], in_sync)


def lower_windows(drawn: Tensor) -> Tensor:
    """What the expert sees of drawn faces: (B,3T,48,96), t0 B, G, R, t1 …"""
    return drawn[:, :, :, SIZE // 2 :].transpose(1, 2).flatten(1, 2)


def sync_loss(expert: Listener, mel: Tensor, drawn: Tensor, gentle: bool = False) -> Tensor:
    """How far drawn faces are from being in sync with their sound, by the expert: -log(cos), as released; `gentle`:
    -log((1+cos)/2), whose gradient does not grow where the expert is least pleased.
    """
    sound, face = expert(mel, lower_windows(drawn))
    if gentle:
        return -torch.log((1 + F.cosine_similarity(widened(sound), widened(face))) / 2).mean()
    return expert_loss(sound, face, torch.ones(len(drawn), 1, device=drawn.device))


def judged_as(opinion: Tensor, real: bool) -> Tensor:
    """Cross entropy of the quality discriminator's opinion of faces against `real`."""
    return cross_entropy(opinion, torch.full_like(opinion, float(real)))
