"""Do measures agree with each other? Rank correlations over the untouched clips, and over kinds of damage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from pydantic import BaseModel, ConfigDict

from lse_bench.reliability.asked import Asked
from lse_bench.reliability.values import Table
from lse_bench.runs.correlation import Correlation, over_clips, over_methods


class Agreement(BaseModel):
    """Two measures beside each other. 1 means that both call the same clips, or sets, better."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    first: str
    """A measure."""
    second: str
    """Another measure."""
    clips: Correlation
    """Over the clips without damage."""
    sets: Correlation
    """Over the means of all sets of damaged copies."""


def agreement(table: Table, asked: Sequence[Asked], base: str, conditions: Sequence[str]) -> list[Agreement]:
    """Return the agreement of each two measures that have a better end.

    `base`: the condition without damage. `conditions`: those with damage of the oracle.
    """
    found = []
    turned = {
        (one.name, name): _worse(one, table, name)
        for one in asked
        if one.higher_is_better is not None
        for name in (base, *conditions)
    }
    clusters = [str(cluster) for cluster in table.clusters]
    directed = [one.name for one in asked if one.higher_is_better is not None]
    for first, second in combinations(directed, 2):
        ours, theirs = turned[first, base], turned[second, base]
        both = np.isfinite(ours) & np.isfinite(theirs)
        clips = over_clips(
            ours[both].tolist(), theirs[both].tolist(), [clusters[place] for place in np.flatnonzero(both)]
        )
        means = [
            (float(np.nanmean(turned[first, name])), float(np.nanmean(turned[second, name])))
            for name in (base, *conditions)
            if np.isfinite(turned[first, name]).any() and np.isfinite(turned[second, name]).any()
        ]
        sets = over_methods([one for one, _ in means], [other for _, other in means])
        found.append(Agreement(first=first, second=second, clips=clips, sets=sets))
    return found


def _worse(measure: Asked, table: Table, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = table.of(measure.name, name)
    return -values if measure.higher_is_better else values
