"""Means and their intervals. Which results depend on each other is decided in one place: results that share a clip.

Pairs of picture and sound share clips (LRS2's 14,239 pairs use 1,243), so an interval that takes them as independent
is too narrow. The variance here is the dyadic-robust one: it sums the products of the residuals of all pairs of results
that share a member (Aronow, Samii and Assenova, "Cluster-robust variance estimation for dyadic data", 2015).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from scipy import special, stats
from scipy.optimize import brentq

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval; None where there are too few independent results. `n`: results averaged.

    `standard_error` and `freedom`, degrees of freedom of Student's t, are what the interval is made of.
    """

    mean: float | None
    ci95: tuple[float, float] | None
    ci_method: str
    n: int
    standard_error: float | None = None
    freedom: int = 0

    @property
    def p_value(self) -> float | None:
        """Two-sided, of the hypothesis that the true mean is 0; None without an interval."""
        if self.mean is None or self.standard_error is None:
            return None
        if not self.standard_error:
            return 0.0 if self.mean else 1.0
        return float(2 * stats.t.sf(abs(self.mean) / self.standard_error, self.freedom))


def mean_with_interval(values: Sequence[float], members: Sequence[frozenset[str]], unit: str = "clip") -> Estimate:
    """Mean and 95 % interval of `values`; `members[i]` names the clips (or speakers: `unit`) that result i is made of.

    Student's t when no two results share a member, else the dyadic-robust variance with as many degrees of freedom as
    there are members less one. Raises ValueError when the lengths differ.
    """
    if len(values) != len(members):
        raise ValueError(f"{len(values)} values but members of {len(members)}")
    n = len(values)
    if not n:
        return Estimate(None, None, "none: no results", 0)
    mean = math.fsum(values) / n
    residuals = [value - mean for value in values]
    shared = len(set().union(*members)) < sum(map(len, members))
    units = len(set().union(*members)) if shared else n
    method = f"dyadic-robust over {unit}s, Student t" if shared else f"Student t over {unit}s"
    if n < 2:
        return Estimate(mean, None, "none: a single result", n)
    if frozenset.intersection(*members):
        return Estimate(mean, None, f"none: one {unit} is part of every result, so none is independent of another", n)
    # The dyadic estimate can fall below what independent results would have, even below 0; it may only widen.
    squares = math.fsum(r * r for r in residuals)
    if shared:
        squares = max(squares, _dyadic_sum(residuals, members))
    error = math.sqrt(squares / n**2 * units / (units - 1))
    half = _students_quantile(units - 1) * error
    return Estimate(mean, (mean - half, mean + half), method, n, error, units - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm, 1979), in the order given: each is at most 1 and no smaller than that
    of any smaller one.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


@cache
def _students_quantile(freedom: int) -> float:
    """How many standard errors the interval reaches to either side.

    The root of the distribution function, which every SciPy computes to 14 digits. Its own quantile has 9 digits
    before SciPy 1.12, and an interval must not depend on that.
    """
    share = (1 + CONFIDENCE) / 2
    return float(brentq(lambda t: special.stdtr(freedom, t) - share, 0, 100, xtol=1e-15, rtol=1e-14))


def _dyadic_sum(residuals: Sequence[float], members: Sequence[frozenset[str]]) -> float:
    """Sum of r_i r_j over all ordered pairs (i, j) that share a member, i = j included.

    Sums by member count a pair once for each member shared; results have two members at most, so what two results
    share twice is exactly an equal set, and is taken off once.
    """
    by_member: dict[str, float] = defaultdict(float)
    by_set: dict[frozenset[str], float] = defaultdict(float)
    for residual, clips in zip(residuals, members, strict=True):
        if len(clips) > 2:
            raise ValueError(f"a result has two members at most, picture and sound; got {sorted(clips)}")
        for clip in clips:
            by_member[clip] += residual
        if len(clips) == 2:
            by_set[clips] += residual
    return math.fsum(s * s for s in by_member.values()) - math.fsum(s * s for s in by_set.values())
