"""Measures beside each other: correlations over clips and methods, and the clips on which they disagree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import lse_bench_here
from made_runs import write_run
from scipy.stats import spearmanr

from lse_bench.errors import UsageError
from lse_bench.runs.read import Run, read_run, run_of
from lse_bench.runs.schema import MeasureAbout
from lse_bench.tables.beside import relations


def with_measures(folder: Path, method: str, level: float, values: dict[str, tuple[bool | None, list[float]]]) -> Run:
    """A run of made-up clips with further measures: whether higher is better, and a value for each clip."""
    run = read_run(write_run(folder / method, method, "corpus", level, clips=12))
    about = {name: MeasureAbout(id=f"{name}@1", higher_is_better=higher) for name, (higher, _) in values.items()}
    description = run.description.model_copy(update={"measures": about})
    records = [
        record.model_copy(update={"measures": {name: each[number] for name, (_, each) in values.items()}})
        for number, record in enumerate(run.records)
    ]
    return run_of(description, records, len(records), method=method)


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Run]:
    rng = np.random.default_rng(0)
    found = {}
    for number, method in enumerate(("one", "two", "three")):
        noise = rng.normal(0, 1, 12)
        lse_c = [
            record.lse_c or 0.0
            for record in read_run(write_run(tmp_path / f"{method}-0", method, "c", number, 12)).records
        ]
        same = [value * 3 + 1 for value in lse_c]
        against = [-value for value in lse_c]
        against[4], against[5] = against[5], against[4]
        found[method] = with_measures(
            tmp_path, method, number, {"same": (True, same), "less": (False, against), "noise": (None, noise.tolist())}
        )
    return found


def test_correlations_turn_with_what_is_better(runs: dict[str, Run]) -> None:
    found = {(one.first, one.second): one for one in relations(runs)}
    same = found["lse_c", "same"]
    assert same.clips is not None and same.clips.spearman == 1 and same.clips.n == 36
    assert same.methods.spearman == 1 and same.methods.n == 3 and same.methods.spearman_ci95 is None
    assert found["lse_d", "lse_c"].clips.spearman == pytest.approx(1), "9 - LSE-C, where less is better"
    less = found["lse_c", "less"]
    assert less.clips.spearman is not None and 0.8 < less.clips.spearman < 1
    assert {one.id for one in less.disagree} <= {"v4+v5", "v5+v6"}, "the two clips whose values were exchanged"
    noise = found["same", "noise"].clips
    assert noise is not None and noise.spearman_ci95 is not None
    assert noise.spearman_ci95[0] < (noise.spearman or 0) < noise.spearman_ci95[1]


def test_clips_are_placed_within_their_method(runs: dict[str, Run]) -> None:
    """A method that is better by both measures makes no agreement over clips."""
    rng = np.random.default_rng(1)
    shifted = {}
    for number, (method, run) in enumerate(runs.items()):
        records = [
            record.model_copy(update={"measures": {"noise": 100.0 * number + float(rng.normal())}})
            for record in run.records
        ]
        shifted[method] = run_of(run.description, records, len(records), method=method)
    (found,) = [one for one in relations(shifted) if (one.first, one.second) == ("lse_c", "noise")]
    pooled = spearmanr(
        [record.lse_c for run in shifted.values() for record in run.records],
        [record.measures["noise"] for run in shifted.values() for record in run.records],
    ).statistic
    assert found.methods.spearman == 1 and pooled > 0.7
    assert found.clips is not None and abs(found.clips.spearman or 0) < 0.5


def test_one_measure_has_nothing_beside_it(tmp_path: Path, runs: dict[str, Run]) -> None:
    other = runs["two"].description.model_copy(update={"measures": {"same": MeasureAbout(id="same@2")}})
    mixed = {"one": runs["one"], "two": run_of(other, runs["two"].records, 12, method="two")}
    with pytest.raises(UsageError, match="the measure same differs"):
        relations(mixed)


@pytest.mark.command
def test_the_command_prints_correlations_and_clips(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / name, name, "c", level, clips=8) for name, level in (("a", 2), ("b", 4))]
    ended = lse_bench_here("measures", "compare", *folders, "--json")
    assert ended.returncode == 0, ended.stderr
    rows = {(row["first"], row["second"]): row for row in json.loads(ended.stdout)}
    assert rows["lse_d", "lse_c"]["clips"]["spearman"] == pytest.approx(1)
    ended = lse_bench_here("measures", "compare", *folders)
    assert "over methods" in ended.stdout and "disagree most" in ended.stdout
