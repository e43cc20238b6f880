"""Pictures as training takes them, and how far drawn ones are from real ones."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def unit(pictures: Tensor) -> Tensor:
    """(…,3,H,W) of pictures (…,H,W,3), 0-1 of 0-255; what is floating-point already stays as it is."""
    if pictures.is_floating_point():
        return pictures
    return pictures.movedim(-1, -3).float() / 255


def mouth_measures(drawn: Tensor, target: Tensor, reference: Tensor) -> dict[str, float]:
    """Mean absolute errors, 0-1, of faces (…,H,W): whole (`recon`), lower half (`mouth`), and what pasting the
    reference's lower half would give (`copy`)."""
    half = drawn.shape[-2] // 2
    mouths = [faces[..., half:, :] for faces in (drawn, target, reference)]
    return {
        "recon": float(F.l1_loss(drawn, target)),
        "mouth": float(F.l1_loss(mouths[0], mouths[1])),
        "copy": float(F.l1_loss(mouths[2], mouths[1])),
    }
