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
from multiprocessing.connection import wait
from typing import Any

from lse_bench.errors import NATIVE
from lse_bench.media.under_way import VARIABLE


@contextmanager
def worker_pool(count: int, start: Callable[..., object], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """`count` processes, each of which has called `start` with `arguments` first.

    Left by an error, an interrupt above all, it ends them at once, whatever they are doing. They are spawned: forked
    ones would inherit locks of torch's and OpenCV's threads.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin, (start, arguments))
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group; the parent decides
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_it() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True, name="end-with-parent").start()
    start(*arguments)
