"""Means and their intervals. Two results depend on each other if they share a clip, or a speaker.

Pairs of picture and sound share clips (the 14,239 pairs of LRS2 use 1,243 clips). An interval that treats the pairs as
independent is therefore too narrow. The dyadic-robust variance corrects this. It sums the products of the residuals of
all pairs of results that share a member (Aronow, Samii and Assenova, "Cluster-robust variance estimation for dyadic
data", 2015).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval.

    `mean`: None if there are no results. `ci95`: None if too few results are independent. `ci_method`: how the interval
    was computed. `n`: number of results. `standard_error`: of the mean; None without an interval. `freedom`: degrees of
    freedom of Student's t.
    """

    mean: float | None
    ci95: tuple[float, float] | None
    ci_method: str
    n: int
    standard_error: float | None = None
    freedom: int = 0

    @property
    def p_value(self) -> float | None:
        """The two-sided p value of the hypothesis that the true mean is 0; None without an interval."""
        if self.mean is None or self.standard_error is None:
            return None
        if not self.standard_error:
            return 0.0 if self.mean else 1.0
        from scipy import special

        return float(2 * special.stdtr(self.freedom, -abs(self.mean) / self.standard_error))


@dataclass(frozen=True, slots=True)
class Members:
    """The one or two clips (or speakers) on which each of n results depends.

    `codes`: (n,2), int64: the places of the members in `names`; -1 in the second column for a single member. `unit`:
    what a member is, "clip" or "speaker".
    """

    codes: NDArray[np.int64]
    names: Sequence[str]
    unit: str = "clip"

    @classmethod
    def of(cls, sets: Iterable[frozenset[str]], unit: str = "clip") -> Members:
        """Make members from a set of one or two names for each result. Raises ValueError for other sets."""
        places: dict[str, int] = {}
        codes = array("q")
        for one in sets:
            if not 0 < len(one) <= 2:
                raise ValueError(f"a result has one or two members, picture and sound; got {sorted(one)}")
            found = [places.setdefault(name, len(places)) for name in one]
            codes.extend(found if len(found) == 2 else [*found, -1])
        return cls(np.frombuffer(codes, np.int64).reshape(-1, 2), list(places), unit)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, places: NDArray[Any]) -> Members:
        """Return the members of some results. `places`: their places, or a mask."""
        return Members(self.codes[places], self.names, self.unit)


def mean_with_interval(values: Sequence[float] | NDArray[np.float64], members: Members) -> Estimate:
    """Return the mean of `values` with its 95 % interval.

    `members`: of each value. If no two results share a member, the interval is Student's t interval. Otherwise the
    variance is dyadic-robust, and the degrees of freedom are the number of members minus one. There is no interval for
    a single result, or if all results share a member. Raises ValueError if the lengths differ.
    """
    if len(values) != len(members):
        raise ValueError(f"got {len(values)} values but the members of {len(members)} results")
    n, unit = len(values), members.unit
    if not n:
        return Estimate(None, None, "none: no results", 0)
    mean = math.fsum(values) / n
    residuals = np.asarray(values, np.float64) - mean
    counts = np.bincount(members.codes[members.codes >= 0])
    there = int(np.count_nonzero(counts))
    shared = there < int(counts.sum())
    units = there if shared else n
    method = f"dyadic-robust over {unit}s, Student t" if shared else f"Student t over {unit}s"
    if n < 2:
        return Estimate(mean, None, "none: a single result", n)
    if int(counts.max()) == n:
        return Estimate(mean, None, f"none: one {unit} is part of every result, so none is independent of another", n)
    # The dyadic estimate can fall below the variance of independent results, and even below 0. It may only widen the
    # interval.
    squares = math.fsum(residuals * residuals)
    if shared:
        squares = max(squares, _dyadic_sum(residuals, members.codes))
    error = math.sqrt(squares / n**2 * units / (units - 1))
    half = students_quantile(units - 1) * error
    return Estimate(mean, (mean - half, mean + half), method, n, error, units - 1)


def normal_interval(value: float, standard_error: float | None) -> tuple[float, float] | None:
    """Return the 95 % interval of a value whose error is normal; None if its standard error is unknown."""
    if standard_error is None:
        return None
    half = float(ndtri(0.5 + CONFIDENCE / 2)) * standard_error
    return value - half, value + half


def paired_change(
    before: NDArray[np.float64], after: NDArray[np.float64], members: Members
) -> tuple[NDArray[np.float64], Estimate]:
    """Return after minus before, of the places where both are finite, and the mean of these with its interval."""
    both = np.isfinite(before) & np.isfinite(after)
    change = after[both] - before[both]
    return change, mean_with_interval(change, members[both])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values after Holm's correction for multiple tests (Holm, 1979), in the order given.

    Each corrected value is at most 1. A larger p value never gets a smaller corrected value.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


@cache
def students_quantile(freedom: int) -> float:
    """Return the half-width of the interval in standard errors, for `freedom` degrees of freedom.

    It is found as a root of the distribution function, which every SciPy computes to 14 digits. SciPy's own quantile
    has only 9 digits before version 1.12, and an interval must not depend on the version.
    """
    from scipy import special
    from scipy.optimize import brentq  # takes a quarter of a second to import

    share = (1 + CONFIDENCE) / 2
    return float(brentq(lambda t: special.stdtr(freedom, t) - share, 0, 100, xtol=1e-15, rtol=1e-14))


def _dyadic_sum(residuals: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """Return the sum of r_i r_j over all ordered pairs (i, j) of results that share a member, including i = j.

    The sums by member count a pair of results once for each shared member. A result has at most two members, so two
    results that share two members have equal sets. Such pairs are subtracted once.
    """
    known = codes >= 0
    by_member = np.bincount(codes[known], np.repeat(residuals, 2)[known.ravel()])
    two = known[:, 1]
    low, high = codes[two].min(axis=1), codes[two].max(axis=1)
    _, sets = np.unique(low * (int(codes.max()) + 1) + high, return_inverse=True)
    by_set = np.bincount(sets, residuals[two])
    return math.fsum(by_member * by_member) - math.fsum(by_set * by_set)
