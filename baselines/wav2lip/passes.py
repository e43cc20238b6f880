"""The passes of a training step of Wav2Lip's generator, quality discriminator and expert. They take tensors only.

A batch of the generator has `target` and `reference`, uint8 (B,5,96,96,3) BGR or floating-point (B,3,5,96,96), 0-1,
`mels` (B,5,1,80,16) for the generator and `mel` (B,1,80,16) for the expert. A batch of the expert has `faces`
(B,15,48,96), uint8 or 0-1, `mel`, `in_sync` (B,1) and, under the guide, the lip parameters `lips` and the weight
`guide`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.baselines.pictures import unit
from lse_bench.baselines.wav2lip.losses import expert_loss, judged_as, sync_loss
from lse_bench.baselines.wav2lip.model import WINDOW_FRAMES, Expert, masked
from lse_bench.minilrs.visemes import PARAMETERS
from lse_bench.precision import widened
from lse_bench.training.steps import Batch, Memory, Networks, Pass

GENERATOR, JUDGE, EXPERT = "generator", "judge", "expert"
_LIPS = len(PARAMETERS) * WINDOW_FRAMES


def planes(pictures: Tensor) -> Tensor:
    """Return pictures (B,T,H,W,3), 0-255, as float32 (B,3,T,H,W), 0-1. Floating-point input is returned unchanged."""
    return pictures if pictures.is_floating_point() else unit(pictures).transpose(1, 2)


def passes_of(
    expert: nn.Module | None,
    sync_weight: float,
    quality_weight: float | None,
    settled_norms: bool = False,
    gentle: bool = False,
) -> list[Pass]:
    """Return the passes of a step. The generator's loss is (1-w-q) L1 + w sync + q quality.

    `expert`, `sync_weight` (w): if the expert is None or the weight is 0, the sync loss is 0 and is not computed.
    `quality_weight` (q): if it is not None, a pass of the quality discriminator follows. It uses the faces that were
    drawn before the generator's step. `settled_norms`: the generator's BatchNorms use their running statistics; see
    `norm_start`. `gentle`: see `sync_loss`.
    """
    quality = quality_weight or 0.0

    def drawing(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        target, reference = planes(batch["target"]), planes(batch["reference"])
        if settled_norms:
            for module in networks[GENERATOR].modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        drawn = widened(networks[GENERATOR](batch["mels"], torch.cat([masked(target), reference], dim=1)))
        recon = F.l1_loss(drawn, target)
        sync = perceptual = torch.zeros((), device=drawn.device)
        if sync_weight and expert is not None:
            sync = sync_loss(expert, batch["mel"], drawn, gentle)
        if quality:
            perceptual = judged_as(networks[JUDGE](drawn), real=True)
        loss = sync_weight * sync + quality * perceptual + (1 - sync_weight - quality) * recon
        parts = {"loss": loss, "recon": recon, "sync": sync}
        if quality_weight is not None:
            parts["perceptual"] = perceptual
            memory["drawn"], memory["target"] = drawn.detach(), target
        return loss, parts

    passes = [Pass(GENERATOR, drawing)]
    return [*passes, Pass(JUDGE, judge_loss)] if quality_weight is not None else passes


def judge_loss(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the quality discriminator's loss on the real and drawn faces of the generator's pass."""
    judge = networks[JUDGE]
    real = judged_as(judge(memory["target"]), real=True)
    fake = judged_as(judge(memory["drawn"]), real=False)
    return real + fake, {"disc_real": real, "disc_fake": fake}


class ListeningExpert(nn.Module):
    """The expert with the layers that only its training needs.

    `infonce`: adds a learned scale of the logits. `guided`: adds linear layers that predict lip parameters from both
    embeddings.
    """

    def __init__(self, width: float, infonce: bool, guided: bool) -> None:
        super().__init__()
        self.expert = Expert(width)
        embedding = int(512 * width)
        self.log_scale = nn.Parameter(torch.tensor(2.0)) if infonce else None
        self.lips_seen = nn.Linear(embedding, _LIPS) if guided else None
        self.lips_heard = nn.Linear(embedding, _LIPS) if guided else None

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """Return embeddings of sound and faces, the scale of the logits, and lip parameters.

        The embeddings have unit length; see `Expert`. Lip parameters are predicted from the faces and from the sound,
        in this order. A part that the network does not have is None.
        """
        heard, seen = self.expert.embed(mel, faces)
        sound, face = F.normalize(widened(heard)), F.normalize(widened(seen))
        scale = None if self.log_scale is None else self.log_scale.exp()
        if self.lips_seen is None or self.lips_heard is None:
            return sound, face, scale, None, None
        return sound, face, scale, self.lips_seen(seen), self.lips_heard(heard)


def matching_loss(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the expert's loss: the released one if the network has no scale, InfoNCE and the guide if it has one."""
    faces = batch["faces"] if batch["faces"].is_floating_point() else batch["faces"].float() / 255
    sound, face, scale, seen, heard = networks[EXPERT](batch["mel"], faces)
    if scale is None:
        loss = expert_loss(sound, face, batch["in_sync"])
        return loss, {"loss": loss}
    with torch.autocast(faces.device.type, enabled=False):
        logits = widened(face) @ widened(sound).T * scale
        own = torch.arange(len(face), device=face.device)
        matching = 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))
        parts = {"matching": matching, "hits": (logits.argmax(1) == own).float().mean(), "scale": scale}
        guide = torch.zeros((), device=face.device)
        loss = matching
        if seen is not None and heard is not None:
            guide = F.mse_loss(widened(seen), batch["lips"]) + F.mse_loss(widened(heard), batch["lips"])
            loss = matching + batch["guide"] * guide
    return loss, {"loss": loss, "guide": guide} | parts
