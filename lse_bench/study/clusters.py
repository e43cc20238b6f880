"""Intervals of shares and differences of votes that share raters and clips.

The variance is V(raters) + V(clips) - V(votes). The first two add up the votes of each rater and of each clip; the
third, which both contain, is subtracted (Cameron, Gelbach and Miller, "Robust inference with multiway clustering",
2011). Effects that a rater or a clip has on both sides of a difference cancel. The degrees of freedom of Student's t
are those of Satterthwaite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lse_bench.runs.statistics import CONFIDENCE

# Where effects of raters cancel, the variance is below that of independent votes; by chance, its estimate is far below.
# With this limit, intervals cover the truth in 93 to 97 % of simulated studies (measurements/quality/votes.py).
_LEAST = 0.85


@dataclass(frozen=True, slots=True)
class Clustered:
    """A difference or a share.

    `value`: None if a side has no votes. `ci95`: 95 % interval; None with fewer than two raters or two clips, of either
    side.
    `freedom`: degrees of freedom of Student's t; None without an interval.
    """

    value: float | None
    ci95: tuple[float, float] | None
    freedom: float | None = None


def clustered_difference(values: ArrayLike, first: ArrayLike, raters: Sequence[str], clips: Sequence[str]) -> Clustered:
    """Return the mean of the values where `first` is true, minus the mean of the others.

    `values`: (n,). `first`: (n,), bool. `raters`, `clips`: names, n each.
    """
    y, side = np.asarray(values, np.float64), np.asarray(first, bool)
    if side.all() or not side.any():
        return Clustered(None, None)
    means = np.where(side, y[side].mean(), y[~side].mean())
    weights = np.where(side, 1 / side.sum(), 1 / (~side).sum())
    difference = float(y[side].mean() - y[~side].mean())
    for names in (raters, clips):
        here = np.asarray(names, dtype=str)
        if min(len(set(here[side])), len(set(here[~side]))) < 2:  # how one side varies is not known
            return Clustered(difference, None)
    return _with_interval(difference, (y - means) * np.where(side, weights, -weights), raters, clips)


def clustered_mean(
    values: ArrayLike, weights: ArrayLike, raters: Sequence[str] | None, clips: Sequence[str]
) -> Clustered:
    """Return the weighted mean of the values.

    `values`, `weights`: (n,). `raters`: names, n, or None if they are not known; then only clips count. `clips`: names,
    n.
    """
    y, w = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    if not w.sum():
        return Clustered(None, None)
    mean = float(np.average(y, weights=w))
    return _with_interval(mean, (y - mean) * w / w.sum(), raters, clips)


def _with_interval(
    value: float, parts: NDArray[np.float64], raters: Sequence[str] | None, clips: Sequence[str]
) -> Clustered:
    """Return the value with its interval. `parts`: by how much each vote moves the value from its expectation."""
    factors = [clips] if raters is None else [raters, clips]
    sizes = [len(set(names)) for names in factors]
    if min(sizes) < 2:
        return Clustered(value, None)
    votes = float(np.sum(parts**2)) * len(parts) / max(1, len(parts) - 2)
    beyond = [size / (size - 1) * _squares(parts, names) - votes for size, names in zip(sizes, factors, strict=True)]
    variance = max(votes + sum(beyond), _LEAST * votes)
    freedom = satterthwaite(variance, [*(max(0.0, part) for part in beyond), votes], [*sizes, len(parts) - 1])
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(variance)
    return Clustered(value, (value - half, value + half), freedom)


def satterthwaite(variance: float, parts: Sequence[float], sizes: Sequence[float]) -> float:
    """Return the degrees of freedom of a variance.

    `parts`: its parts. `sizes`: the number of values that each part is estimated from.
    """
    spread = sum(part**2 / max(1.0, size - 1) for part, size in zip(parts, sizes, strict=True))
    return variance**2 / spread if spread else max(1.0, max(sizes) - 1)


def _squares(parts: NDArray[np.float64], names: Sequence[str]) -> float:
    _, codes = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    return float(np.sum(np.bincount(codes, parts) ** 2))
