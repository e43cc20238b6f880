"""Running a benchmark. Each step runs once, in order. A failed step stops only the steps that need its result.

The folder holds `bench.json` (the plan), `steps.jsonl` (how each step ended), `corpora/`, `manifests/`, `videos/`,
`scores/` and `summary.json`. The summary depends only on the records and on how the steps ended.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lse_bench.benchmark.config import BenchConfig
from lse_bench.benchmark.needs import fetching, needs_of
from lse_bench.benchmark.plan import cells
from lse_bench.benchmark.steps import Kind, Step
from lse_bench.errors import UsageError, WeightsError
from lse_bench.manifests.manifest import read_manifest
from lse_bench.manifests.official_lists import corpora
from lse_bench.media.program import find_ffmpeg
from lse_bench.runs.read import Run, read_run
from lse_bench.storage import json_bytes, open_lines, read_lines, read_object, write_atomically
from lse_bench.stored import Stored, parse_stored, write_stored
from lse_bench.tables.table import Table, below, tables_of
from lse_bench.versions import require
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.store import path_of, why_missing
from lse_bench.weights.table import table

SCHEMA = 2
_READ_SCHEMAS = (1, 2)
BENCH_FILE, STEPS_FILE, SUMMARY_FILE = "bench.json", "steps.jsonl", "summary.json"
_EXTRA_KINDS: dict[Kind, str] = {"fid": "fid", "fd-sync": "fd_sync"}

# A first guess: seconds for a clip of three seconds on two cores of 2024. Measured times replace it.
_ROUGH: dict[Kind, float] = {"corpus": 0.3, "manifest": 0.01, "generate": 4.0, "score": 0.8, "fid": 6.0, "fd-sync": 0.8}
_COPIES = ("real", "unsynced")  # made without a network
_ROUGH_COPIES = 0.1

Runner = Callable[[Step], tuple[int, str | None]]  # takes a step; returns an exit status and why it failed


class Ended(BaseModel):
    """How a step ended: one line of steps.jsonl.

    `method`: the method that the step belongs to, or "". `status`: the exit status, 0 for success. `message`: why the
    step failed, or None. `seconds`: its duration. `items`: the number of its clips.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    step: str
    kind: Kind
    method: str = ""
    status: int
    message: str | None
    seconds: float
    items: int


def read_steps(out: Path) -> dict[str, Ended]:
    """Return how each step ended last, by digest. Raises UsageError if a line is damaged."""
    path = out / STEPS_FILE
    try:
        ended = [Ended.model_validate_json(line) for line in read_lines(path)]
    except ValidationError as error:
        raise UsageError(f"{path}: a line is damaged: {error.errors()[0]['msg']}") from None
    return {one.digest: one for one in ended}


def finished(step: Step, ended: dict[str, Ended]) -> bool:
    """Return whether the complete result of a step with the same inputs exists."""
    one = ended.get(step.digest)
    return one is not None and one.status == 0 and step.out.exists()


def problems(config: BenchConfig, steps: Iterable[Step], folder: Path) -> list[str]:
    """Return what is missing, each with a way to get it: weights, corpora, generators, packages and programs.

    The list is empty if every step can start.
    """
    found: dict[str, None] = {}
    for manifest in config.manifests:
        if manifest.file is not None and manifest.root is None:
            try:
                read_manifest(folder / manifest.file).folder()
            except UsageError as error:
                found[f"{error} (in bench.toml: root = …)"] = None
        if manifest.minilrs is not None and find_spec("espeakng_loader") is None:
            found[f"{manifest.name}: MiniLRS needs a speech synthesiser: pip install 'lse-bench[minilrs]'"] = None
        corpus = str((manifest.official or {}).get("corpus", ""))
        if manifest.root is not None and not (folder / manifest.root).is_dir():
            known = corpora().get(corpus)
            way = f". {known.name}: {known.licence}; {known.obtain}" if known is not None else ""
            found[f"{manifest.name}: no folder {folder / manifest.root}{way}"] = None
    for step in steps:
        try:
            needs = needs_of(step)
        except UsageError as error:
            found[str(error)] = None
            continue
        allowed = fetching(step)
        for name in needs.weights:
            if name not in table() and not Path(name).is_file():
                found[f"{step.method}: {name}: neither a file nor weights of lse-bench weights list"] = None
            elif name in table() and (reason := why_missing(table()[name], allowed)) is not None:
                found[f"{reason} (in bench.toml: trust = true)" if "--trust" in reason else reason] = None
        for module, extra in needs.packages.items():
            try:
                require(module, extra, step.label)
            except UsageError as error:
                found[str(error)] = None
        if needs.program is not None:
            try:
                find_ffmpeg(needs.program if needs.program != Path("ffmpeg") else None)
            except UsageError as error:
                found[str(error)] = None
    return list(found)


