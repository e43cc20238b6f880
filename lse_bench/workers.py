"""Worker processes that end when their parent ends for any reason, and that drop queued work when it stops."""

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

_DYING = 0.05  # seconds that a killed process may need to close its pipes
_SURE = 1.0  # seconds for which a parent counts as alive after a check


class _Worker(SpawnProcess):
    """A process that ends with its parent and ignores Ctrl-C.

    `environment`: variables that are set for it before it starts.

    A terminal sends Ctrl-C to the whole process group, but only the parent decides what happens then. SIGINT is blocked
    while the process starts, and it stays blocked in the new process. So Ctrl-C cannot interrupt its imports either.
    A Ctrl-C during the start reaches the parent afterwards.
    """

    environment: dict[str, str] = {}

    def run(self) -> None:
        _end_with_parent()
        super().run()

    def start(self) -> None:
        resource_tracker.ensure_running()  # starting it unblocks SIGINT, so start it before the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with _environment(self.environment):
                super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables inside the block. A process that is started there inherits them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Workers(SpawnContext):
    """A context of multiprocessing whose processes are workers. `environment`: variables that are set for them."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        super().__init__()
        self._environment = environment or {}

    def Process(self, *arguments: Any, **named: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        """Return a worker process that is not started yet."""
        worker = _Worker(*arguments, **named)
        worker.environment = self._environment
        return worker


# Processes are spawned, because forked ones would inherit locks of torch's and OpenCV's threads.
WORKERS = Workers()


@contextmanager
def worker_pool(count: int, start: Callable[..., object], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of `count` processes, each of which first calls `start(*arguments)`.

    An exception in the block, for example Ctrl-C, kills all processes at once.
    """
    pool = ProcessPoolExecutor(count, WORKERS, start, arguments)
    try:
        yield pool
    except BaseException as error:
        if isinstance(error, BrokenProcessPool):
            _die_like_a_worker(pool)
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):  # the executor has no public method before Python 3.14
            process.kill()
        raise
    pool.shutdown()


def _die_like_a_worker(pool: ProcessPoolExecutor) -> None:
    """If a worker crashed in native code, end this process by the same signal, so that the supervisor notices it."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(cancel_futures=True)  # ends and joins the other workers, so that all exit codes exist
    codes = {-(process.exitcode or 0) for process in processes}
    if VARIABLE in os.environ and (fatal := codes & set(map(int, NATIVE))):
        os.kill(os.getpid(), min(fatal))


def _end_with_parent() -> None:
    """Make this process exit when its parent ends, without printing the errors that this end causes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def end_with_it() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True, name="end-with-parent").start()
    sys.stderr = _Stderr(sys.stderr, sentinel)


class _Stderr(io.TextIOBase):
    """The standard error stream of a worker, which prints only while the parent lives.

    Pipes to a killed parent can break before the parent counts as ended, and a queue's thread prints that error at
    once. So before it prints, `write` waits for a moment to see whether the parent ends.
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
