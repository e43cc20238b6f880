"""The training loop that all methods share: exact resume, logs, checkpoints and validation over Lightning Fabric.

Batches depend only on the step and the rank. Learning rates depend only on the step. A run that was killed and resumed
therefore takes the same steps as a run without interruption.
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
    """A training method: the networks, losses, data and validation that the loop runs.

    `best`: the validation measure that selects `best.ckpt` and controls early stopping, with `min` if lower is better
    and `max` if higher is better. None writes no `best.ckpt` and never stops early.
    """

    best: tuple[str, Literal["min", "max"]] | None = None

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Return the networks to train, by name, newly initialised from torch's random state."""

    @abstractmethod
    def optimizers(self, networks: dict[str, nn.Module]) -> dict[str, Optimizer]:
        """Return one optimiser for each network, under the same name."""

    @abstractmethod
    def passes(self, step: int) -> Sequence[Pass]:
        """Return the passes of a step, in order. Steps count from 0."""

    @abstractmethod
    def batch(self, number: int, rank: int) -> Batch:
        """Return batch `number` of the process `rank` as CPU tensors. Equal arguments must give equal batches."""

    @abstractmethod
    def validate(self, networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
        """Return measures on held-out clips, by name.

        The networks are in evaluation mode. Only the first process calls this method.
        """

    def place(self, device: torch.device) -> None:  # noqa: B027 - most methods have nothing else to move
        """Move networks that are not trained to the device."""

    def pictures(self, networks: dict[str, nn.Module], device: torch.device) -> NDArray[np.uint8] | None:
        """Return a BGR picture (H,W,3) of the networks' output, or None. The loop calls it at each validation."""
        return None

    def after_validation(self, measures: dict[str, float]) -> None:  # noqa: B027
        """Adapt the method to the validation measures, for example a loss weight. Every process calls it."""

    def state(self) -> dict[str, float]:
        """Return the values that `after_validation` has changed, for the checkpoint."""
        return {}

    def restore(self, state: dict[str, float]) -> None:  # noqa: B027
        """Restore the values that `state` returned."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The length of a run, its learning-rate curve, and when it validates and saves. All intervals are in steps.

    The rate rises linearly over `warm_up` steps and then follows a cosine down to `floor` times its full value.
    `clip_gradient`: the largest gradient norm of a pass; 0 does not clip. `accumulate`: the number of batches in a
    step. `patience`: the run ends after this number of validations without a better value; 0 never ends it early.
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
        """Return the factor on the learning rates of a step. Steps count from 0."""
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))


def refuse_to_overwrite(out: Path, resume: bool) -> None:
    """Raise UsageError if `out` holds a training run without `resume`, or no run with `resume`."""
    if resume and not (out / "run.json").exists():
        raise UsageError(f"{out}: holds no training run to resume; leave out --resume to start one")
    if (out / LAST).exists() and not resume:
        raise UsageError(f"{out}: holds a training run; pass --resume to continue it, or choose another --out")


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
    """Train to the end of the schedule and return the measures of the last validation.

    Training continues from `last.ckpt` in `out` if that file exists. `out` receives `last.ckpt`, `best.ckpt`,
    `log.csv`, `validation.csv`, `samples/` and `tensorboard/`. `seed`: the random seed of the initial weights and of
    every step. `loaders`: the number of processes that prepare batches. `on_step`: called on the first process after
    each step with the number of finished steps and the logged values. Raises UsageError if a loss or gradient is
    non-finite (its batch is saved in `out`), or if memory runs out. Raises WeightsError if `last.ckpt` is damaged.
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
    if last.exists():  # only now, because optimisers keep their state on the device of the parameters
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
        _set_rates(optimizers, rates, factor)
        torch.manual_seed(hash((seed, step, fabric.global_rank)))  # random layers resume exactly
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
                f"{out}: {error} at step {step}; the batch is in {kept.name}. Lower the learning rate, use fp32, or "
                "look for broken clips in the batch"
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
    fabric.barrier()  # no process may leave before the last checkpoint is written
    return measures


def _set_rates(optimizers: dict[str, Optimizer], rates: dict[str, list[float]], factor: float) -> None:
    for name, optimizer in optimizers.items():
        for group, rate in zip(optimizer.param_groups, rates[name], strict=True):
            group["lr"] = rate * factor


def _validate(
    fabric: Fabric, method: Method, networks: dict[str, nn.Module], step: int, log: Log | None
) -> dict[str, float]:
    """Validate on the first process and return its measures on every process."""
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
    """The best value of a method's measure so far, and the decision to stop a run that does not improve."""

    def __init__(self, method: Method, patience: int) -> None:
        self._best = method.best
        self._patience = patience
        self._value, self._stale = math.nan, 0

    @property
    def over(self) -> bool:
        """Whether `patience` validations in a row brought no better value."""
        return 0 < self._patience <= self._stale

    def better(self, measures: dict[str, float]) -> bool:
        """Return whether `measures` are the best so far, and remember the result."""
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
    """Return the next `count` batches. Raises UsageError if they do not fit into memory."""
    try:
        return [next(batches) for _ in range(count)]
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
        raise UsageError(f"out of memory while preparing a batch. {WAY_OUT}") from error


def _batches(method: Method, stop: int, start: int, fabric: Fabric, loaders: int) -> Iterator[Batch]:
    """Return an iterator over the batches `start` to `stop`, exclusive, which `loaders` processes prepare ahead."""
    options: dict[str, Any] = {"multiprocessing_context": WORKERS} if loaders else {}
    pinned = fabric.device.type == "cuda"
    if loaders and start < stop:
        refuse_small_shared_memory(lambda: method.batch(start, fabric.global_rank), loaders)
    dataset = _Batches(method, start, stop, fabric.global_rank)
    return iter(DataLoader(dataset, batch_size=None, num_workers=loaders, pin_memory=pinned, **options))
