"""Running a benchmark. Each step runs once, in order. A failed step stops only the steps that need its result.

The folder holds `bench.json` (the plan), `steps.jsonl` (how each step ended), `corpora/`, `manifests/`, `videos/`,
`scores/` and `summary.json`. The summary depends only on the records and on how the steps ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

from lse_bench.benchmark.config import BenchConfig
from lse_bench.benchmark.endings import STEPS_FILE, Ended, finished, read_steps
from lse_bench.benchmark.estimates import estimate, in_words
from lse_bench.benchmark.needs import fetching, needs_of
from lse_bench.benchmark.steps import Step
from lse_bench.benchmark.summary import BENCH_FILE, SCHEMA, SUMMARY_FILE, BenchmarkSummary, summary_of
from lse_bench.errors import UsageError, WeightsError
from lse_bench.manifests.manifest import read_manifest
from lse_bench.manifests.official_lists import corpora
from lse_bench.media.program import find_ffmpeg
from lse_bench.storage import json_bytes, open_lines, write_atomically
from lse_bench.stored import write_stored
from lse_bench.versions import require
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.store import path_of, why_missing
from lse_bench.weights.table import table

Runner = Callable[[Step], tuple[int, str | None]]  # takes a step; returns an exit status and why it failed


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


def run_bench(
    config: BenchConfig,
    steps: Sequence[Step],
    out: Path,
    run: Runner,
    say: Callable[[str], None] = lambda text: None,
    chosen: Sequence[Step] | None = None,
) -> BenchmarkSummary:
    """Run the unfinished steps, write summary.json and return it.

    `steps`: all steps of the benchmark. `run`: runs one step. `say`: receives a message about each step. `chosen`: the
    steps to run, None for all; the summary covers all that are finished, and lists as failed only chosen ones. Raises
    UsageError if `out` is a file or another process works in it. Exceptions of `run`, such as KeyboardInterrupt, are
    passed on.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; --out names a folder")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / BENCH_FILE, json_bytes(_plan(config, steps, out)))
    with open_lines(out / STEPS_FILE) as append:
        ended = read_steps(out)
        lost: dict[str, str] = {}
        chosen = steps if chosen is None else chosen
        for number, step in enumerate(chosen, 1):
            if finished(step, ended):
                say(f"{number}/{len(chosen)} {step.label}: already done")
                continue
            gone = next((need for need in step.needs if need.digest in lost), None)
            if gone is not None:
                lost[step.digest] = f"needs {gone.label}, which failed"
                say(f"{number}/{len(chosen)} {step.label}: left out, {lost[step.digest]}")
                continue
            say(f"{number}/{len(chosen)} {step.label}: {step.items or '?'} clips, about "
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
    summary = summary_of(config, steps, out, chosen)
    write_stored(out / SUMMARY_FILE, summary)
    return summary


def _plan(config: BenchConfig, steps: Sequence[Step], out: Path) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kind": "bench",
        "config": config.model_dump(mode="json"),
        "steps": [{"step": step.label, "digest": step.digest, "out": str(step.out.relative_to(out))} for step in steps],
    }


def refuse_missing(found: Sequence[str]) -> None:
    """Raise WeightsError with everything that `problems` found, if anything."""
    if found:
        listed = "\n  - ".join(found)
        raise WeightsError(f"{len(found)} things are missing, so no step was started:\n  - {listed}")
