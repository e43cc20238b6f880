"""Worker processes that end with their parent, however it dies, and that drop queued work when it stops."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from lse_bench.errors import NATIVE
from lse_bench.media.under_way import VARIABLE


class _Worker(SpawnProcess):
    """A process that never gets Ctrl-C, which a terminal sends to the whole group: the parent decides.

    What is blocked when a process starts stays blocked in it, so its imports cannot be broken off either. A Ctrl-C that
    comes meanwhile reaches the parent afterwards.
    """

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
    pool = ProcessPoolExecutor(count, WORKERS, _begin, (start, arguments))
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


def _begin(start: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_it() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True, name="end-with-parent").start()
    start(*arguments)
