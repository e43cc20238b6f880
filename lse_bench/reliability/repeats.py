"""How far a measure repeats: the same clips scored again, elsewhere, otherwise, or drawn again with another seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lse_bench.errors import UsageError
from lse_bench.reliability.asked import Asked
from lse_bench.runs.directory import key_differences
from lse_bench.runs.read import Run


class Repeat(BaseModel):
    """One measure of the same clips in another run."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    run: str
    """The name of the other run."""
    differs: list[str]
    """What differs: settings, versions, machine, seed."""
    measure: str
    """The measure."""
    n: int
    """Number of clips with a value in both."""
    mean: float | None
    """Mean of the other run's value minus this one's; null without clips."""
    deviation: float | None
    """Standard deviation of the differences; null with fewer than two clips."""
    largest: float | None
    """The largest difference of a clip, without its sign."""


def repeats(
    runs: Mapping[str, Run],
    asked: Sequence[Asked],
    clips: Sequence[str],
    own: Mapping[str, NDArray[np.float64]],
    ours: Run,
) -> list[Repeat]:
    """Return how far the runs repeat the values `own` of the untouched clips, by measure.

    `clips`: their ids. `ours`: the card's run. Raises UsageError if a run has none of the clips.
    """
    found = []
    for name, run in runs.items():
        records = {record.id: record for record in run.records}
        if not set(clips) & set(records):
            raise UsageError(f"--again {name}: {run.name} has none of the card's clips")
        differs = differences(ours, run)
        for measure in asked:
            there = [measure.value(records[clip]) if clip in records else None for clip in clips]
            values = np.array([np.nan if value is None else value for value in there])
            change = values - own[measure.name]
            change = change[np.isfinite(change)]
            if not len(change):
                continue
            found.append(
                Repeat(
                    run=name,
                    differs=differs,
                    measure=measure.name,
                    n=len(change),
                    mean=float(change.mean()),
                    deviation=float(change.std(ddof=1)) if len(change) > 1 else None,
                    largest=float(np.abs(change).max()),
                )
            )
    return found


def differences(one: Run, other: Run) -> list[str]:
    """Return what differs between the makings of two runs, in words; empty if nothing that is recorded does."""
    found = [f"{name}: {a} → {b}" for name, a, b in key_differences(one.description.key, other.description.key)]
    for what in ("versions", "machine"):
        here: Mapping[str, Any] = getattr(one.description, what) or {}
        there: Mapping[str, Any] = getattr(other.description, what) or {}
        for name in sorted({*here, *there}):
            if here.get(name) != there.get(name):
                found.append(f"{name}: {here.get(name)} → {there.get(name)}")
    made = [{} if run.description.generation is None else run.description.generation.key for run in (one, other)]
    if all(made):
        changed = sorted(name for name in {*made[0], *made[1]} if made[0].get(name) != made[1].get(name))
        found += [f"generator's {name}: {made[0].get(name)} → {made[1].get(name)}" for name in changed]
    return found
