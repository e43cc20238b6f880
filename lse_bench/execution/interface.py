"""Tasks, the work that is done on them, and who does it.

A task is a picklable description of one clip, or of one source with its jobs. Its result is what the caller appends to
its records. An executor changes nothing but time. The caller alone writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """One piece of work.

    `number`: its number, unique among the tasks of a call. `name`: its name in messages. `what`: its description, which
    can be pickled. `size`: how long it takes in any unit, 0 if that is not known. Long tasks are handed out first.
    """

    number: int
    name: str
    what: T
    size: float = 0.0


@dataclass(slots=True)
class Usage:
    """Where the time of workers went, in seconds.

    `workers`: the time of all workers together, from the end of their start. `decoding`: reading files, in all threads
    together. `network`: computing on the device.
    """

    workers: float = 0.0
    decoding: float = 0.0
    network: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.workers + other.workers, self.decoding + other.decoding, self.network + other.network)


class Worker(Protocol[T, R_co]):
    """What works on tasks, one after another or several at once, with its networks loaded."""

    def run(self, tasks: Iterator[Task[T] | None], note: Callable[[str], None]) -> Iterator[tuple[int, R_co]]:
        """Yield the number and the result of each task, in any order.

        None among the tasks means that none is ready: the worker finishes what it has begun before it asks again.
        `note`: called now and then, from any thread, with what is done now.
        """
        ...

    def usage(self) -> Usage:
        """Return where the time went so far. `workers` is left to the executor."""
        ...


class Work(Protocol[T, R_co]):
    """The description of a worker. Executors of several processes pickle it."""

    def start(self, device: str) -> Worker[T, R_co]:
        """Load the networks on a torch device and return a worker. Raises LseBenchError."""
        ...

    def lost(self, task: T, reason: str) -> R_co:
        """Return the result of a task that kills every process that works on it."""
        ...


@dataclass(slots=True)
class Watch:
    """What a caller hears of an executor.

    `on_note`: called with the name of a worker and what it does now. `on_event`: called with a sentence about a worker
    that was lost, or that does not start. `usage`: where the time went, complete when the executor has ended.
    """

    on_note: Callable[[str, str], None] = lambda worker, text: None
    on_event: Callable[[str], None] = lambda text: None
    usage: Usage = field(default_factory=Usage)


class Executor(Protocol):
    """Who works on tasks.

    `devices`: the torch devices of the workers in words, for records.
    """

    devices: str

    def run(self, work: Work[T, R], tasks: Sequence[Task[T]], watch: Watch) -> Iterator[tuple[int, R]]:
        """Yield the number and the result of each task, in any order, each exactly once.

        Closing the iterator, or an exception in the caller, ends the workers and drops what they had begun. Raises
        LseBenchError of the work, and LseBenchError if no worker can be started.
        """
        ...

    def close(self) -> None:
        """End the workers that wait for another call. A later call starts them again."""
        ...
