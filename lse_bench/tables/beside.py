"""Measures set beside each other: do they agree on which clips, and which methods, are better?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import rankdata

from lse_bench.errors import UsageError
from lse_bench.runs.correlation import Correlation, over_clips, over_methods
from lse_bench.runs.read import Run
from lse_bench.tables.paired import directions_of, refuse_mixed

_OWN = ("lse_d", "lse_c", "lse_d_at_0")
_LEAST_CLIPS = 3  # of a run, that have both values


class Disagreement(BaseModel):
    """A clip on which two measures disagree."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    method: str
    """Name of the method."""
    id: str
    """Id of the clip."""
    clip: str
    """Name of the clip, relative to its list or folder."""
    values: tuple[float, float]
    """The values of the two measures."""
    places: tuple[float, float]
    """The clip's place among the method's clips by each measure: 0 is the worst, 1 the best."""


class Relation(BaseModel):
    """Two measures beside each other."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    first: str
    """A measure."""
    second: str
    """Another measure."""
    clips: Correlation | None
    """Over clips, each by its place among the clips of its method; null if no method has enough."""
    methods: Correlation
    """Over the means of methods."""
    disagree: list[Disagreement]
    """The clips whose places differ most, the worst first."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """The places of the clips of one run by two measures."""

    method: str
    rows: list[tuple[str, str, str, float, float]]  # id, clip, what it belongs to, both values
    first: NDArray[np.float64]
    second: NDArray[np.float64]


def relations(runs: Mapping[str, Run], most: int = 3) -> list[Relation]:
    """Return the relation of every two measures of the runs. `runs`: by method. `most`: disagreements of each.

    Measures without a better end count as better when higher. Raises UsageError if the runs cannot be compared or have
    fewer than two measures.
    """
    entries = list(runs.values())
    refuse_mixed(entries, lists=None)  # clips are placed among those of their own run
    known = directions_of(entries)
    directions = {name: known[name] for name in _OWN}
    directions |= {name: known.get(name, True) for run in entries for name in run.description.measures}
    names = [name for name in directions if any(_has(run, name) for run in entries)]
    if len(names) < 2:
        raise UsageError("the runs have fewer than two measures. Score them with --measures first")
    return [_relation(runs, one, other, directions, most) for one, other in combinations(names, 2)]


def _has(run: Run, name: str) -> bool:
    return name in run.summary.metrics and run.summary.metrics[name].mean is not None


def _relation(runs: Mapping[str, Run], one: str, other: str, directions: Mapping[str, bool], most: int) -> Relation:
    placed = [_placed(method, run, one, other, directions) for method, run in runs.items()]
    known = [found for found in placed if len(found.rows) >= _LEAST_CLIPS]
    clips = None
    if known:
        items = [row[2] for found in known for row in found.rows]
        first, second = (
            np.concatenate([getattr(found, which) for found in known]).tolist() for which in ("first", "second")
        )
        clips = over_clips(first, second, items)
    means = [
        tuple((1 if directions[name] else -1) * (run.summary.metrics[name].mean or 0.0) for name in (one, other))
        for run in runs.values()
        if _has(run, one) and _has(run, other)
    ]
    apart = [
        Disagreement(
            method=found.method, id=row[0], clip=row[1], values=(row[3], row[4]), places=(float(here), float(there))
        )
        for found in known
        for row, here, there in zip(found.rows, found.first, found.second, strict=True)
    ]
    apart.sort(key=lambda found: (-abs(found.places[0] - found.places[1]), found.method, found.id))
    over = over_methods([mean[0] for mean in means], [mean[1] for mean in means])
    return Relation(first=one, second=other, clips=clips, methods=over, disagree=apart[:most])


def _placed(method: str, run: Run, one: str, other: str, directions: Mapping[str, bool]) -> _Placed:
    rows = []
    for record in run.records:
        here, there = record.value(one), record.value(other)
        if record.status == "ok" and here is not None and there is not None:
            rows.append((record.id, record.clip, record.groups.get("video", record.id), here, there))
    places = [_places([row[3] for row in rows], directions[one]), _places([row[4] for row in rows], directions[other])]
    return _Placed(method, rows, *places)


def _places(values: Sequence[float], higher: bool) -> NDArray[np.float64]:
    """Return the places of values, 0 for the worst and 1 for the best; equal values share one."""
    turned = np.asarray(values, float) * (1 if higher else -1)
    found: NDArray[np.float64] = (rankdata(turned) - 1) / max(1, len(turned) - 1) if len(turned) else turned
    return found
