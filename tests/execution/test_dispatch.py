"""Tasks that are handed out: to whom, in which order, and what happens when workers die."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.execution import dispatch
from lse_bench.execution.dispatch import DEATHS, Dispatcher
from lse_bench.execution.interface import Task, Usage, Watch
from lse_bench.execution.stream import Reply


class DeadError(Exception):
    pass


class Scripted:
    """A worker that answers at once and dies as told. `deadly`: tasks that kill it. `dies`: calls at which it dies."""

    def __init__(self, label: str, deadly: Sequence[int] = (), dies: Sequence[int] = (), starts: int = 100) -> None:
        self.label = label
        self.deadly, self.dies, self.starts = set(deadly), set(dies), starts
        self.calls = 0
        self.seen: list[list[int]] = []
        self.held: list[Task[Any]] = []
        self.ended = 0

    def start(self) -> Future[BaseException | None]:
        self.held = []
        self.starts -= 1
        return answer(None) if self.starts >= 0 else failed(DeadError("no start"))

    def exchange(self, tasks: Sequence[Task[Any]]) -> Future[Reply]:
        self.calls += 1
        self.held += tasks
        self.seen.append([task.number for task in self.held])
        if self.calls in self.dies or self.deadly & {task.number for task in self.held}:
            return failed(DeadError("gone"))
        done = self.held.pop(0)
        return answer(Reply([(done.number, done.what)], "", Usage(decoding=self.calls)))

    def why_dead(self, error: BaseException) -> str | None:
        return "SIGKILL" if isinstance(error, DeadError) else None

    def rest(self) -> None:
        self.ended += 1

    def end(self) -> None:
        self.ended += 1


def answer(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def failed(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def tasks(count: int, sizes: Sequence[float] = ()) -> list[Task[str]]:
    return [Task(n, f"clip {n}", f"done {n}", sizes[n] if sizes else 0.0) for n in range(count)]


def run(handles: Sequence[Scripted], given: Sequence[Task[str]], watch: Watch | None = None) -> dict[int, str]:
    found = list(Dispatcher(handles, given, lambda what, reason: f"lost {what}: {reason}", watch or Watch()).run())
    assert len(found) == len({number for number, _ in found}), "a task has one result"
    assert all(handle.ended for handle in handles)
    return dict(found)


def test_every_task_has_one_result_and_long_ones_come_first() -> None:
    one, two = Scripted("a"), Scripted("b")
    assert run([one, two], tasks(40, [float(n) for n in range(40)])) == {n: f"done {n}" for n in range(40)}
    assert one.seen[0][0] in (39, 29, 31) and 39 in one.seen[0] + two.seen[0]
    assert all(len(held) <= 8 for held in [*one.seen, *two.seen])
    unknown = Scripted("c")
    run([unknown], tasks(5))
    assert [held[0] for held in unknown.seen] == [0, 1, 2, 3, 4], "tasks of unknown length keep their order"
    assert run([Scripted("d")], []) == {}


def test_a_worker_that_finishes_many_at_once_holds_more() -> None:
    class Batching(Scripted):
        """Finishes all that it holds, as a network with a large batch does."""

        def exchange(self, tasks: Sequence[Task[Any]]) -> Future[Reply]:
            self.seen.append([task.number for task in tasks])
            return answer(Reply([(task.number, task.what) for task in tasks], "", Usage()))

    handle = Batching("a")
    assert len(run([handle], tasks(2000))) == 2000
    held = [len(one) for one in handle.seen]
    assert held[:6] == [8, 16, 32, 64, 128, 256] and max(held) == 256
    assert held[-1] == 1, "at the end the rest is shared out in small parts"


def test_a_dead_worker_costs_nothing() -> None:
    for seed in range(30):
        at = random.Random(seed)
        handles = [Scripted(name, dies=[at.randrange(1, 15)]) for name in "abc"]
        told: list[str] = []
        assert run(handles, tasks(50), Watch(on_event=told.append)) == {n: f"done {n}" for n in range(50)}, seed
        assert told and "the worker was lost (SIGKILL)" in told[0]


def test_a_task_that_kills_three_workers_is_refused_and_no_other() -> None:
    handles = [Scripted(name, deadly=[7, 12]) for name in "ab"]
    found = run(handles, tasks(30))
    assert {n for n, text in found.items() if text.startswith("lost")} == {7, 12}
    assert f"ended {DEATHS} worker processes in which it was alone, the last one by SIGKILL" in found[7]
    assert sum(held == [7] for handle in handles for held in handle.seen) == DEATHS
    together = [held for handle in handles for held in handle.seen if 7 in held and held != [7]]
    assert len(together) <= 1, "after the first death it runs alone"


def test_workers_that_never_start_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_PAUSE", 0.0)
    with pytest.raises(LseBenchError, match="every worker died 5 times without finishing a task"):
        run([Scripted("a", starts=0), Scripted("b", starts=0)], tasks(3))
    assert run([Scripted("a", starts=0), Scripted("b")], tasks(9)) == {n: f"done {n}" for n in range(9)}


def test_a_place_where_every_task_kills_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is too small for the network kills every worker at its first task: that is no fault of the clips."""
    monkeypatch.setattr(dispatch, "_PAUSE", 0.0)
    with pytest.raises(LseBenchError, match="25 workers died before the first result, the last one by SIGKILL"):
        run([Scripted(name, deadly=range(500)) for name in "ab"], tasks(500))
    found = run([Scripted(name, deadly=range(1, 40)) for name in "ab"], tasks(100))
    assert sum(text.startswith("lost") for text in found.values()) == 39, "after a result the clips are to blame"


def test_errors_of_the_work_reach_the_caller_after_the_results_before_them() -> None:
    class Wrong(Scripted):
        def exchange(self, tasks: Sequence[Task[Any]]) -> Future[Reply]:
            self.held += tasks
            return answer(Reply([(self.held[0].number, "first")], "", Usage(), UsageError("wrong options")))

    handle = Wrong("a")
    found = Dispatcher([handle], tasks(5), str, Watch()).run()
    assert next(found) == (0, "first")
    with pytest.raises(UsageError, match="wrong options"):
        next(found)
    assert handle.ended

    class Unloadable(Scripted):
        def start(self) -> Future[BaseException | None]:
            return answer(UsageError("these weights are damaged"))

    with pytest.raises(UsageError, match="damaged"):
        run([Unloadable("a")], tasks(1))


def test_the_answer_of_a_worker_that_was_given_up_counts_once() -> None:
    class Late(Scripted):
        """Loses the connection once, and later answers for what it had then."""

        def exchange(self, tasks: Sequence[Task[Any]]) -> Future[Reply]:
            self.calls += 1
            if self.calls == 1:
                self.old = list(tasks)
                return failed(DeadError("unreachable"))
            self.held += tasks
            late, self.old = [(task.number, "late") for task in self.old], []
            done, self.held = [(task.number, task.what) for task in self.held], []
            return answer(Reply(late + done, "", Usage()))

    found = run([Late("a")], tasks(6))
    assert set(found) == set(range(6))


def test_usage_is_summed_over_workers_and_their_lives() -> None:
    watch = Watch()
    run([Scripted("a", dies=[3]), Scripted("b")], tasks(8), watch)
    assert watch.usage.decoding >= 2 and watch.usage.workers > 0


def test_closing_ends_the_workers() -> None:
    handle = Scripted("a")
    found = Dispatcher([handle], tasks(5), str, Watch()).run()
    next(found)
    found.close()
    assert handle.ended
