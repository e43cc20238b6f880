"""The passes of a training step of LipGAN's networks. They take tensors only.

A batch has `target` and `reference`, uint8 (B,96,96,3) BGR, `sound` (B,1,12,35) or (B,1,80,27), and `coin`, 0 or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lse_bench.baselines.lipgan.model import contrastive_loss
from lse_bench.baselines.pictures import unit
from lse_bench.precision import widened
from lse_bench.training.steps import Batch, Memory, Networks, Pass

GENERATOR, JUDGE = "generator", "judge"
ROLL = 10  # items by which sound moves along the batch to be out of sync; a multiple of the batch gives no negatives


def faces_of(batch: Batch) -> Tensor:
    """Return the generator's input (B,6,96,96): the whole reference, then the target with its lower half zero.

    A batch of the golden files already has it as `faces`.
    """
    if "faces" in batch:
        return batch["faces"]
    target, reference = unit(batch["target"]), unit(batch["reference"])
    blanked = target.clone()
    blanked[..., target.shape[-2] // 2 :, :] = 0
    return torch.cat([reference, blanked], dim=1)


def passes_of(penalty: float | None, roll: int = ROLL) -> list[Pass]:
    """Return the passes of a step in the order that `train.py` describes.

    `penalty`: weight of the discriminator's loss in the generator's loss. None trains the generator by its error alone.
    `roll`: batch items by which sound is moved to be out of sync.
    """

    def wrong_loss(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the discriminator's loss on drawn faces (`batch["coin"]` 1) or on rolled sound (0). Both are logged.

        The generator draws in evaluation mode and gets no gradients.
        """
        target, sound = unit(batch["target"]), batch["sound"]
        generator, judge = networks[GENERATOR], networks[JUDGE]
        training = generator.training
        generator.eval()
        with torch.no_grad():
            drawn = widened(generator(faces_of(batch), sound))
        generator.train(training)
        counts = bool(batch["coin"] > 0)
        losses = []
        for trained, faces, heard in ((counts, drawn, sound), (not counts, target, sound.roll(roll, dims=0))):
            with torch.set_grad_enabled(trained):
                distance = widened(judge(faces, heard))
                losses.append(contrastive_loss(distance, torch.ones_like(distance)))
        return losses[not counts], {"disc_loss": losses[0], "unsync_loss": losses[1]}

    def drawing(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean absolute error plus `penalty` times the contrastive loss between drawn faces and sound."""
        drawn = widened(networks[GENERATOR](faces_of(batch), batch["sound"]))
        mae = F.l1_loss(drawn, unit(batch["target"]))
        if penalty is None:
            return mae, {"loss": mae, "mae": mae}
        distance = widened(networks[JUDGE](drawn, batch["sound"]))
        adversarial = contrastive_loss(distance, torch.zeros_like(distance))
        total = mae + penalty * adversarial
        return total, {"loss": total, "mae": mae, "adv": adversarial}

    passes = [Pass(GENERATOR, drawing)]
    return passes if penalty is None else [Pass(JUDGE, wrong_loss), Pass(JUDGE, real_loss), *passes]


def real_loss(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the discriminator's loss on real faces with their own sound."""
    distance = widened(networks[JUDGE](unit(batch["target"]), batch["sound"]))
    loss = contrastive_loss(distance, torch.zeros_like(distance))
    return loss, {"sync_loss": loss}
