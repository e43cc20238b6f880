"""The executor of several processes on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from lse_bench.execution.devices import THREADS, Place, in_words
from lse_bench.execution.dispatch import Dispatcher
from lse_bench.execution.interface import R, T, Task, Watch, Work
from lse_bench.execution.settings import Settings, settings, take
from lse_bench.execution.stream import Reply, Stream
from lse_bench.media.under_way import VARIABLE
from lse_bench.workers import Workers


class Local:
    """Processes on this machine, one for each place. Each loads the networks once, and waits for the next call then."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.devices = in_words(places)
        self._processes = [_Process(place) for place in places]

    def run(self, work: Work[T, R], tasks: Sequence[Task[T]], watch: Watch) -> Iterator[tuple[int, R]]:
        for process in self._processes:
            process.work = work
        return Dispatcher(self._processes, tasks, work.lost, watch).run()

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.end()


class _Process:
    """One process. The pool of one starts it, and notices its death. `work`: what it does after its next start."""

    work: Work[Any, Any]

    def __init__(self, place: Place) -> None:
        self.label = place.label
        self._place = place
        self._pool: ProcessPoolExecutor | None = None
        self._process: Any = None

    def start(self) -> Future[BaseException | None]:
        if self._pool is not None:
            try:
                return self._pool.submit(_start, self.work, self._place.device, settings())
            except BrokenProcessPool:
                self.end()
        self._process = None
        self._pool = ProcessPoolExecutor(1, Workers({**self._place.environment, VARIABLE: ""}))
        started = self._pool.submit(_start, self.work, self._place.device, settings())
        self._seen()
        return started

    def exchange(self, tasks: Sequence[Task[Any]]) -> Future[Reply]:
        assert self._pool is not None
        try:
            return self._pool.submit(_exchange, tasks)
        except BrokenProcessPool as error:  # it died between two calls
            failed: Future[Reply] = Future()
            failed.set_exception(error)
            return failed

    def why_dead(self, error: BaseException) -> str | None:
        if not isinstance(error, BrokenProcessPool) or self._pool is None:
            return None
        process = self._process
        self._pool.shutdown(wait=True)  # its thread waits for the process, so only it knows how that ended
        self._pool = None
        code = None if process is None else process.exitcode
        if code is None:
            return "an unknown cause"
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    def rest(self) -> None:
        if self._pool is not None:
            with contextlib.suppress(BrokenProcessPool):
                self._pool.submit(_rest)

    def end(self) -> None:
        if self._pool is None:
            return
        self._seen()
        if self._process is not None:
            self._process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def _seen(self) -> None:
        """Remember the process; its pool forgets it at its death, and has no public method before Python 3.14."""
        processes = list((getattr(self._pool, "_processes", None) or {}).values())
        self._process = processes[0] if processes else self._process


_stream: Stream | None = None  # set in worker processes only


def _start(work: Work[Any, Any], device: str, given: Settings) -> BaseException | None:
    import cv2

    global _stream
    _rest()
    take(given)
    cv2.setNumThreads(int(os.environ[THREADS]))
    _stream, error = Stream.begin(work, device)
    return error


def _rest() -> None:
    global _stream
    if _stream is not None:
        _stream.stop()
    _stream = None


def _exchange(tasks: Sequence[Task[Any]]) -> Reply:
    assert _stream is not None
    return _stream.exchange(tasks)
