"""SyncNet in its training form, and losses of matching lip and sound embeddings. This module reads no files.

A batch holds `frames` uint8 (N,15,112,112), five BGR frames of 0-255, and `mfcc` float32 (N,1,13,20). While the guide
is on, it also holds the lip parameters `lips` float32 (N,35) and `guide`, the weight of the guide's loss.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lse_bench.minilrs.visemes import PARAMETERS
from lse_bench.precision import widened
from lse_bench.sync.syncnet import WINDOW_FRAMES, SyncNet
from lse_bench.training.steps import Batch, Memory, Networks, Pass

NETWORK = "syncnet"
_LIPS = len(PARAMETERS) * WINDOW_FRAMES


class Pairs(nn.Module):
    """SyncNet with the learned scale of its logits, in the form that trains fastest.

    `width`: a factor on SyncNet's channel counts. The two linear maps read lip parameters for the guide.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        self.syncnet = SyncNet.narrowed(width)
        self.log_scale = nn.Parameter(torch.zeros(()))
        embedding = self.syncnet.embedding
        self.lips_seen = nn.Linear(embedding, _LIPS)
        self.lips_heard = nn.Linear(embedding, _LIPS)

    def forward(self, frames: Tensor, mfcc: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return lip and sound embeddings (N,D) float32, the logits' scale (), and lip parameters (N,35) from each.

        `frames`: (N,15,112,112), five BGR frames of 0-255. `mfcc`: (N,1,13,20).
        """
        net = self.syncnet
        lip = _through(net.netcnnlip, frames.float())
        sound = _through(net.netcnnaud, mfcc)
        with torch.autocast(frames.device.type, enabled=False):  # small differences matter in the heads
            seen, heard = net.netfclip(widened(lip.flatten(1))), net.netfcaud(widened(sound.flatten(1)))
            return seen, heard, self.log_scale.exp(), self.lips_seen(seen), self.lips_heard(heard)


def _through(tower: nn.Sequential, x: Tensor) -> Tensor:
    """Return a tower's output, with each 3-D layer computed as the equivalent 2-D layer, channels last."""
    x = x.contiguous(memory_format=torch.channels_last)
    first = True
    for layer in tower:
        if isinstance(layer, nn.Conv3d):
            if first:
                x = F.conv2d(x, _halved(layer.weight), layer.bias)
            else:
                x = F.conv2d(x, layer.weight.squeeze(2), layer.bias, layer.stride[1:], layer.padding[1:])
        elif isinstance(layer, nn.BatchNorm3d):
            x = F.batch_norm(
                x,
                layer.running_mean,
                layer.running_var,
                layer.weight,
                layer.bias,
                layer.training,
                layer.momentum or 0.1,
                layer.eps,
            )
        elif isinstance(layer, nn.MaxPool3d):
            x = F.max_pool2d(x, _plane(layer.kernel_size), _plane(layer.stride), _plane(layer.padding))
        else:
            x = layer(x)
        first = False
    return x


def _plane(size: int | tuple[int, ...]) -> list[int]:
    """Return a 3-D layer's size without its time axis."""
    return [size, size] if isinstance(size, int) else list(size[1:])


def _halved(weight: Tensor) -> Tensor:
    """Return first-layer weights (O,3,5,7,7) of stride 2 as (O,15,4,4) of stride 1, for frames of half the size."""
    flat = weight.transpose(1, 2).flatten(1, 2)
    paired = F.pad(flat, (0, 1, 0, 1)).reshape(*flat.shape[:2], 4, 2, 4, 2)
    return paired.sum(dim=(3, 5))


def infonce(lip: Tensor, sound: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return the InfoNCE loss of matching embeddings (N,D), and the share of lips whose nearest sound is their own.

    A logit is minus the Euclidean distance of a pair times `scale`. The loss is the mean of both directions.
    """
    logits = -torch.cdist(lip, sound, compute_mode="donot_use_mm_for_euclid_dist") * scale
    own = torch.arange(len(lip), device=lip.device)
    loss = 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))
    return loss, (logits.argmax(dim=1) == own).float().mean()


def contrastive(lip: Tensor, sound: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Return Chung and Zisserman's contrastive loss, and the share of lips that are nearer to their own sound.

    Each window has its own sound and one mismatched sound, from about half a batch away. Mismatched pairs that are
    farther apart than `margin` add no loss.
    """
    near = F.pairwise_distance(lip, sound)
    far = F.pairwise_distance(lip, sound.roll(len(sound) // 2 + 1, dims=0))
    loss = 0.25 * (near.square().mean() + F.relu(margin - far).square().mean())
    return loss, (near < far).float().mean()


def matching_pass(kind: Literal["infonce", "contrastive"], margin: float) -> Pass:
    """Return the pass of SyncNet's loss `kind`. It logs the share of windows that find their own sound as `hits`.

    `margin`: only for `contrastive`.
    """

    def matching(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        lip, sound, scale, seen, heard = networks[NETWORK](batch["frames"], batch["mfcc"])
        if kind == "infonce":
            loss, hits = infonce(lip, sound, scale)
        else:
            loss, hits = contrastive(lip, sound, margin)
            loss = loss + 0.0 * scale  # DDP needs a gradient of every parameter
        parts = {"matching": loss, "hits": hits, "scale": scale, "guide": torch.zeros(())}
        if "guide" in batch:
            guide = F.mse_loss(seen, batch["lips"]) + F.mse_loss(heard, batch["lips"])
            parts["guide"] = guide
            loss = loss + batch["guide"] * guide
        else:
            loss = loss + 0.0 * (seen.sum() + heard.sum())
        return loss, {"loss": loss} | parts

    return Pass(NETWORK, matching)
