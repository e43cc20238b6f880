"""Conversion of pictures for training, and error measures of drawn faces."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def unit(pictures: Tensor) -> Tensor:
    """Return pictures (…,H,W,3), 0-255, as float32 (…,3,H,W), 0-1. Floating-point input is returned unchanged."""
    if pictures.is_floating_point():
        return pictures
    return pictures.movedim(-1, -3).float() / 255


def mouth_measures(drawn: Tensor, target: Tensor, reference: Tensor) -> dict[str, float]:
    """Return mean absolute errors against `target`. Faces are (…,H,W), 0-1.

    `recon`: of whole drawn faces. `mouth`: of their lower halves. `copy`: of the reference's lower half, that is the
    error of pasting it unchanged.
    """
    half = drawn.shape[-2] // 2
    mouths = [faces[..., half:, :] for faces in (drawn, target, reference)]
    return {
        "recon": float(F.l1_loss(drawn, target)),
        "mouth": float(F.l1_loss(mouths[0], mouths[1])),
        "copy": float(F.l1_loss(mouths[2], mouths[1])),
    }
