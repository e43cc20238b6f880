"""The loop that every trainer shares: Lightning Fabric underneath, exact resume, logs, checkpoints, validation.

A method gives batches that are a pure function of step and rank and a learning rate that is one of the step. So a run
that was killed and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, Protocol

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lse_bench.errors import UsageError
from lse_bench.training.checkpoints import read_checkpoint, write_checkpoint

Precision = Literal["fp32", "bf16"]
_FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {"fp32": "32-true", "bf16": "bf16-mixed"}
Batch = dict[str, Tensor]
OnStep = Callable[[int, dict[str, float]], None]


class Method(Protocol):
    """What a trainer adds to the loop."""

    def network(self) -> nn.Module:
        """The network to train, freshly initialised from the seed."""

    def batch(self, step: int, rank: int) -> Batch:
        """The batch of a step on one process, CPU tensors; the same whenever it is asked for."""

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss, and what else to log."""

    def validate(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Measures on held-out clips; the network is in evaluation mode."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Optimisation: AdamW with linear warm-up and cosine decay to `floor` times `rate`."""

    steps: int
    rate: float
    warm_up: int
    floor: float
    weight_decay: float
    clip_gradient: float
    validate_every: int
    save_every: int

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress)))


@dataclass(frozen=True, slots=True)
class Hardware:
    """`accelerator`: cpu, cuda or auto; `devices` on each of `nodes`; `loaders`: processes that prepare batches."""

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Precision = "fp32"
    loaders: int = 1


def launch(hardware: Hardware) -> Fabric:
    """Start the processes, one for each device. Raises UsageError when the hardware is not there."""
    several = hardware.devices * hardware.nodes > 1
    try:
        fabric = Fabric(
            accelerator=hardware.accelerator,
            devices=hardware.devices,
            num_nodes=hardware.nodes,
            # The first process prepares the data for all; the others wait for it as long as that takes.
            strategy=DDPStrategy(timeout=timedelta(days=2)) if several else "auto",
            precision=_FABRIC_PRECISION[hardware.precision],
        )
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        raise UsageError(f"--device {hardware.accelerator} --devices {hardware.devices}: {error}") from None
    fabric.launch()
    return fabric


def refuse_to_overwrite(out: Path, resume: bool) -> None:
    """Raises UsageError when `out` holds a run and `resume` is False."""
    if (out / "last.ckpt").exists() and not resume:
        raise UsageError(f"{out}: holds a training run; pass --resume to go on with it, or choose another --out")


def train(
    fabric: Fabric, method: Method, schedule: Schedule, out: Path, seed: int, loaders: int, on_step: OnStep
) -> dict[str, float]:
    """Train to the schedule's end, from `last.ckpt` in `out` if there is one; returns the last validation.

    `out` gets `last.ckpt`, `log.csv`, `validation.csv`, `tensorboard/`. Raises UsageError when the loss is no number.
    """
    last = out / "last.ckpt"
    if fabric.device.type == "cpu":
        _keep_memory()
    torch.manual_seed(seed)
    module = method.network()
    optimizer = torch.optim.AdamW(module.parameters(), lr=schedule.rate, weight_decay=schedule.weight_decay)
    start, measures = 0, {}
    if last.exists():
        state = read_checkpoint(last)
        module.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        start, measures = int(state["step"]), dict(state["measures"])
    network, optimizer = fabric.setup(module, optimizer)
    batches = _batches(method, schedule.steps, start, fabric.global_rank, loaders)
    log = _Log(out, start) if fabric.is_global_zero else None
    network.train()
    for step, batch in zip(range(start, schedule.steps), batches, strict=True):
        began = time.monotonic()
        rate = schedule.rate_at(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, parts = method.loss(network, {name: fabric.to_device(value) for name, value in batch.items()})
        fabric.backward(loss)
        fabric.clip_gradients(network, optimizer, max_norm=schedule.clip_gradient)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        row = {"loss": float(loss.detach()), **parts, "rate": rate, "seconds": time.monotonic() - began}
        if not math.isfinite(row["loss"]):
            raise UsageError(f"{out}: the loss became {row['loss']} at step {step + 1}; lower the rate or use fp32")
        done = step + 1
        if log is not None:
            log.write("log.csv", done, row)
        if done % schedule.validate_every == 0 or done == schedule.steps:
            if fabric.is_global_zero:
                network.eval()
                with torch.no_grad():
                    measures = method.validate(module, fabric.device)
                network.train()
                assert log is not None
                log.write("validation.csv", done, measures)
            fabric.barrier()
        if (done % schedule.save_every == 0 or done == schedule.steps) and fabric.is_global_zero:
            write_checkpoint(last, module, optimizer, done, measures)
        if fabric.is_global_zero:
            on_step(done, row | measures)
    if log is not None:
        log.close()
    fabric.barrier()  # nobody leaves before the last checkpoint is written
    return measures


def _keep_memory() -> None:
    """Have glibc reuse the memory of large tensors instead of asking the system for fresh, zeroed pages in every step.

    On a CPU that takes a quarter off a step. Elsewhere than on glibc nothing happens.
    """
    no_mapping, never_trim = (-4, 0), (-1, -1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for option, value in (no_mapping, never_trim):
            library.mallopt(option, value)


class _Batches(Dataset[Batch]):
    def __init__(self, method: Method, start: int, stop: int, rank: int) -> None:
        self._method, self._start, self._stop, self._rank = method, start, stop, rank

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> Batch:
        return self._method.batch(self._start + index, self._rank)


def _batches(method: Method, stop: int, start: int, rank: int, loaders: int) -> Iterator[Batch]:
    """Batches from `start` on, prepared ahead by other processes."""
    # Forked loaders would inherit locks of torch's threads; spawned ones start clean.
    context = "spawn" if loaders else None
    dataset = _Batches(method, start, stop, rank)
    return iter(DataLoader(dataset, batch_size=None, num_workers=loaders, multiprocessing_context=context))


class _Log:
    """CSV files and TensorBoard, cut back to the step that a resumed run starts from."""

    def __init__(self, out: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        out.mkdir(parents=True, exist_ok=True)
        self._out = out
        for name in ("log.csv", "validation.csv"):
            _cut(out / name, start)
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=start + 1)

    def write(self, name: str, step: int, row: dict[str, float]) -> None:
        path = self._out / name
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *row])
            writer.writerow([step, *(f"{value:.7g}" for value in row.values())])
        for key, value in row.items():
            self._board.add_scalar(f"{path.stem}/{key}", value, step)

    def close(self) -> None:
        self._board.close()


def _cut(path: Path, step: int) -> None:
    """Drop the rows after `step`: a killed run may have logged steps that it had not saved."""
    if not path.exists():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines() or [""]
    if not header:  # killed before the first row reached the disk
        path.unlink()
        return
    kept = [row for row in rows if row.split(",")[0].isdigit() and int(row.split(",")[0]) <= step]
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("\n".join([header, *kept]) + "\n", encoding="utf-8")
    os.replace(partial, path)
