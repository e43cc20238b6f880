"""Works for tests of executors: they load no network. Worker processes import this module."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lse_bench.errors import UsageError
from lse_bench.execution.interface import Task, Usage

if TYPE_CHECKING:
    from lse_bench.sync.scorer import SyncScorer


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers. `log`: a folder in which every worker leaves a file of what it did."""

    log: Path
    failing: bool = False

    def start(self, device: str) -> Worker:
        if self.failing:
            raise UsageError("these weights are damaged")
        return Worker(self.log, device)

    def lost(self, task: int, reason: str) -> tuple[int, str]:
        return task, reason


class Worker:
    def __init__(self, log: Path, device: str) -> None:
        about = [device, *(f"{name}={os.environ.get(name)}" for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"))]
        self._log = log / f"{os.getpid()}"
        self._log.write_text("\n".join(about) + "\n")

    def run(self, tasks: Iterator[Task[int] | None], note: Callable[[str], None]) -> Iterator[tuple[int, Any]]:
        for task in tasks:
            if task is None:
                continue
            with self._log.open("a") as file:
                file.write(f"{task.what}\n")
            note(f"at {task.what}")
            behave(task.what, self._log.parent)
            yield task.number, (task.what, 2 * task.what)

    def usage(self) -> Usage:
        return Usage(decoding=1.0, network=2.0)


def behave(what: int, log: Path) -> None:
    """Negative numbers are tasks that go wrong, each in its own way."""
    if what == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == -2:
        os._exit(3)
    if what == -3:
        raise UsageError("wrong options")
    if what == -4:
        raise OddError("odd", 4)
    if what == -6:
        while len(list(log.iterdir())) < 2:
            time.sleep(0.01)
    if what == -5:
        time.sleep(3600)


def stub_scorer(weights: Path, log: Path, device: str) -> SyncScorer:
    """A scorer on the CPU in a process that was given a GPU. Whatever touches CUDA leaves a file in `log`."""
    import torch

    from lse_bench.sync.scorer import SyncScorer

    (log / f"{os.getpid()}.told").write_text(f"{device} {os.environ.get('CUDA_VISIBLE_DEVICES')}")

    def touched(*arguments: object) -> None:
        (log / f"{os.getpid()}.touched").write_text("".join(traceback.format_stack()))

    torch.cuda._lazy_init = touched
    scorer = SyncScorer.load(weights, protocol="lrs-lossless@1", device="cpu")
    torch.cuda.is_available = touched  # type: ignore[assignment]
    torch.cuda.device_count = touched  # type: ignore[assignment]
    return scorer


class OddError(Exception):
    """An exception that cannot be pickled and read again."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
