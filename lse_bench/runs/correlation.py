"""Rank correlations with intervals, over clips that depend on each other and over few methods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy import stats

from lse_bench.runs.statistics import CONFIDENCE

LEAST_METHODS = 8  # a correlation over fewer methods has no interval
_RESAMPLES, _SEED = 1000, 0
Interval = tuple[float, float]


class Correlation(BaseModel):
    """Rank correlations of two rows of numbers. The sign is turned so that 1 is full agreement on what is better."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    spearman: float | None
    """Spearman's correlation; null with fewer than three values, or if all are equal."""
    spearman_ci95: Interval | None
    """95 % interval; null over fewer than 8 methods."""
    kendall: float | None
    """Kendall's tau-b; null as `spearman`."""
    kendall_ci95: Interval | None
    """95 % interval; null over fewer than 8 methods."""
    n: int
    """Number of methods or clips."""


def over_methods(ours: Sequence[float], theirs: Sequence[float]) -> Correlation:
    """Return the correlations over methods, each of which counts as one.

    The standard errors hold after Fisher's transformation: Bonett and Wright, "Sample size requirements for estimating
    Pearson, Kendall and Spearman correlations", 2000.
    """
    found, n = _correlations(ours, theirs), len(ours)
    if n < LEAST_METHODS or found is None:
        return _without_interval(found, n)
    rho, tau = found
    return Correlation(
        spearman=rho,
        spearman_ci95=_fisher(rho, math.sqrt((1 + rho**2 / 2) / (n - 3))),
        kendall=tau,
        kendall_ci95=_fisher(tau, math.sqrt(0.437 / (n - 4))),
        n=n,
    )


def over_clips(ours: Sequence[float], theirs: Sequence[float], items: Sequence[str]) -> Correlation:
    """Return the correlations over clips, with intervals by resampling items. `items`: what each clip belongs to."""
    found = _correlations(ours, theirs)
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(item, []).append(place)
    if found is None or len(places) < 2:
        return _without_interval(found, len(ours))
    rng, groups = np.random.default_rng(_SEED), list(places.values())
    drawn = []
    for _ in range(_RESAMPLES):
        chosen = [place for group in rng.integers(len(groups), size=len(groups)) for place in groups[group]]
        resampled = _correlations([ours[place] for place in chosen], [theirs[place] for place in chosen])
        if resampled is not None:
            drawn.append(resampled)
    edges = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(np.array(drawn), edges, axis=0).tolist()
    return Correlation(
        spearman=found[0],
        spearman_ci95=(low[0], high[0]),
        kendall=found[1],
        kendall_ci95=(low[1], high[1]),
        n=len(ours),
    )


def _without_interval(found: tuple[float, float] | None, n: int) -> Correlation:
    return Correlation(
        spearman=found and found[0], spearman_ci95=None, kendall=found and found[1], kendall_ci95=None, n=n
    )


def _fisher(value: float, error: float) -> Interval:
    if abs(value) >= 1:
        return (value, value)
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    return math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)


def _correlations(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float] | None:
    if len(ours) < 3 or len(set(ours)) < 2 or len(set(theirs)) < 2:
        return None
    return float(stats.spearmanr(ours, theirs).statistic), float(stats.kendalltau(ours, theirs).statistic)
