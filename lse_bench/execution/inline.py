"""The executor that works in this process, in the order of the tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from lse_bench.execution.interface import R, T, Task, Watch, Work


class Inline:
    """One worker in this process. A file that kills it ends the command; the supervisor then starts it again."""

    def __init__(self, device: str) -> None:
        self.devices = device

    def run(self, work: Work[T, R], tasks: Sequence[Task[T]], watch: Watch) -> Iterator[tuple[int, R]]:
        worker = work.start(self.devices)
        begun = time.monotonic()
        try:
            yield from worker.run(iter(tasks), partial(watch.on_note, ""))
        finally:
            watch.usage = watch.usage + replace(worker.usage(), workers=time.monotonic() - begun)

    def close(self) -> None:
        """Do nothing: this process goes on."""
