"""How many clips decide between two methods? The probability that n clips rank them wrongly.

The mean difference of n clips scatters around the true one. Its standard deviation comes from the paired differences of
the clips at hand, with the variance that `runs.statistics` takes for clips that depend on each other. It shrinks with
the root of n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import special

from lse_bench.runs.statistics import Members, paired_change

COUNTS = (10, 30, 100, 300, 1000, 3000, 14_239)  # clips; the last is the published list of LRS2
WRONG = 0.05  # the probability of a wrong order that counts as decided


class Pair(BaseModel):
    """Two methods, or two sets of damaged clips, and how many clips tell them apart."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    measure: str
    """The measure."""
    first: str
    """A method or a condition."""
    second: str
    """Another one."""
    difference: float
    """Mean of second minus first over the clips of both, in the measure's unit."""
    deviation: float
    """Standard deviation that one independent clip would have: that of the mean times the root of n."""
    n: int
    """Number of clips of both."""
    wrong: dict[int, float]
    """Probability of a wrong order by number of clips."""
    needed: int | None
    """Number of clips for a wrong order in 5 % of cases; null if the difference is 0."""


class Resolution(BaseModel):
    """The smallest difference that a measure decides."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    measure: str
    """The measure."""
    deviation: float | None
    """The median deviation of the pairs, as in `Pair`; null without pairs."""
    least: dict[int, float]
    """The difference that is ranked wrongly in 5 % of cases, by number of clips."""
    pairs: list[Pair]
    """The pairs."""


def pair(
    measure: str,
    names: tuple[str, str],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    members: Members,
) -> Pair | None:
    """Return how many clips tell two methods apart; None with fewer than two independent clips.

    `first`, `second`: one value a clip, NaN where there is none.
    """
    _, estimate = paired_change(first, second, members)
    if estimate.mean is None or not estimate.standard_error:
        return None
    deviation = estimate.standard_error * math.sqrt(estimate.n)
    return Pair(
        measure=measure,
        first=names[0],
        second=names[1],
        difference=estimate.mean,
        deviation=deviation,
        n=estimate.n,
        wrong={n: wrong_order(estimate.mean, deviation, n) for n in COUNTS},
        needed=needed(estimate.mean, deviation),
    )


def wrong_order(difference: float, deviation: float, n: int) -> float:
    """Return the probability that the mean of n clips has the wrong sign.

    `difference`: the true mean difference. `deviation`: of one independent clip.
    """
    return float(special.ndtr(-abs(difference) * math.sqrt(n) / deviation)) if deviation else 0.0


def needed(difference: float, deviation: float) -> int | None:
    """Return how many clips rank two methods wrongly in 5 % of cases; None if they do not differ."""
    quantile = -float(special.ndtri(WRONG))
    return max(1, math.ceil((quantile * deviation / difference) ** 2)) if difference else None


def least_difference(deviation: float, n: int) -> float:
    """Return the true difference that n clips rank wrongly in 5 % of cases."""
    return -float(special.ndtri(WRONG)) * deviation / math.sqrt(n)


def resolution(measure: str, sets: Mapping[str, NDArray[np.float64]], members: Members, base: str = "") -> Resolution:
    """Return what a measure can resolve.

    `sets`: by method or condition, one value a clip. `base`: the set that the others are compared with; empty for every
    pair of sets.
    """
    couples: Sequence[tuple[str, str]]
    couples = [(base, name) for name in sets if name != base] if base else list(combinations(sets, 2))
    pairs = [one for a, b in couples if (one := pair(measure, (a, b), sets[a], sets[b], members)) is not None]
    deviation = float(np.median([one.deviation for one in pairs])) if pairs else None
    least = {} if deviation is None else {n: least_difference(deviation, n) for n in COUNTS}
    return Resolution(measure=measure, deviation=deviation, least=least, pairs=pairs)
