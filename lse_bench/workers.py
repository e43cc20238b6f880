"""Worker processes that end with their parent, however it dies, and that drop queued work when it stops."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TextIO

from lse_bench.errors import NATIVE
from lse_bench.media.under_way import VARIABLE

_DYING = 0.05  # seconds that a killed process may need to close what it holds
_SURE = 1.0  # seconds for which a parent that was seen alive is taken to be alive


class _Worker(SpawnProcess):
    """A process that ends with its parent, and that never gets Ctrl-C, which a terminal sends to the whole group: the
    parent decides.

    What is blocked when a process starts stays blocked in it, so its imports cannot be broken off either. A Ctrl-C that
    comes meanwhile reaches the parent afterwards.
    """

    def run(self) -> None:
        _end_with_parent()
        super().run()

    def start(self) -> None:
        resource_tracker.ensure_running()  # when it starts, it takes the block away
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Workers(SpawnContext):
    Process = _Worker


# Spawned: forked processes would inherit locks of torch's and OpenCV's threads.
WORKERS = _Workers()


@contextmanager
def worker_pool(count: int, start: Callable[..., object], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """`count` processes, each of which has called `start` with `arguments` first.

    Left by an error, an interrupt above all, it ends them at once, whatever they are doing.
    """
    pool = ProcessPoolExecutor(count, WORKERS, start, arguments)
    try:
        yield pool
    except BaseException as error:
        if isinstance(error, BrokenProcessPool):
            _die_like_a_worker(pool)
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):  # the executor has no public way until Python 3.14
            process.kill()
        raise
    pool.shutdown()


def _die_like_a_worker(pool: ProcessPoolExecutor) -> None:
    """Where a worker was killed by what it decoded, tell the supervisor in the way that it looks for."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(cancel_futures=True)  # ends and joins the others; exit codes are certain after that
    codes = {-(process.exitcode or 0) for process in processes}
    if VARIABLE in os.environ and (fatal := codes & set(map(int, NATIVE))):
        os.kill(os.getpid(), min(fatal))


def _end_with_parent() -> None:
    """Leave the process when its parent has ended, and print nothing of what breaks because of that end."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def end_with_it() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True, name="end-with-parent").start()
    sys.stderr = _Stderr(sys.stderr, sentinel)


class _Stderr(io.TextIOBase):
    """The worker's standard error while its parent lives.

    Pipes to a parent that was killed can break before it counts as ended, and a queue's thread prints that at once. So
    a text waits for a moment to see whether the parent ends.
    """

    def __init__(self, stream: TextIO, sentinel: int) -> None:
        self._stream, self._sentinel = stream, sentinel
        self._seen_alive = -_SURE

    def write(self, text: str) -> int:
        now = time.monotonic()
        if now - self._seen_alive >= _SURE:
            if wait([self._sentinel], _DYING):
                os._exit(1)
            self._seen_alive = now
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()
