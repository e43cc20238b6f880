"""One step of training: passes over one or more networks, each with its own optimiser.

A method says what a pass's loss is. Everything else about a step is here: precision, gradient accumulation, several
processes, clipping, losses that are no numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.optim import Optimizer

from lse_bench.errors import UsageError

Batch = dict[str, Tensor]
Networks = dict[str, Any]  # by name; modules, whose outputs differ
Memory = dict[str, Tensor]  # what an earlier pass of the same step leaves to a later one
Loss = Callable[[Networks, Batch, Memory], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True, slots=True)
class Pass:
    """`loss` of a batch and what else to log, and the network whose optimiser steps on it. The others are held still:
    they pass gradients on and gather none.
    """

    network: str
    loss: Loss


class BadLossError(UsageError):
    """A loss that is no finite number, with the batch that gave it."""

    def __init__(self, name: str, value: float, batch: Batch) -> None:
        super().__init__(f"the {name}'s loss became {value}")
        self.batch = batch


@dataclass(frozen=True, slots=True)
class Trained:
    """Networks as they were made, as Fabric runs them, and their optimisers, by name."""

    plain: dict[str, nn.Module]
    running: Networks
    optimizers: dict[str, Any]  # as Fabric wraps them


def set_up(
    fabric: Fabric, networks: dict[str, nn.Module], optimizers: dict[str, Optimizer], compiled: bool = False
) -> Trained:
    """Put networks and optimisers on the hardware."""
    running, wrapped = {}, {}
    for name, network in networks.items():
        whole = cast(nn.Module, torch.compile(network)) if compiled else network
        running[name], wrapped[name] = fabric.setup(whole, optimizers[name])
    return Trained(networks, running, wrapped)


def take_step(
    fabric: Fabric, trained: Trained, passes: Sequence[Pass], batches: Sequence[Batch], clip_gradient: float = 0.0
) -> dict[str, float]:
    """One step of every pass on `batches`, whose gradients are averaged; what the passes log, averaged too.

    `clip_gradient`: largest norm, 0 for no limit. Raises BadLossError before a step on such a loss.
    """
    memories: list[Memory] = [{} for _ in batches]
    logged: dict[str, list[Tensor]] = {}
    several = isinstance(fabric.strategy, DDPStrategy)
    for one in passes:
        for name, network in trained.plain.items():
            network.requires_grad_(name == one.network)
        running, optimizer = trained.running[one.network], trained.optimizers[one.network]
        networks = trained.plain | {one.network: running}
        optimizer.zero_grad(set_to_none=True)
        for number, (batch, memory) in enumerate(zip(batches, memories, strict=True)):
            later = several and number + 1 < len(batches)
            with fabric.no_backward_sync(running) if later else contextlib.nullcontext():
                with fabric.autocast():
                    loss, parts = one.loss(networks, batch, memory)
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise BadLossError(one.network, value, batch)
                fabric.backward(loss / len(batches) if len(batches) > 1 else loss)
            for name, part in parts.items():
                logged.setdefault(name, []).append(part.detach())
        if clip_gradient:
            fabric.clip_gradients(running, optimizer, max_norm=clip_gradient)
        optimizer.step()
    for network in trained.plain.values():
        network.requires_grad_(True)
    return {name: float(torch.stack(parts).float().mean()) for name, parts in logged.items()}