def to_fetch(steps: Iterable[Step]) -> dict[str, FetchSettings]:
    """Return the absent weights that the steps need, by name, each with how it may be fetched."""
    found: dict[str, FetchSettings] = {}
    for step in steps:
        allowed = fetching(step)
        for name in needs_of(step).weights:
            if name in table() and not path_of(table()[name]).exists():
                found.setdefault(name, allowed)
    return found


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated seconds of a step. `measured`: whether the estimate uses earlier steps of this benchmark."""

    seconds: float
    measured: bool


def estimate(step: Step, ended: dict[str, Ended]) -> Estimate:
    """Estimate how long a step takes.

    The estimate is the measured time per clip of finished steps of the same kind and method. If there are none, it is
    that of the same kind, and otherwise a rough guess.
    """
    copies = step.kind == "generate" and step.method in _COPIES
    past = [one for one in ended.values() if one.kind == step.kind and one.status == 0 and one.items]
    same = [one for one in past if one.method == step.method]
    alike = [one for one in past if not copies and one.method not in _COPIES]
    for near in (same, alike):
        if near:
            return Estimate(step.items * sum(one.seconds for one in near) / sum(one.items for one in near), True)
    rough = _ROUGH_COPIES if copies else _ROUGH[step.kind]
    return Estimate(step.items * rough, False)


def run_bench(
    config: BenchConfig,
    steps: Sequence[Step],
    out: Path,
    run: Runner,
    say: Callable[[str], None] = lambda text: None,
) -> BenchmarkSummary:
    """Run the unfinished steps, write summary.json and return it.

    `run`: runs one step. `say`: receives a message about each step. Raises UsageError if `out` is a file or another
    process works in it. Exceptions of `run`, such as KeyboardInterrupt, are passed on.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / BENCH_FILE, json_bytes(_plan(config, steps, out)))
    with open_lines(out / STEPS_FILE) as append:
        ended = read_steps(out)
        lost: dict[str, str] = {}
        for number, step in enumerate(steps, 1):
            if finished(step, ended):
                say(f"{number}/{len(steps)} {step.label}: already done")
                continue
            gone = next((need for need in step.needs if need.digest in lost), None)
            if gone is not None:
                lost[step.digest] = f"needs {gone.label}, which failed"
                say(f"{number}/{len(steps)} {step.label}: left out, {lost[step.digest]}")
                continue
            say(f"{number}/{len(steps)} {step.label}: {step.items or '?'} clips, about "
                f"{in_words(estimate(step, ended).seconds)}")  # fmt: skip
            step.out.parent.mkdir(parents=True, exist_ok=True)
            start = monotonic()
            status, message = run(step)
            one = Ended(
                digest=step.digest,
                step=step.label,
                kind=step.kind,
                method=step.method,
                status=status,
                message=message,
                seconds=round(monotonic() - start, 2),
                items=step.items,
            )
            append(one.model_dump())
            ended[step.digest] = one
            if status:
                lost[step.digest] = message or f"exit status {status}"
                say(f"{step.label} failed: {lost[step.digest]}")
    summary = summary_of(config, steps, out)
    write_stored(out / SUMMARY_FILE, summary)
    return summary


def _plan(config: BenchConfig, steps: Sequence[Step], out: Path) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kind": "bench",
        "config": config.model_dump(mode="json"),
        "steps": [{"step": step.label, "digest": step.digest, "out": str(step.out.relative_to(out))} for step in steps],
    }


def runs_of(steps: Sequence[Step], out: Path) -> list[Run]:
    """Return the finished runs, each with the fid.json and fd_sync.json of its videos."""
    ended, runs = read_steps(out), []
    for (manifest, method), measures in cells(steps).items():
        there = [step for step in measures if finished(step, ended)]
        extras = {_EXTRA_KINDS[step.kind]: step.out for step in there if step.kind in _EXTRA_KINDS}
        runs += [read_run(step.out, method, manifest, extras) for step in there if step.kind == "score"]
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


def summary_of(config: BenchConfig, steps: Sequence[Step], out: Path) -> BenchmarkSummary:
    """Return the tables of a benchmark, and the steps without a result with their reasons."""
    ended = read_steps(out)
    tables = [below(found, out) for found in tables_of(runs_of(steps, out))]
    missing = [step for step in steps if not finished(step, ended)]
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


def in_words(seconds: float) -> str:
    """Return a duration as text, such as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def refuse_missing(found: Sequence[str]) -> None:
    """Raise WeightsError with everything that `problems` found, if anything."""
    if found:
        listed = "\n  - ".join(found)
        raise WeightsError(f"{len(found)} things are missing, so no step was started:\n  - {listed}")
