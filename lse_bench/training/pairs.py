"""SyncNet as it trains, and the losses of pairs of lips and sound. Arrays only.

Batches: `frames` uint8 (N,15,112,112), `mfcc` float32 (N,1,13,20); where a guide helps, `lips` (N,35) and `guide`, its
weight.
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
    """SyncNet and the scale of its logits, in the form that trains fastest."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.syncnet = SyncNet.narrowed(width)
        self.log_scale = nn.Parameter(torch.zeros(()))
        embedding = self.syncnet.embedding
        self.lips_seen = nn.Linear(embedding, _LIPS)
        self.lips_heard = nn.Linear(embedding, _LIPS)

    def forward(self, frames: Tensor, mfcc: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Of `frames` (N,15,112,112), five BGR frames 0-255, and `mfcc` (N,1,13,20): both embeddings (N,D), float32,
        the logits' scale, and the lip parameters (N,35) that the guide reads from each embedding.
        """
        net = self.syncnet
        lip = _through(net.netcnnlip, frames.float())
        sound = _through(net.netcnnaud, mfcc)
        with torch.autocast(frames.device.type, enabled=False):  # the heads decide by small differences
            seen, heard = net.netfclip(widened(lip.flatten(1))), net.netfcaud(widened(sound.flatten(1)))
            return seen, heard, self.log_scale.exp(), self.lips_seen(seen), self.lips_heard(heard)


def _through(tower: nn.Sequential, x: Tensor) -> Tensor:
    """A tower's output with every 3-D layer as the 2-D one it amounts to, channels last."""
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
    """A 3-D layer's size without its time axis."""
    return [size, size] if isinstance(size, int) else list(size[1:])


def _halved(weight: Tensor) -> Tensor:
    """First-layer weights (O,3,5,7,7) at stride 2 as (O,15,4,4) at stride 1 for frames of half the size."""
    flat = weight.transpose(1, 2).flatten(1, 2)
    paired = F.pad(flat, (0, 1, 0, 1)).reshape(*flat.shape[:2], 4, 2, 4, 2)
    return paired.sum(dim=(3, 5))


def infonce(lip: Tensor, sound: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The loss over a batch of matching embeddings (N,D), and the share of lips whose nearest sound is their own."""
    logits = -torch.cdist(lip, sound, compute_mode="donot_use_mm_for_euclid_dist") * scale
    own = torch.arange(len(lip), device=lip.device)
    loss = 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))
    return loss, (logits.argmax(dim=1) == own).float().mean()


def contrastive(lip: Tensor, sound: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Chung & Zisserman's loss: for each window its own audio and one mismatched one, of a window further on in the
    batch."""
    near = F.pairwise_distance(lip, sound)
    far = F.pairwise_distance(lip, sound.roll(len(sound) // 2 + 1, dims=0))
    loss = 0.25 * (near.square().mean() + F.relu(margin - far).square().mean())
    return loss, (near < far).float().mean()


def matching_pass(kind: Literal["infonce", "contrastive"], margin: float) -> Pass:
    """The loss of that kind; logs the share of windows that find their own sound."""

    def matching(networks: Networks, batch: Batch, memory: Memory) -> tuple[Tensor, dict[str, Tensor]]:
        lip, sound, scale, seen, heard = networks[NETWORK](batch["frames"], batch["mfcc"])
        if kind == "infonce":
            loss, hits = infonce(lip, sound, scale)
        else:
            loss, hits = contrastive(lip, sound, margin)
            loss = loss + 0.0 * scale  # every weight needs a gradient where several processes share them
        parts = {"matching": loss, "hits": hits, "scale": scale, "guide": torch.zeros(())}
        if "guide" in batch:
            guide = F.mse_loss(seen, batch["lips"]) + F.mse_loss(heard, batch["lips"])
            parts["guide"] = guide
            loss = loss + batch["guide"] * guide
        else:
            loss = loss + 0.0 * (seen.sum() + heard.sum())
        return loss, {"loss": loss} | parts

    return Pass(NETWORK, matching)
