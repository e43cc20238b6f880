"""Does a measure see damage? Rank correlations of damage and values, and the smallest damage that shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

from lse_bench.runs.statistics import Members, mean_with_interval, paired_change, students_quantile

Interval = tuple[float, float]
_LEAST_STEPS = 3  # with a value, that a clip's tau needs
_LEAST_CLUSTERS = 3  # for an interval of the pooled tau
_CONSTANT = "its value does not change"
_FEW = "too few clips have a value at three steps"


class Tau(BaseModel):
    """Kendall's tau-b of damage and a measure: 1 if more damage is always worse, -1 if it is always better."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    tau: float | None
    """The value; null if it is not defined."""
    ci95: Interval | None
    """95 % interval for other clips; null with too few of them."""
    n: int
    """Number of clips with a value."""


class Step(BaseModel):
    """One step of a damage."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    amount: float
    """The amount, in the damage's unit."""
    n: int
    """Number of clips with a value here and without damage."""
    change: float | None
    """Mean change of the measure against no damage, in the measure's unit; null without clips."""
    ci95: Interval | None
    """95 % interval of the mean change."""
    worse: float | None
    """Share of the clips that the measure calls worse than without damage; ties count half."""


class Seen(BaseModel):
    """What a measure sees of one kind of damage."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    measure: str
    """The measure."""
    damage: str
    """The damage."""
    blind: str | None
    """Why there is no tau; null if there is one."""
    per_clip: Tau
    """Mean over clips of each clip's own tau."""
    pooled: Tau
    """Tau over all clips and steps together, in which clips differ by more than damage."""
    smallest: float | None
    """The smallest amount from which on every step differs from none at the 95 % level; null if none does."""
    steps: list[Step]
    """The steps, no damage excluded."""


def clip_taus(amounts: Sequence[float], worse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Kendall's tau-b of each clip, (clips,); NaN if it has fewer than three values or a constant one.

    `amounts`: of the steps, ascending. `worse`: (clips, steps), higher is worse, NaN where there is no value.
    """
    steps = np.asarray(amounts, float)
    found = np.full(len(worse), np.nan)
    for place, row in enumerate(worse):
        there = np.isfinite(row)
        if there.sum() >= _LEAST_STEPS and len(set(row[there])) > 1:
            found[place] = _kendall(steps[there], row[there])
    return found


def mean_tau(taus: NDArray[np.float64], members: Members) -> Tau:
    """Return the mean of the clips' own taus with its interval."""
    there = np.isfinite(taus)
    estimate = mean_with_interval(taus[there], members[there])
    return Tau(tau=estimate.mean, ci95=_inside(estimate.ci95), n=estimate.n)


def pooled_tau(amounts: Sequence[float], worse: NDArray[np.float64], clusters: NDArray[np.int64]) -> Tau:
    """Return tau over all clips and steps. The interval leaves out one cluster at a time (jackknife, Student's t)."""
    all_amounts = np.broadcast_to(np.asarray(amounts, float), worse.shape)
    there = np.isfinite(worse)
    n = int(there.any(axis=1).sum())
    whole = _tau(all_amounts[there], worse[there])
    if whole is None:
        return Tau(tau=None, ci95=None, n=n)
    left = []
    for cluster in np.unique(clusters):
        kept = there & (clusters != cluster)[:, None]
        left.append(_tau(all_amounts[kept], worse[kept]))
    without = np.array([one for one in left if one is not None])
    count = len(without)
    if count < _LEAST_CLUSTERS:
        return Tau(tau=whole, ci95=None, n=n)
    error = float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
    half = students_quantile(count - 1) * error
    return Tau(tau=whole, ci95=_inside((whole - half, whole + half)), n=n)


def _tau(amounts: NDArray[np.float64], worse: NDArray[np.float64]) -> float | None:
    if len(worse) < _LEAST_STEPS or len(np.unique(worse)) < 2 or len(np.unique(amounts)) < 2:
        return None
    return _kendall(amounts, worse)


def _kendall(amounts: NDArray[np.float64], worse: NDArray[np.float64]) -> float:
    """Return tau-b without its last digits, which differ between versions of SciPy: full order is 1."""
    return round(float(stats.kendalltau(amounts, worse).statistic), 12)


def _inside(interval: Interval | None) -> Interval | None:
    return None if interval is None else (max(-1.0, interval[0]), min(1.0, interval[1]))


def seen(
    measure: str,
    damage: str,
    amounts: Sequence[float],
    values: NDArray[np.float64],
    members: Members,
    clusters: NDArray[np.int64],
    *,
    higher_is_better: bool | None,
    blind: str | None,
) -> Seen:
    """Return what a measure sees of one kind of damage.

    `amounts`: of the steps, without 0. `values`: (clips, 1 + steps), the first column without damage, NaN where there
    is no value. `members`, `clusters`: of the clips. `blind`: why the damage cannot move the measure by definition.
    """
    worse = -values if higher_is_better else values
    steps = [
        _step(amount, values[:, 0], values[:, 1 + place], members, higher_is_better)
        for place, amount in enumerate(amounts)
    ]
    nothing = Tau(tau=None, ci95=None, n=0)
    per_clip, pooled = nothing, nothing
    if blind is None:
        all_amounts = [0.0, *amounts]
        taus = clip_taus(all_amounts, worse)
        if np.isfinite(taus).any():
            per_clip = mean_tau(taus, members)
            pooled = pooled_tau(all_amounts, worse, clusters)
        else:
            held = [row[np.isfinite(row)] for row in values]
            compared = [row for row in held if len(row) >= _LEAST_STEPS]
            blind = _CONSTANT if compared else _FEW
    return Seen(
        measure=measure,
        damage=damage,
        blind=blind,
        per_clip=per_clip,
        pooled=pooled,
        smallest=None if blind else smallest(steps),
        steps=steps,
    )


def _step(
    amount: float,
    none: NDArray[np.float64],
    there: NDArray[np.float64],
    members: Members,
    higher_is_better: bool | None,
) -> Step:
    change, estimate = paired_change(none, there, members)
    turned = -change if higher_is_better else change
    share = float(np.mean((turned > 0) + 0.5 * (turned == 0))) if len(change) else None
    return Step(amount=amount, n=len(change), change=estimate.mean, ci95=estimate.ci95, worse=share)


def smallest(steps: Sequence[Step]) -> float | None:
    """Return the smallest amount from which on every step differs from none, all in the direction of the last.

    Steps are tested from the largest down, and the first that does not differ ends the search. So the chance of any
    false claim stays at 5 %.
    """
    found: float | None = None
    way = 0.0
    for step in reversed(steps):
        if step.ci95 is None or step.ci95[0] <= 0 <= step.ci95[1]:
            break
        sign = float(np.sign(step.ci95[0]))
        if way and sign != way:
            break
        found, way = step.amount, sign
    return found
