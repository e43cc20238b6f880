"""The values of a card's run as arrays: one for each measure, condition and clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lse_bench.reliability.asked import Asked
from lse_bench.reliability.plan import condition
from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import Members
from lse_bench.runs.summary import Grouped, members_of

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """The values of all copies.

    `clips`: the ids of the clips, sorted. `members`: what each clip depends on. `clusters`: for each clip a number that
    clips of one speaker, or of one source video, share. `values`: by measure and condition, one value a clip; NaN where
    there is none.
    """

    clips: Sequence[str]
    members: Members
    clusters: NDArray[np.int64]
    values: dict[tuple[str, str], Values]

    def of(self, measure: str, name: str) -> Values:
        """Return the values of a measure under a condition; all NaN if the condition was not scored."""
        return self.values.get((measure, name), np.full(len(self.clips), np.nan))


def table_of(records: Iterable[Record], asked: Sequence[Asked]) -> Table:
    """Sort the records of damaged copies by measure, condition and clip."""
    held = list(records)
    groups = {record.groups["source"]: _plain(record.groups) for record in held}
    clips = sorted(groups)
    places = {clip: place for place, clip in enumerate(clips)}
    members = members_of([Grouped(clip, groups[clip]) for clip in clips])
    values: dict[tuple[str, str], Values] = {}
    for record in held:
        name = condition(record.groups["damage"], float(record.groups["amount"]))
        for measure in asked:
            found = measure.value(record)
            row = values.setdefault((measure.name, name), np.full(len(clips), np.nan))
            row[places[record.groups["source"]]] = np.nan if found is None else found
    return Table(clips, members, clusters_of(members), values)


def clusters_of(members: Members) -> NDArray[np.int64]:
    """Return a number for each result; results that are joined by shared members, however far, have the same."""
    parent = list(range(len(members.names)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for first, second in members.codes.tolist():
        if second >= 0:
            parent[root(first)] = root(second)
    return np.array([root(first) for first in members.codes[:, 0].tolist()], np.int64)


def _plain(groups: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in groups.items() if name in ("video", "sound", "speaker")}
