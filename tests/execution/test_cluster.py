"""A Ray cluster of two nodes on this machine: actors, and what happens when actors and nodes die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toil import Doubling

from lse_bench.errors import UsageError
from lse_bench.execution.choose import executor_for
from lse_bench.execution.cluster import Actors, parse_actors
from lse_bench.execution.interface import Executor, Task, Watch

pytestmark = [pytest.mark.command, pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head and a second node, with one core each."""
    pytest.importorskip("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)  # the nodes inherit it, and actors find this folder's modules
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def executor(nodes: Any) -> Iterator[Callable[[str], Executor]]:
    """Makes executors on the cluster. At the end their actors free its cores."""
    made: list[Executor] = []

    def make(devices: str) -> Executor:
        found = executor_for(devices, nodes.address)
        assert found is not None
        made.append(found)
        return found

    yield make
    for one in made:
        one.close()


def tasks(*what: int) -> list[Task[int]]:
    return [Task(number, f"clip {number}", value) for number, value in enumerate(what)]


def doubled(count: int) -> dict[int, tuple[int, int]]:
    return {n: (n, 2 * n) for n in range(count)}


def test_actors_do_what_one_process_does(executor: Callable[[str], Executor], tmp_path: Path) -> None:
    watch = Watch()
    on_two = executor("cpu:2")
    assert on_two.devices == "ray: 2 x cpu"
    assert dict(on_two.run(Doubling(tmp_path), tasks(*range(40)), watch)) == doubled(40)
    assert watch.usage.network == 2 * watch.usage.decoding >= 2 and watch.usage.workers > 0
    import ray

    assert executor("all").devices == "ray: 2 x cpu", "all is what the cluster has"
    with pytest.raises(UsageError, match="these weights are damaged"):
        list(on_two.run(Doubling(tmp_path, failing=True), tasks(1), Watch()))
    assert ray.is_initialized()


def test_a_clip_that_kills_actors_becomes_a_row(executor: Callable[[str], Executor], tmp_path: Path) -> None:
    told: list[str] = []
    found = dict(executor("cpu:2").run(Doubling(tmp_path), tasks(1, -1, 2, 3, 4), Watch(on_event=told.append)))
    assert "ended 3 worker processes" in found.pop(1)[1]
    assert found == {0: (1, 2), 2: (2, 4), 3: (3, 6), 4: (4, 8)}
    assert any("the worker was lost" in one for one in told)


def test_an_actor_killed_from_outside_costs_nothing(executor: Callable[[str], Executor], tmp_path: Path) -> None:
    results = executor("cpu:2").run(Doubling(tmp_path), tasks(*range(40)), Watch())
    found = dict([next(results)])
    os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
    assert found | dict(results) == doubled(40)


def test_a_lost_node_costs_nothing(nodes: Any, executor: Callable[[str], Executor], tmp_path: Path) -> None:
    third = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    results = executor("cpu:3").run(Doubling(tmp_path), tasks(-6, -6, *range(2, 60)), Watch())
    found = dict([next(results)])
    nodes.remove_node(third, allow_graceful=False)
    found |= dict(results)
    assert {n: value for n, value in found.items() if n > 1} == {n: (n, 2 * n) for n in range(2, 60)}
    assert len(found) == 60


@pytest.mark.parametrize(
    ("text", "actors"),
    [
        ("all", Actors(8, 1.0)),
        ("gpu:4", Actors(4, 1.0)),
        ("gpu:2x4", Actors(8, 0.25)),
        ("cpu:64", Actors(64, 0.0)),
    ],
)
def test_actors_are_asked_for_in_words(text: str, actors: Actors) -> None:
    assert parse_actors(text, {"GPU": 8.0, "CPU": 64.0}) == actors
    assert parse_actors("all", {"CPU": 3.0}) == Actors(3, 0.0)


@pytest.mark.parametrize("text", ["0", "cuda:0", "cpu:2x2", "gpu:0", "gpu", "cpu:99999", "all of them"])
def test_wrong_actors_are_named(text: str) -> None:
    with pytest.raises(UsageError, match="--devices"):
        parse_actors(text, {"GPU": 8.0})
    with pytest.raises(UsageError, match="neither a GPU nor a core"):
        parse_actors("all", {})
