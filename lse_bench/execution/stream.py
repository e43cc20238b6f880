"""A worker that gets its tasks in calls: what runs inside a process of another executor.

The worker runs in a thread of its own, so that it reads ahead while results and tasks travel.
"""

from __future__ import annotations

import pickle
import queue
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lse_bench.errors import LseBenchError
from lse_bench.execution.interface import Task, Usage, Work

_IDLE = 0.1  # seconds between two None of a worker that waits for tasks
_PATIENCE = 1.0  # seconds that a call waits for a result


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a worker.

    `results`: finished results by the number of their tasks. `note`: what it does now. `usage`: where its time went.
    `error`: the exception that ended it. It is a value, so whatever a call raises says that the process died.
    """

    results: list[tuple[int, Any]]
    note: str
    usage: Usage
    error: BaseException | None = None


class Stream:
    """A running worker."""

    def __init__(self, work: Work[Any, Any], device: str) -> None:
        self._worker = work.start(device)
        self._inbox: queue.SimpleQueue[Task[Any]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[tuple[int, Any] | BaseException] = queue.SimpleQueue()
        self._note = ""
        self._stopped = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="worker")
        self._thread.start()

    @classmethod
    def begin(cls, work: Work[Any, Any], device: str) -> tuple[Stream | None, BaseException | None]:
        """Return a running worker, or the exception that prevented it."""
        try:
            return cls(work, device), None
        except BaseException as error:  # noqa: BLE001 - the caller raises it in its own process
            return None, _sendable(error)

    def exchange(self, tasks: Sequence[Task[Any]]) -> Reply:
        """Take tasks, and return the results that are ready. It waits up to a second for the first one."""
        for task in tasks:
            self._inbox.put(task)
        found = []
        try:
            found.append(self._outbox.get(timeout=_PATIENCE))
            while True:
                found.append(self._outbox.get_nowait())
        except queue.Empty:
            pass
        results = [one for one in found if not isinstance(one, BaseException)]
        error = next((one for one in found if isinstance(one, BaseException)), None)
        return Reply(results, self._note, self._worker.usage(), None if error is None else _sendable(error))

    def stop(self) -> None:
        """End the worker after the tasks that it has begun."""
        self._stopped = True
        self._thread.join()

    def _work(self) -> None:
        try:
            for result in self._worker.run(self._tasks(), self._noted):
                self._outbox.put(result)
        except BaseException as error:  # noqa: BLE001 - the caller of `exchange` gets it
            self._outbox.put(error)

    def _noted(self, text: str) -> None:
        self._note = text

    def _tasks(self) -> Iterator[Task[Any] | None]:
        idle = False
        while not self._stopped:
            try:
                task = self._inbox.get(timeout=_IDLE) if idle else self._inbox.get_nowait()
            except queue.Empty:
                idle = True
                yield None
                continue
            idle = False
            yield task


def _sendable(error: BaseException) -> BaseException:
    """Return an exception that can be pickled. One that LSE-Bench does not explain carries its traceback as a note."""
    if not isinstance(error, LseBenchError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own object, in this process
    except Exception:  # noqa: BLE001 - a third party's exception can refuse in any way
        return LseBenchError("".join(traceback.format_exception(error)))
    return error
