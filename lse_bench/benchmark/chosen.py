"""Choose a part of a benchmark: some cells of its tables, and the steps that are made again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

from lse_bench.benchmark.endings import Ended, finished
from lse_bench.benchmark.steps import Kind, Step
from lse_bench.errors import UsageError, no_such
from lse_bench.naming import matches

_CELLS = ("generate", "adopt", "score", "fid", "fd-sync")  # the kinds of steps that belong to one cell


def only(steps: Sequence[Step], cells: Sequence[str]) -> list[Step]:
    """Return the steps of some cells, and the steps that these need.

    `cells`: METHOD@CORPUS each; an empty side stands for all, and names may hold `*` and `?`. The names are those of
    the benchmark's file. Without cells, all steps are returned. Raises UsageError if no cell has the name.
    """
    if not cells:
        return list(steps)
    wanted: dict[str, Step] = {}
    for cell in cells:
        method, _, corpus = cell.rpartition("@") if "@" in cell else (cell, "", "")
        found = [
            step
            for step in steps
            if step.kind in _CELLS and matches(step.method, method or "*") and matches(step.manifest, corpus or "*")
        ]
        if not found:
            there = dict.fromkeys(f"{step.method}@{step.manifest}" for step in steps if step.kind in _CELLS)
            raise UsageError(f"--only {cell}: {no_such('cell', cell, there)}")
        for step in found:
            _with_needs(step, wanted)
    return [step for step in steps if step.digest in wanted]


def _with_needs(step: Step, wanted: dict[str, Step]) -> None:
    wanted[step.digest] = step
    for need in step.needs:
        _with_needs(need, wanted)


def put_aside(steps: Sequence[Step], first: str, ended: dict[str, Ended], cells: Sequence[str]) -> list[Path]:
    """Rename the results of the steps of the kind `first` and of later kinds, so that they are made again.

    `ended`: how the steps ended; only finished results are renamed. `cells`: if cells were chosen, corpora and lists
    that other cells share stay. Returns the new paths. Raises UsageError if there is no such kind.
    """
    kinds: tuple[str, ...] = get_args(Kind)
    if first not in kinds:
        raise UsageError(f"--from {first}: {no_such('step', first, kinds)}")
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    moved = []
    for step in steps:
        shared = bool(cells) and step.kind not in _CELLS
        if kinds.index(step.kind) < kinds.index(first) or shared or not finished(step, ended):
            continue
        aside = step.out.with_name(f"{step.out.name}.before-{now}")
        step.out.rename(aside)
        moved.append(aside)
    return moved
