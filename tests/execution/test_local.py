"""Processes of this machine: where they run, and what happens when they die."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import clips
import pytest
from toil import Doubling, OddError, stub_scorer

from lse_bench.errors import LseBenchError, UsageError
from lse_bench.execution.choose import executor_for
from lse_bench.execution.devices import Place, parse_places
from lse_bench.execution.inline import Inline
from lse_bench.execution.interface import Executor, Task, Watch
from lse_bench.execution.local import Local
from lse_bench.manifests.clips import find_clips
from lse_bench.runs.work import ScoreWork


@pytest.mark.parametrize(
    ("text", "labels", "seen"),
    [
        ("all", ["cuda:0", "cuda:1", "cuda:2", "cuda:3"], ["0", "1", "2", "3"]),
        ("0,2", ["cuda:0", "cuda:2"], ["0", "2"]),
        ("cuda:1x2, 3", ["cuda:1#1", "cuda:1#2", "cuda:3"], ["1", "1", "3"]),
        ("cpu:2", ["cpu#1", "cpu#2"], ["", ""]),
        ("cpu", ["cpu"], [""]),
        ("0,cpu:1", ["cuda:0", "cpu"], ["0", ""]),
    ],
)
def test_each_worker_sees_its_own_device(
    monkeypatch: pytest.MonkeyPatch, text: str, labels: list[str], seen: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("lse_bench.execution.devices.usable_cores", lambda: 8)
    places = parse_places(text, 4)
    assert [place.label for place in places] == labels
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in places] == seen
    assert [place.device for place in places] == ["cpu" if label.startswith("cpu") else "cuda" for label in labels]
    assert {place.environment["OMP_NUM_THREADS"] for place in places} == {str(8 // len(labels))}


def test_a_choice_of_cards_made_before_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-8f2a,7")
    places = parse_places("1,2", 3)
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in places] == ["GPU-8f2a", "7"]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert parse_places("cpu", 0)[0].environment["OMP_NUM_THREADS"] == "1", "fewer threads than the share"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all", "finds no CUDA device"),
        ("0", "0 CUDA devices"),
        ("cuda:1x2", "0 CUDA devices"),
        ("cpu:0", "asks for 0 processes"),
        ("cpu:2,cpu:0", "asks for 2 processes"),
        ("cpu:9999", "1 to 1024"),
        ("gpu:1", "is no device"),
        ("", "is no device"),
        ("cpu:2;rm", "is no device"),
    ],
)
def test_wrong_devices_are_named(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=words):
        parse_places(text, 0)
    monkeypatch.setattr("lse_bench.execution.devices.usable_cores", lambda: 2)
    assert len(parse_places("cpu:8", 0)) == 8
    with pytest.raises(UsageError, match=r"9 processes without a GPU, but this machine has 2 usable cores. At most 8"):
        parse_places("cpu:8,cpu:1", 0)
    with pytest.raises(UsageError, match="for one process"):
        executor_for("cpu:2", None, "cuda:1")
    assert executor_for(None, None, "cpu") is None


def tasks(*what: int) -> list[Task[int]]:
    return [Task(number, f"clip {number}", value) for number, value in enumerate(what)]


def local(count: int, *more: Place) -> Local:
    return Local([*parse_places(f"cpu:{count}", 0), *more])


@pytest.mark.command
@pytest.mark.parametrize("executor", [Inline("cpu"), local(2)])
def test_all_executors_do_the_same(executor: Executor, tmp_path: Path) -> None:
    watch = Watch()
    found = dict(executor.run(Doubling(tmp_path), tasks(*range(60)), watch))
    assert found == {n: (n, 2 * n) for n in range(60)}
    logs = [path.read_text().splitlines() for path in tmp_path.iterdir()]
    again = dict(executor.run(Doubling(tmp_path), tasks(*range(20)), Watch()))
    assert again == {n: (n, 2 * n) for n in range(20)} and len(list(tmp_path.iterdir())) <= 2, "no new process"
    done = sorted(int(line) for log in logs for line in log[3:])
    assert done == list(range(60)), "each task is done once"
    assert watch.usage.network == 2 * watch.usage.decoding >= 2 and watch.usage.workers > 0


@pytest.mark.command
def test_a_pinned_process_sees_one_card_from_its_start(tmp_path: Path) -> None:
    cards = [Place(f"cuda:{n}", "cuda", {"CUDA_VISIBLE_DEVICES": str(n), "OMP_NUM_THREADS": "1"}) for n in (3, 5)]
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    assert len(dict(Local(cards).run(Doubling(tmp_path), tasks(-6, -6), Watch()))) == 2  # both wait for each other
    seen = {tuple(path.read_text().splitlines()[:3]) for path in tmp_path.iterdir()}
    assert seen == {("cuda", f"CUDA_VISIBLE_DEVICES={n}", "OMP_NUM_THREADS=1") for n in (3, 5)}
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == before


@pytest.mark.command
@pytest.mark.slow
def test_a_worker_with_a_card_scores_without_any_other_use_of_cuda(narrow: Path, tmp_path: Path) -> None:
    for number in range(4):
        clips.good(tmp_path / "clips" / f"{number}.mp4", 0.8, seed=number)
    cards = [Place(f"cuda:{n}", "cuda", {"CUDA_VISIBLE_DEVICES": str(n), "OMP_NUM_THREADS": "1"}) for n in (1, 2)]
    log = tmp_path / "log"
    log.mkdir()
    listed = [Task(n, clip.id, clip) for n, clip in enumerate(find_clips([tmp_path / "clips"]))]
    work = ScoreWork(partial(stub_scorer, narrow, log))
    found = dict(Local(cards).run(work, listed, Watch()))
    assert [found[n].record.status for n in range(4)] == ["ok"] * 4
    assert {path.read_text() for path in log.glob("*.told")} <= {"cuda 1", "cuda 2"}
    assert not list(log.glob("*.touched"))


@pytest.mark.command
@pytest.mark.slow
def test_a_process_that_dies_costs_nothing_but_what_kills_it(tmp_path: Path) -> None:
    told: list[str] = []
    found = dict(local(2).run(Doubling(tmp_path), tasks(1, 2, -1, 3, -2, 4, 5, 6), Watch(on_event=told.append)))
    assert {n: value for n, value in found.items() if n not in (2, 4)} == {
        0: (1, 2), 1: (2, 4), 3: (3, 6), 5: (4, 8), 6: (5, 10), 7: (6, 12)
    }  # fmt: skip
    assert "by SIGKILL" in found[2][1] and "by exit status 3" in found[4][1]
    assert any("the worker was lost (SIGKILL)" in one for one in told)


@pytest.mark.command
def test_a_process_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    results = local(1).run(Doubling(tmp_path), tasks(*range(30)), Watch())
    found = dict([next(results)])
    (log,) = tmp_path.iterdir()
    os.kill(int(log.name), signal.SIGKILL)
    found |= dict(results)
    assert found == {n: (n, 2 * n) for n in range(30)}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.command
def test_errors_of_the_work_are_those_of_one_process(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="these weights are damaged"):
        list(local(1).run(Doubling(tmp_path, failing=True), tasks(1), Watch()))
    with pytest.raises(UsageError, match="wrong options"):
        list(local(1).run(Doubling(tmp_path), tasks(1, -3), Watch()))
    with pytest.raises(LseBenchError, match="OddError: odd"):
        list(local(1).run(Doubling(tmp_path), tasks(-4), Watch()))
    with pytest.raises(OddError):
        list(Inline("cpu").run(Doubling(tmp_path), tasks(-4), Watch()))


@pytest.mark.command
def test_a_stop_ends_processes_that_work_for_long(tmp_path: Path) -> None:
    results = local(2).run(Doubling(tmp_path), tasks(1, 2, 3, 4, -5, -5), Watch())
    next(results)
    results.close()
    for log in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(log.name), 0)
