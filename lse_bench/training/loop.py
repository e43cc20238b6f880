"""The loop that every trainer shares: Lightning Fabric underneath, exact resume, logs, checkpoints, validation.

A method gives batches that are a pure function of step and rank, and a rate's course that is one of the step. So a run
that was killed and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from lse_bench.errors import UsageError
from lse_bench.training.checkpoints import read_checkpoint, save_atomically, write_checkpoint
from lse_bench.training.logs import Log
from lse_bench.training.memory import keep_memory, refuse_small_shared_memory
from lse_bench.training.steps import WAY_OUT, BadLossError, Batch, Pass, is_full, set_up, take_step
from lse_bench.workers import WORKERS

OnStep = Callable[[int, dict[str, float]], None]
LAST, BEST = "last.ckpt", "best.ckpt"


class Method(ABC):
    """What a trainer adds to the loop.

    `best`: the measure of validation that decides about `best.ckpt` and early stop, and whether less of it is better;
    None keeps no best.
    """

    best: tuple[str, Literal["min", "max"]] | None = None

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """The networks to train, by name, freshly initialised from torch's random state."""

    @abstractmethod
    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """One for each network."""

    @abstractmethod
    def passes(self, step: int) -> Sequence[Pass]:
        """What a step, counted from 0, does, in order."""

    @abstractmethod
    def batch(self, number: int, rank: int) -> Batch:
        """A batch on one process, CPU tensors; the same whenever it is asked for."""

    @abstractmethod
    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Measures on held-out clips; the networks are in evaluation mode. Run by one process for all."""

    def place(self, device: torch.device) -> None:  # noqa: B027 - most methods have nothing else to move
        """Move what is not trained to the device."""

    def pictures(self, networks: dict[str, nn.Module], device: torch.device) -> NDArray[np.uint8] | None:
        """A BGR picture that shows what the networks do, at each validation."""
        return None

    def after_validation(self, measures: dict[str, float]) -> None:  # noqa: B027
        """Change course by what validation found; called on every process."""

    def state(self) -> dict[str, float]:
        """What `after_validation` has changed, for the checkpoint."""
        return {}

    def restore(self, state: dict[str, float]) -> None:  # noqa: B027
        """Take `state` back."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Length, linear warm-up and cosine decay to `floor` times the rates of a run; `accumulate` batches to a step.

    `clip_gradient`: largest norm of a pass's gradients, 0 for none. `patience`: validations without a better value
    after which the run ends, 0 for never.
    """

    steps: int
    warm_up: int
    floor: float
    clip_gradient: float
    validate_every: int
    save_every: int
    accumulate: int = 1
    patience: int = 0

    def factor_at(self, step: int) -> float:
        """What the learning rates of a step, counted from 0, are multiplied by."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))


def refuse_to_overwrite(out: Path, resume: bool) -> None:
    """Raises UsageError when `out` holds a run and `resume` is False, or holds none and `resume` is True."""
    if resume and not (out / "run.json").exists():
        raise UsageError(f"{out}: holds no training run to go on with; leave --resume out to begin one")
    if (out / LAST).exists() and not resume:
        raise UsageError(f"{out}: holds a training run; pass --resume to go on with it, or choose another --out")


