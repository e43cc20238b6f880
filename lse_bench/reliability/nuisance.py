"""Does a measure move by what should not matter? Each nuisance is set beside the damage that moves it as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lse_bench.reliability.oracle import Interval, Seen
from lse_bench.runs.statistics import Members, paired_change


class Equivalent(BaseModel):
    """The damage that moves the mean of a measure as much as something else does."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    damage: str
    """The damage that the measure sees best, by its tau."""
    amount: float | None
    """Its amount; null if even the largest step moves the measure less."""
    steps: float | None
    """The same in steps: 1 is the first step; null as `amount`."""


class Moved(BaseModel):
    """How far a nuisance moves a measure."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    measure: str
    """The measure."""
    nuisance: str
    """The nuisance."""
    n: int
    """Number of clips with a value before and after."""
    change: float | None
    """Mean change, in the measure's unit; null without clips."""
    ci95: Interval | None
    """95 % interval of the mean change."""
    cv: float | None
    """Root mean square change of a clip, as a share of the mean value; null if that is 0."""
    equivalent: Equivalent | None
    """The damage that moves the mean as much; null if the measure sees no damage."""


class Steadiness(BaseModel):
    """How far all nuisances together spread a measure."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    measure: str
    """The measure."""
    cv: float | None
    """Coefficient of variation: the standard deviation of a clip's values over all nuisances as a share of its mean,
    averaged over clips; null if a mean is 0."""
    n: int
    """Number of clips."""


def moved(
    measure: str,
    nuisance: str,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    members: Members,
    best: Seen | None,
) -> Moved:
    """Return how far a nuisance moves a measure. `best`: the damage that the measure sees best; None for none."""
    change, estimate = paired_change(before, after, members)
    level = float(np.abs(before[np.isfinite(before) & np.isfinite(after)].mean())) if len(change) else 0.0
    return Moved(
        measure=measure,
        nuisance=nuisance,
        n=len(change),
        change=estimate.mean,
        ci95=estimate.ci95,
        cv=float(np.sqrt(np.mean(change**2))) / level if level else None,
        equivalent=None if best is None or estimate.mean is None else equivalent(abs(estimate.mean), best),
    )


def steadiness(measure: str, values: Mapping[str, NDArray[np.float64]]) -> Steadiness:
    """Return the coefficient of variation of a measure. `values`: by nuisance, one value a clip, NaN for none."""
    rows = np.stack(list(values.values()), axis=1) if values else np.zeros((0, 0))
    shares = []
    for row in rows:
        held = row[np.isfinite(row)]
        if len(held) > 1:
            mean = abs(float(held.mean()))
            shares.append(float(held.std(ddof=1)) / mean if mean else np.nan)
    known = bool(shares) and bool(np.isfinite(shares).all())
    return Steadiness(measure=measure, cv=float(np.mean(shares)) if known else None, n=len(shares))


def best_seen(rows: Sequence[Seen]) -> Seen | None:
    """Return the damage that a measure sees best: the highest mean tau of a clip; None if it sees none."""
    there = [row for row in rows if row.per_clip.tau is not None and row.per_clip.tau > 0]
    return max(there, key=lambda row: row.per_clip.tau or 0.0, default=None)


def equivalent(change: float, best: Seen) -> Equivalent:
    """Return the amount of a damage that moves the mean by `change`, between its steps by straight lines."""
    amounts = [0.0, *(step.amount for step in best.steps)]
    effects = np.maximum.accumulate([0.0, *(abs(step.change or 0.0) for step in best.steps)])
    if change > effects[-1]:
        return Equivalent(damage=best.damage, amount=None, steps=None)
    place = int(np.searchsorted(effects, change))
    if place == 0:
        return Equivalent(damage=best.damage, amount=0.0, steps=0.0)
    low, high = effects[place - 1], effects[place]
    share = float((change - low) / (high - low))
    amount = amounts[place - 1] + share * (amounts[place] - amounts[place - 1])
    return Equivalent(damage=best.damage, amount=amount, steps=place - 1 + share)
