"""Commands by all executors: the same records, videos, distances and summaries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Ended, lse_bench_here

from lse_bench.execution.choose import executor_for

pytestmark = [pytest.mark.command, pytest.mark.slow]

TIMES = {"usage", "machine", "started", "written", "command", "device", "continued_with"}


def comparable(content: Any) -> Any:
    """The content of a result without times and without who made it, to compare with `strip` of another."""
    if isinstance(content, dict):
        return {name: comparable(value) for name, value in content.items() if name not in TIMES}
    if isinstance(content, float):
        return pytest.approx(content, rel=0, abs=1e-9)  # sums of a clip's windows are added up in other groups
    return [comparable(one) for one in content] if isinstance(content, list) else content


def strip(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: strip(value) for name, value in content.items() if name not in TIMES}
    return [strip(one) for one in content] if isinstance(content, list) else content


def records(run: Path) -> dict[str, Any]:
    found = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    assert len(found) == len({one["id"] for one in found})
    return {one["id"]: one for one in found}


@pytest.fixture
def ray_here() -> Iterator[None]:
    """Ends Ray after the test: it would use a core's time, and take this process with it when it is killed."""
    ray = pytest.importorskip("ray")
    yield
    executor_for.cache_clear()
    ray.shutdown()


@pytest.mark.network
def test_a_benchmark_has_the_summary_of_one_process(ray_here: None, tiny_bench: Path, tmp_path: Path) -> None:
    out = {"inline": tiny_bench, "ray": tmp_path / "ray"}
    options = ("--out", out["ray"], "--ray", "local", "--devices", "cpu:2")
    ended = lse_bench_here("benchmark", tiny_bench.with_name("bench.toml"), *options)
    assert ended.returncode == 0, ended.stderr
    one, other = (json.loads((path / "summary.json").read_text()) for path in out.values())
    assert other.keys() == one.keys() and comparable(one) == strip(other)
    names = [sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_dir()) for path in out.values()]
    assert names[0] == names[1], "the digests of the steps do not depend on who works"
    for run in (out["inline"] / "scores").rglob("run.json"):
        here, there = records(run.parent), records(out["ray"] / run.parent.relative_to(out["inline"]))
        assert here.keys() == there.keys()
        for clip, record in here.items():
            np.testing.assert_allclose(record["curve"], there[clip]["curve"], rtol=0, atol=1e-9)
            assert record["sha256"] == there[clip]["sha256"], "the videos are the same"
        usage = json.loads((out["ray"] / run.parent.relative_to(out["inline"]) / "usage.json").read_text())
        assert usage["sessions"][0]["worker_seconds"] > 0 and "2 x cpu" in usage["sessions"][0]["devices"]


def score(corpus: Path, out: Path, *more: object) -> Ended:
    return lse_bench_here(
        *("score", corpus, "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--out", out, *more)
    )


def test_windows_overlays_and_timelines_come_from_workers_too(corpus: Path, tmp_path: Path) -> None:
    more = ("--keep-windows", "--timeline", "2", "--overlay")
    few = tmp_path / "few.csv"
    few.write_text("clip\n" + "".join(f"{path}\n" for path in sorted(corpus.rglob("*.mp4"))[:2]))
    for name, who in (("one", ()), ("two", ("--devices", "cpu:2"))):
        ended = score(few, tmp_path / name, *more, tmp_path / f"{name}-seen", *who)
        assert ended.returncode == 0, ended.stderr
    for folder in ("windows", "timelines", "../{}-seen"):
        one, two = (sorted((tmp_path / name / folder.format(name)).iterdir()) for name in ("one", "two"))
        assert [path.name for path in one] == [path.name for path in two] and one
    for path in (tmp_path / "one" / "windows").iterdir():
        with np.load(path) as here, np.load(tmp_path / "two" / "windows" / path.name) as there:
            assert np.array_equal(here["distances"], there["distances"])


def test_a_run_goes_on_with_another_executor(corpus: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert score(corpus, whole).returncode == 0
    lines = (whole / "records.jsonl").read_text().splitlines(keepends=True)
    part = tmp_path / "part"
    part.mkdir()
    for name in ("run.json",):
        (part / name).write_bytes((whole / name).read_bytes())
    (part / "records.jsonl").write_text("".join(lines[:3]) + lines[3][:100])
    ended = score(corpus, part, "--devices", "cpu:2")
    assert ended.returncode == 0, ended.stderr
    assert records(part).keys() == records(whole).keys()
    assert (part / "records.jsonl").read_text().startswith("".join(lines[:3]))


def test_options_that_exclude_each_other(corpus: Path, tmp_path: Path) -> None:
    ended = score(corpus, tmp_path / "run", "--devices", "cpu:2", "--device", "cpu")
    assert ended.returncode == 2 and "--device cpu is for one process" in " ".join(ended.stderr.split())
    ended = score(corpus, tmp_path / "run", "--devices", "cpu:two")
    assert ended.returncode == 2 and "'cpu:two' is no device" in " ".join(ended.stderr.split())
    ended = score(corpus, tmp_path / "run", "--devices", "cpu:2", "--tracks-only")
    assert ended.returncode == 2 and "--tracks-only works in this process" in " ".join(ended.stderr.split())
    assert not (tmp_path / "run").exists()