def train(
    fabric: Fabric,
    method: Method,
    schedule: Schedule,
    out: Path,
    seed: int,
    loaders: int,
    on_step: OnStep,
    compiled: bool = False,
) -> dict[str, float]:
    """Train to the schedule's end, from `last.ckpt` in `out` if there is one; returns the last validation.

    `out` gets `last.ckpt`, `best.ckpt`, `log.csv`, `validation.csv`, `samples/`, `tensorboard/`. Raises UsageError when
    a loss is no number; the batch that gave it is saved.
    """
    last = out / LAST
    if fabric.device.type == "cpu":
        keep_memory()
    torch.manual_seed(seed)
    networks = method.networks()
    optimizers = method.optimizers(networks)
    rates = {name: [group["lr"] for group in optimizer.param_groups] for name, optimizer in optimizers.items()}
    start, measures, judge = 0, dict[str, float](), _Judge(method, schedule.patience)
    if last.exists():
        state = read_checkpoint(last)
        for name, network in networks.items():
            network.load_state_dict(state["networks"][name])
        start, measures = int(state["step"]), dict(state["measures"])
        judge.restore(state["kept"])
        method.restore(state["kept"])
    trained = set_up(fabric, networks, optimizers, compiled)
    if last.exists():  # after the parameters are where they stay, since optimisers keep their state beside them
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        fabric.strategy.precision.load_state_dict(state["precision"])
    method.place(fabric.device)
    batches = _batches(method, schedule.steps * schedule.accumulate, start * schedule.accumulate, fabric, loaders)
    log = Log(out, start) if fabric.is_global_zero else None
    _set_mode(networks, training=True)
    step = start

    def save(path: Path) -> None:
        kept, precision = judge.state() | method.state(), fabric.strategy.precision.state_dict()
        write_checkpoint(path, networks, optimizers, step, measures, kept, precision)

    while step < schedule.steps and not judge.over:
        began = time.monotonic()
        factor = schedule.factor_at(step)
        for name, optimizer in optimizers.items():
            for group, rate in zip(optimizer.param_groups, rates[name], strict=True):
                group["lr"] = rate * factor
        torch.manual_seed(hash((seed, step, fabric.global_rank)))  # networks that draw random numbers resume too
        some = _next(batches, schedule.accumulate)
        some = [{name: fabric.to_device(value) for name, value in batch.items()} for batch in some]
        passes = method.passes(step)
        step += 1
        try:
            row = take_step(fabric, trained, passes, some, schedule.clip_gradient)
        except BadLossError as error:
            kept = out / f"bad-batch-step-{step}-rank-{fabric.global_rank}.pt"
            save_atomically(kept, {name: value.cpu() for name, value in error.batch.items()})
            raise UsageError(
                f"{out}: {error} at step {step}; the batch is in {kept.name}. Lower the rate, use fp32, or look for "
                "broken clips in it"
            ) from None
        row |= {"factor": factor, "seconds": time.monotonic() - began}
        if log is not None:
            log.write("log.csv", step, row)
        if step % schedule.validate_every == 0 or step == schedule.steps:
            measures = _validate(fabric, method, networks, step, log)
            method.after_validation(measures)
            if judge.better(measures) and fabric.is_global_zero:
                save(out / BEST)
        ended = step == schedule.steps or judge.over
        if (step % schedule.save_every == 0 or ended) and fabric.is_global_zero:
            save(last)
        if fabric.is_global_zero:
            on_step(step, row | measures)
    if log is not None:
        log.close()
    fabric.barrier()  # nobody leaves before the last checkpoint is written
    return measures


def _validate(
    fabric: Fabric, method: Method, networks: dict[str, nn.Module], step: int, log: Log | None
) -> dict[str, float]:
    """The measures, the same on every process."""
    measures: dict[str, float] = {}
    if log is not None:
        _set_mode(networks, training=False)
        with torch.no_grad():
            measures = method.validate(networks, fabric.device)
            picture = method.pictures(networks, fabric.device)
        _set_mode(networks, training=True)
        log.write("validation.csv", step, measures)
        if picture is not None:
            log.picture(step, picture)
    found: dict[str, float] = fabric.broadcast(measures)
    return found


def _set_mode(networks: dict[str, nn.Module], *, training: bool) -> None:
    for network in networks.values():
        network.train(training)


class _Judge:
    """Keeps the best value of a method's measure, and ends a run that gets no better."""

    def __init__(self, method: Method, patience: int) -> None:
        self._best = method.best
        self._patience = patience
        self._value, self._stale = math.nan, 0

    @property
    def over(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self._patience <= self._stale

    def better(self, measures: dict[str, float]) -> bool:
        """Whether these measures are the best so far."""
        if self._best is None:
            return False
        name, way = self._best
        value = measures[name]
        ahead = value < self._value if way == "min" else value > self._value
        if math.isfinite(value) and (ahead or math.isnan(self._value)):
            self._value, self._stale = value, 0
            return True
        self._stale += 1
        return False

    def state(self) -> dict[str, float]:
        return {"best": self._value, "stale": float(self._stale)}

    def restore(self, state: dict[str, float]) -> None:
        self._value, self._stale = state["best"], int(state["stale"])


class _Batches(Dataset[Batch]):
    def __init__(self, method: Method, start: int, stop: int, rank: int) -> None:
        self._method, self._start, self._stop, self._rank = method, start, stop, rank

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> Batch:
        return self._method.batch(self._start + index, self._rank)


def _next(batches: Iterator[Batch], count: int) -> list[Batch]:
    """The next batches. Raises UsageError when they do not fit into memory."""
    try:
        return [next(batches) for _ in range(count)]
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        raise UsageError(f"out of memory while a batch was prepared. {WAY_OUT}") from error


def _batches(method: Method, stop: int, start: int, fabric: Fabric, loaders: int) -> Iterator[Batch]:
    """Batches from `start` on, prepared ahead by other processes."""
    options: dict[str, Any] = {"multiprocessing_context": WORKERS} if loaders else {}
    pinned = fabric.device.type == "cuda"
    if loaders and start < stop:
        refuse_small_shared_memory(lambda: method.batch(start, fabric.global_rank), loaders)
    dataset = _Batches(method, start, stop, fabric.global_rank)
    return iter(DataLoader(dataset, batch_size=None, num_workers=loaders, pin_memory=pinned, **options))
