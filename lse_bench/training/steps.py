"""One training step: passes over one or more networks, each with its own optimiser.

A method defines the loss of each pass. This module handles the rest of a step: precision, gradient accumulation,
several processes, gradient clipping and non-finite losses.
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
Networks = dict[str, Any]  # modules by name; `Any`, because their outputs differ in type
Memory = dict[str, Tensor]  # tensors that an earlier pass of a step stores for a later pass
Loss = Callable[[Networks, Batch, Memory], tuple[Tensor, dict[str, Tensor]]]

WAY_OUT = (
    "Close other programs on the device and continue from the last checkpoint with --resume. Or start again with a "
    "smaller batch in the configuration and `accumulate` larger by the same factor, or with --precision bf16"
)
_FULL = ("can't allocate memory", "not enough memory", "std::bad_alloc")  # parts of torch's messages on a processor


@dataclass(frozen=True, slots=True)
class Pass:
    """A loss and the name of the network that it trains.

    `loss`: returns the loss () of a batch and the values to log. The parameters of all other networks are frozen:
    gradients flow through these networks, but their parameters collect none.
    """

    network: str
    loss: Loss


class BadLossError(UsageError):
    """A non-finite loss or gradient norm, with the batch that caused it."""

    def __init__(self, what: str, value: float, batch: Batch) -> None:
        super().__init__(f"the {what} became {value}")
        self.batch = batch


def is_full(error: BaseException) -> bool:
    """Return whether `error` says that the memory of a device or of the machine is exhausted."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


@dataclass(frozen=True, slots=True)
class Trained:
    """The networks as made (`plain`), the same networks as Fabric runs them, and their optimisers, each by name."""

    plain: dict[str, nn.Module]
    running: Networks
    optimizers: dict[str, Any]  # Fabric's wrapped optimisers


def set_up(
    fabric: Fabric, networks: dict[str, nn.Module], optimizers: dict[str, Optimizer], compiled: bool = False
) -> Trained:
    """Move networks and optimisers to the hardware. `compiled`: run the networks through `torch.compile`."""
    running, wrapped = {}, {}
    for name, network in networks.items():
        whole = cast(nn.Module, torch.compile(network)) if compiled else network
        running[name], wrapped[name] = fabric.setup(whole, optimizers[name])
    return Trained(networks, running, wrapped)


def take_step(
    fabric: Fabric, trained: Trained, passes: Sequence[Pass], batches: Sequence[Batch], clip_gradient: float = 0.0
) -> dict[str, float]:
    """Take one step of every pass and return the values that the passes log, averaged over `batches`.

    Gradients are averaged over `batches` and over processes; the logged values are those of this process.
    `clip_gradient`: the largest gradient norm; 0 for no limit. Raises BadLossError if a loss or a gradient norm is
    non-finite, before the optimiser uses it. All other processes raise UsageError then. Under fp16 only losses are
    checked. Raises UsageError if the step does not fit into the device's memory.
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
    scaled = fabric.strategy.precision.precision == "16-mixed"  # the scaler handles gradients that overflow
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
    """Raise BadLossError if `value` is non-finite, and UsageError if it is so on another process only."""
    bad = not math.isfinite(value)
    anywhere = torch.tensor(float(bad), device=fabric.device)
    if several:  # otherwise processes would wait forever for one that has stopped
        summed = fabric.all_reduce(anywhere, reduce_op="sum")
        assert isinstance(summed, Tensor)
        anywhere = summed
    if bad:
        raise BadLossError(what, value, batch)
    if anywhere > 0:
        raise UsageError(f"the {what} became non-finite on another process, whose message has the batch")
