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

WAY_OUT = (
    "Close other programs on the device, and --resume goes on from the last checkpoint. Or begin again with a smaller "
    "batch in the configuration and `accumulate` as many times larger, or with --precision bf16"
)
_FULL = ("can't allocate memory", "not enough memory", "std::bad_alloc")  # how torch says it of a processor


@dataclass(frozen=True, slots=True)
class Pass:
    """`loss` of a batch and what else to log, and the network whose optimiser steps on it. The others are held still:
    they pass gradients on and gather none.
    """

    network: str
    loss: Loss


class BadLossError(UsageError):
    """A loss that is no finite number, with the batch that gave it."""

    def __init__(self, what: str, value: float, batch: Batch) -> None:
        super().__init__(f"the {what} became {value}")
        self.batch = batch


def is_full(error: BaseException) -> bool:
    """Whether it says that the memory of a device, or of the machine, is used up."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


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
    """One step of every pass on `batches`, whose gradients are averaged, over processes too; what the passes log on
    this process, averaged.

    `clip_gradient`: largest norm, 0 for no limit. Raises BadLossError, on all processes, before a step on such a loss,
    and UsageError when the step does not fit into the device's memory.
    """
    try:
        return _take_step(fabric, trained, passes, batches, clip_gradient)
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        size = max(len(value) for value in batches[0].values() if value.dim())
        raise UsageError(f"out of memory on {fabric.device} with a batch of {size}. {WAY_OUT}") from error


def _take_step(
    fabric: Fabric, trained: Trained, passes: Sequence[Pass], batches: Sequence[Batch], clip_gradient: float
) -> dict[str, float]:
    memories: list[Memory] = [{} for _ in batches]
    logged: dict[str, list[Tensor]] = {}
    several = isinstance(fabric.strategy, DDPStrategy)
    scaled = fabric.strategy.precision.precision == "16-mixed"  # whose gradients may overflow; the scaler sees to it
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
                _refuse(fabric, several, f"{one.network}'s loss", float(loss.detach()), batch)
                fabric.backward(loss / len(batches) if len(batches) > 1 else loss)
            for name, part in parts.items():
                logged.setdefault(name, []).append(part.detach())
        if clip_gradient:
            fabric.clip_gradients(running, optimizer, max_norm=clip_gradient, error_if_nonfinite=False)
        if not scaled:
            gradients = [value.grad for value in trained.plain[one.network].parameters() if value.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(gradients))
            _refuse(fabric, several, f"{one.network}'s gradient", norm, batches[-1])
        optimizer.step()
    for network in trained.plain.values():
        network.requires_grad_(True)
    return {name: float(torch.stack(parts).double().mean()) for name, parts in logged.items()}


def _refuse(fabric: Fabric, several: bool, what: str, value: float, batch: Batch) -> None:
    """Raise BadLossError unless the value is finite, on every process that trains along."""
    bad = not math.isfinite(value)
    if several:  # nobody is left waiting for one that has stopped
        anywhere = fabric.all_reduce(torch.tensor(float(bad), device=fabric.device), reduce_op="sum")
        assert isinstance(anywhere, Tensor)
        bad = bool(anywhere > 0)
    if bad:
        raise BadLossError(what, value, batch)
