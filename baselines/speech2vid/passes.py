"""The passes of a training step of Speech2Vid's networks. They take tensors only.

A batch has `target` uint8 (B,112,112,3) BGR, `identity` uint8 (B,5,112,112,3) BGR, and `sound` (B,1,12,35).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lse_bench.baselines.pictures import unit
from lse_bench.baselines.speech2vid.graph import Graph
from lse_bench.baselines.speech2vid.model import DRAWN_SIZE, initial_entries, net_of
from lse_bench.baselines.speech2vid.weights import DEBLUR, GENERATOR
from lse_bench.precision import widened
from lse_bench.training.steps import Batch, Memory, Networks, Pass
from lse_bench.weights.matconvnet import DagLayer

INSIDE = slice(1, 1 + DRAWN_SIZE)  # the part of an aligned face that is drawn


def inputs_of(batch: Batch) -> dict[str, Tensor]:
    """Return the generator's inputs by name: the sound, and the identity as RGB, float32 (B,15,112,112), 0-255."""
    identity = batch["identity"].flip(-1).movedim(-1, 2).flatten(1, 2).float()
    return {"input_audio": batch["sound"], "input_face": identity}


def wanted_of(batch: Batch) -> Tensor:
    """Return the faces that the generator should draw, RGB (B,3,109,109), 0-1."""
    return unit(batch["target"][:, INSIDE, INSIDE].flip(-1))


def drawing_pass(content: tuple[Graph, tuple[str, ...]] | None, weight: float, mask_zeros: bool) -> Pass:
    """Return the generator's pass. Its loss is the mean absolute error plus `weight` times `content_loss`.

    `content`: an encoder and the names of its ReLUs; None leaves the content loss out. `mask_zeros`: see
    `content_loss`.
    """

    def drawing(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        drawn, wanted = widened(networks[GENERATOR](inputs_of(batch))), wanted_of(batch)
        mae = F.l1_loss(drawn, wanted)
        far = torch.zeros((), device=drawn.device)
        if content is not None:
            far = content_loss(*content, drawn, wanted, mask_zeros)
        loss = mae + weight * far
        return loss, {"loss": loss, "mae": mae, "content": far}

    return Pass(GENERATOR, drawing)


def sharpening_pass(soft_of: Callable[[Batch], Tensor], kind: Literal["mse", "mae"]) -> Pass:
    """Return the deblurring network's pass. Its loss is the error of the sharpened face against the real one.

    `soft_of`: returns the faces to sharpen, RGB (B,3,109,109), 0-1. `kind`: mean squared or mean absolute error.
    """

    def sharpening(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        soft, wanted = soft_of(batch), wanted_of(batch)
        sharpened = soft + widened(networks[DEBLUR]({"input_lip": soft}))
        loss = (F.mse_loss if kind == "mse" else F.l1_loss)(sharpened, wanted)
        return loss, {"loss": loss}

    return Pass(DEBLUR, sharpening)


def content_loss(encoder: Graph, features: tuple[str, ...], drawn: Tensor, wanted: Tensor, mask_zeros: bool) -> Tensor:
    """Return the sum over the encoder's ReLUs of the mean absolute difference between drawn and wanted faces.

    `features`: names of the ReLUs' variables. `mask_zeros`: a feature that is exactly 0 for the wanted face counts as
    no difference. This is a quirk of the authors' own loss.
    """
    seen, right = (encoder.variables({"input_lip": faces}, features) for faces in (drawn, wanted))
    losses = []
    for name in features:
        difference = (seen[name] - right[name].detach()).abs()
        losses.append((difference * (right[name] != 0) if mask_zeros else difference).mean())
    return torch.stack(losses).sum()


def fresh(layers: list[DagLayer], output: str) -> Graph:
    """Return a network with MatConvNet's initial weights, drawn from torch's random state."""
    rng = np.random.default_rng(int(torch.randint(0, 2**31, ())))
    return Graph(net_of(layers, initial_entries(layers, rng)), output)
