"""What the parts of the measurement share: rows, made-up weights and inputs, clocks, memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import checkout
import numpy as np
import torch

from lse_bench.weights.formula import formula_weights

ROOT = checkout.ROOT
NARROW = 1 / 16  # widths of small runs
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `what`: the setting measured, `batch`: inputs at a time, `per_second` of `unit`, `error`:
    the largest difference from float64 on the CPU as a part of the largest value (of training: of the first step's loss
    from the CPU's in float32), `gib`: the most memory of the card
    that tensors took; `more`: other figures by name.
    """

    what: str
    batch: int = 1
    per_second: float | None = None
    unit: str = ""
    error: float | None = None
    gib: float | None = None
    more: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and how large a part is measured: `device` cpu, cuda or cuda:N; `small` for tests."""

    device: str
    small: bool

    @property
    def cuda(self) -> bool:
        """Whether it is a card."""
        return self.device.startswith("cuda")

    def sizes(self, *on_card: int, on_cpu: int) -> tuple[int, ...]:
        """Batch sizes."""
        return (2,) if self.small else on_card if self.cuda else (on_cpu,)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Of inference."""
        return ("fp32", "tf32", "bf16") if self.cuda else ("fp32", "bf16")

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], warm: int = 2) -> float:
        """The shortest of a few times, after some to warm up; a small run takes one of each."""
        times = []
        rounds, warm = (1, 1) if self.small else (ROUNDS, warm)
        for _ in range(rounds + warm):
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - began)
        return min(times[warm:])

    @contextlib.contextmanager
    def peak(self) -> Iterator[Callable[[], float | None]]:
        """The most memory that tensors take meanwhile, GiB; None on a CPU."""
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / 2**30 if self.cuda else None


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether convolutions and products may use TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def dtype_of(precision: str) -> torch.dtype:
    """What values are held in; TF32 is a way to multiply float32."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def filled(network: torch.nn.Module) -> Any:
    """A network with weights by formula."""
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(np.asarray(v)) for name, v in formula_weights(shapes).items()})
    return network


def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """Made-up values, the same everywhere."""
    random = np.random.Generator(np.random.PCG64([0, *shape]))
    return torch.from_numpy(random.uniform(low, high, shape).astype(np.float32))


def whole(*shape: int) -> torch.Tensor:
    """Made-up grey levels, uint8, the same everywhere."""
    random = np.random.Generator(np.random.PCG64([1, *shape]))
    return torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8))


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference as a part of the largest wanted value."""
    return float((found.double().cpu() - wanted.cpu()).abs().max() / wanted.abs().max())
