"""Hand out tasks to several workers, and take back the tasks of those that die.

Every worker holds a few tasks, and more if it finishes many at once, so that short clips fill its batches. It gets new
ones as soon as it has finished one, so a slow worker gets fewer. When a worker dies, its tasks go back, and each of
them then runs alone in a worker. A task whose worker dies three times while it runs alone is refused. So neither the
neighbours of such a task nor a machine that is switched off cost a result. If many workers die before the first result,
the fault is not one of the tasks, and the work stops.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from lse_bench.errors import LseBenchError
from lse_bench.execution.interface import Task, Usage, Watch
from lse_bench.execution.stream import Reply

DEATHS = 3  # workers that may die while a task runs alone in them
_STARTS = 5  # times that a worker may die in a row without a result
_PAUSE = 1.0  # seconds before a worker is started again that died without a task; each time longer
_BARREN = 25  # workers that may die before the first result of all
_DEPTH, _DEEPEST = 8, 256  # tasks that a worker holds at first, and at most
_TICK = 0.05  # seconds between looks while every worker waits for its start
_POLL = 1.0  # seconds between looks at workers that say nothing
_SILENCE = 60.0  # seconds without any worker after which that is said


class Handle(Protocol):
    """A worker in another process. `label`: its name in messages."""

    label: str

    def start(self) -> Future[BaseException | None]:
        """Start the process, again after its death, and load the worker in it. Its result is why that failed."""
        ...

    def exchange(self, tasks: Sequence[Task[Any]]) -> Future[Reply]:
        """Send tasks, and get the results that are ready."""
        ...

    def why_dead(self, error: BaseException) -> str | None:
        """Return how the process died if `error` of a call says so, else None."""
        ...

    def rest(self) -> None:
        """Let the process wait for another `start`. Its networks are released."""
        ...

    def end(self) -> None:
        """End the process at once."""
        ...


@dataclass(slots=True, eq=False)
class _Seat:
    """A handle and what it does. `held`: its tasks. `alone`: whether its task is one that was held at a death.
    `depth`: how many it may hold. `failures`: how often in a row it died without a result. `again`: when it is started
    again, None if it runs.
    """

    handle: Handle
    held: dict[int, Task[Any]] = field(default_factory=dict)
    alone: bool = False
    depth: int = _DEPTH
    failures: int = 0
    again: float | None = None
    since: float | None = None
    usage: Usage = field(default_factory=Usage)


class Dispatcher:
    """The tasks of one call of an executor, and the workers.

    `lost`: makes the result of a task that kills its workers, from its description and a reason.
    """

    def __init__(
        self,
        handles: Sequence[Handle],
        tasks: Sequence[Task[Any]],
        lost: Callable[[Any, str], Any],
        watch: Watch,
    ) -> None:
        self._seats = [_Seat(handle) for handle in handles]
        # Sorting is stable, so tasks of unknown length keep their order.
        self._waiting = deque(sorted(tasks, key=lambda task: -task.size))
        self._suspects: deque[Task[Any]] = deque()
        self._deaths: Counter[int] = Counter()
        self._calls: dict[Future[Any], _Seat] = {}
        self._idle: list[_Seat] = []
        self._lost, self._watch = lost, watch
        self._heard = time.monotonic()
        self._dead = self._finished = 0

    def run(self) -> Iterator[tuple[int, Any]]:
        """Yield the number and the result of each task. Raises LseBenchError if no worker is left."""
        finished = False
        try:
            for seat in self._seats[: max(1, len(self._waiting))]:
                self._calls[seat.handle.start()] = seat
            while self._waiting or self._suspects or any(seat.held for seat in self._seats):
                yield from self._step()
            finished = True
        finally:
            for seat in self._seats:
                if finished:
                    seat.handle.rest()
                else:
                    seat.handle.end()
                self._settle(seat)

    def _step(self) -> Iterator[tuple[int, Any]]:
        while self._idle and (self._waiting or self._suspects):
            self._call(self._idle.pop())
        for seat in self._seats:
            if seat.again is not None and time.monotonic() >= seat.again:
                seat.again = None
                self._calls[seat.handle.start()] = seat
        if not self._calls and any(seat.again is not None for seat in self._seats):
            time.sleep(_TICK)
            return
        if not self._calls:
            raise LseBenchError(
                f"every worker died {_STARTS} times without finishing a task, so the work stops; finished results are "
                "kept. Memory may be too small for so many workers: ask for fewer with --devices"
            )
        ended, _ = wait(self._calls, timeout=_POLL, return_when=FIRST_COMPLETED)
        self._complain(bool(ended))
        for call in ended:
            seat = self._calls.pop(call)
            try:
                reply = call.result()
            except BaseException as error:
                how = seat.handle.why_dead(error)
                if how is None:
                    raise
                yield from self._bury(seat, how)
                continue
            if isinstance(reply, BaseException):
                raise reply
            if reply is None:
                seat.since = time.monotonic()
            else:
                yield from self._take(seat, reply)
            self._call(seat)

    def _take(self, seat: _Seat, reply: Reply) -> Iterator[tuple[int, Any]]:
        seat.usage = reply.usage
        if reply.note:
            self._watch.on_note(seat.handle.label, reply.note)
        if 2 * len(reply.results) >= seat.depth:
            seat.depth = min(2 * seat.depth, _DEEPEST)
        for number, result in reply.results:
            # A worker that was given up, but lives, may still answer for a task that another one has now.
            if seat.held.pop(number, None) is not None:
                seat.failures = 0
                self._finished += 1
                yield number, result
        if reply.error is not None:
            raise reply.error
        seat.alone = seat.alone and bool(seat.held)

    def _call(self, seat: _Seat) -> None:
        more = self._more(seat)
        seat.held |= {task.number: task for task in more}
        if seat.held:
            self._calls[seat.handle.exchange(more)] = seat
        else:
            self._idle.append(seat)

    def _more(self, seat: _Seat) -> list[Task[Any]]:
        if seat.alone or (self._suspects and seat.held):
            return []
        if self._suspects:
            seat.alone = True
            return [self._suspects.popleft()]
        share = -(-len(self._waiting) // (2 * len(self._seats)))  # so that all workers end together
        room = min(seat.depth, share) - len(seat.held)
        return [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]

    def _bury(self, seat: _Seat, how: str) -> Iterator[tuple[int, Any]]:
        self._settle(seat)
        self._dead += 1
        if self._dead >= _BARREN and not self._finished:
            raise LseBenchError(
                f"{self._dead} workers died before the first result, the last one by {how}. So no single file is the "
                "cause. Memory may be too small for so many workers: ask for fewer with --devices"
            )
        held, alone = list(seat.held.values()), seat.alone
        seat.held, seat.alone = {}, False
        for task in held:
            self._deaths[task.number] += alone
            if self._deaths[task.number] < DEATHS:
                self._suspects.append(task)
                continue
            reason = (
                f"it ended {DEATHS} worker processes in which it was alone, the last one by {how}. The file may be "
                "damaged or too large"
            )
            yield task.number, self._lost(task.what, reason)
        told = f"{len(held)} tasks are" if len(held) != 1 else f"{held[0].name} is"
        self._watch.on_event(f"{seat.handle.label}: the worker was lost ({how}); {told} given to another one")
        seat.failures = 0 if held else seat.failures + 1
        if seat.failures < _STARTS:
            seat.again = time.monotonic() + _PAUSE * seat.failures

    def _settle(self, seat: _Seat) -> None:
        if seat.since is not None:
            spent = time.monotonic() - seat.since
            self._watch.usage = self._watch.usage + replace(seat.usage, workers=spent)
        seat.since, seat.usage = None, Usage()

    def _complain(self, heard: bool) -> None:
        now = time.monotonic()
        if heard:
            self._heard = now
        elif now - self._heard > _SILENCE and all(seat.since is None for seat in self._seats):
            self._heard = now
            self._watch.on_event("no worker has started yet. The machines that were asked for may not exist")
