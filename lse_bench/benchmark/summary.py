"""The summary of a benchmark: its tables, and what has no result."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lse_bench.benchmark.config import BenchConfig
from lse_bench.benchmark.endings import Ended, finished, read_steps
from lse_bench.benchmark.plan import cells
from lse_bench.benchmark.steps import Kind, Step
from lse_bench.errors import UsageError
from lse_bench.runs.read import Run, extras_in, read_run
from lse_bench.storage import read_object
from lse_bench.stored import Stored, parse_stored
from lse_bench.tables.table import Table, below, tables_of

BENCH_FILE, SUMMARY_FILE = "bench.json", "summary.json"


SCHEMA = 2


_READ_SCHEMAS = (1, 2)


_EXTRA_KINDS: dict[Kind, str] = {"fid": "fid", "fd-sync": "fd_sync"}


def runs_of(steps: Sequence[Step], out: Path) -> list[Run]:
    """Return the finished runs, each with the fid.json and fd_sync.json of its videos."""
    ended, runs = read_steps(out), []
    for (manifest, method), measures in cells(steps).items():
        there = [step for step in measures if finished(step, ended)]
        extras = {_EXTRA_KINDS[step.kind]: step.out for step in there if step.kind in _EXTRA_KINDS}
        runs += [
            read_run(step.out, method, manifest, extras_in(step.out) | extras) for step in there if step.kind == "score"
        ]
    return runs


class BenchmarkSummary(Stored):
    """The summary.json of a benchmark. It depends only on the records and on how the steps ended."""

    schema_version: int = SCHEMA
    """The version of this format."""
    kind: Literal["bench"] = "bench"
    """The kind of the file: a benchmark."""
    version: str | None = None
    """The version of LSE-Bench that wrote the file."""
    name: str | None = None
    """The name of the benchmark, from its file."""
    tables: list[Table]
    """The tables, one for each corpus and protocol."""
    clips_failed: int = 0
    """The number of clips without a score in all rows."""
    failed: dict[str, str] = {}
    """The reason for each step without a result, by the label of the step."""


def summary_of(
    config: BenchConfig, steps: Sequence[Step], out: Path, chosen: Sequence[Step] | None = None
) -> BenchmarkSummary:
    """Return the tables of a benchmark, and the steps without a result with their reasons.

    `chosen`: the steps that had to run, None for all.
    """
    ended = read_steps(out)
    tables = [below(found, out) for found in tables_of(runs_of(steps, out))]
    missing = [step for step in (steps if chosen is None else chosen) if not finished(step, ended)]
    return BenchmarkSummary(
        version=importlib.metadata.version("lse-bench"),
        name=config.name,
        tables=tables,
        clips_failed=sum(sum(row.failed.values()) for found in tables for row in found.rows),
        failed={step.label: _why(step, ended) for step in missing},
    )


def _why(step: Step, ended: dict[str, Ended]) -> str:
    if (one := ended.get(step.digest)) is not None and one.status:
        return one.message or f"exit status {one.status}"
    for need in step.needs:
        if (one := ended.get(need.digest)) is None or one.status:
            return f"needs {need.label}: {_why(need, ended)}"
    return "not run yet"


def read_bench(out: Path) -> list[Run]:
    """Return the runs of a benchmark's folder in the order of its tables.

    Raises UsageError if summary.json is missing, damaged or of another version.
    """
    path, way_out = out / SUMMARY_FILE, "Run the same lse-bench benchmark command again to finish it"
    content = read_object(path, way_out)
    if content.get("schema") not in _READ_SCHEMAS:
        raise UsageError(
            f"{path}: schema {content.get('schema')}, this version reads schema 1 and 2. lse-bench "
            f"{content.get('version', 'of another version')} wrote it and can read it"
        )
    summary = parse_stored(content, path, BenchmarkSummary, way_out)
    return [
        read_run(out / row.run, row.method, found.corpus, {name: out / file for name, file in row.extras.items()})
        for found in summary.tables
        for row in found.rows
    ]


def read_cell(run: Path) -> Run:
    """Return a run. If it is a cell of a benchmark, it has the names, FID and fd-sync that the benchmark gives it.

    Raises UsageError as `read_run` and `read_bench` do.
    """
    folder = run.absolute()
    out = folder.parents[3] if len(folder.parents) > 3 else folder
    if (out / BENCH_FILE).is_file() and (out / SUMMARY_FILE).is_file():
        for cell in read_bench(out):
            if cell.path is not None and cell.path.absolute() == folder:
                return cell
    return read_run(run)
