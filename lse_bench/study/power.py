"""How probably a study shows a difference that is there, for a number of raters and clips.

The formulas follow the assignment of the study and the intervals of its report. What they assume of raters and clips is
in `Spread`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from scipy import stats

from lse_bench.runs.statistics import CONFIDENCE
from lse_bench.study.clusters import satterthwaite

_MOST_RATERS = 5000


class Spread(BaseModel):
    """What is assumed of raters and clips. Ratings are in points, preferences on the logarithmic scale.

    `rater`: standard deviation of a rater's own level. `rater_method`, `clip_method`: of a rater's, and of a source's,
    own opinion of a method. `rest`: of one rating around all of these. `rater_pair`, `clip_pair`: of a rater's, and of
    a source's, own preference between two methods.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rater: float = 0.5
    rater_method: float = 0.3
    clip_method: float = 0.3
    rest: float = 0.8
    rater_pair: float = 0.5
    clip_pair: float = 0.5


SPREAD = Spread()


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a study. `trials`: of one rater, of one kind."""

    methods: int
    sources: int
    raters: int
    trials: int


def power_of_ratings(size: Size, difference: float, spread: Spread = SPREAD) -> float:
    """Return the probability that the 95 % interval of the difference of two methods' ratings leaves out 0.

    `difference`: of the mean ratings, in points.
    """
    by_method = size.raters * size.trials / size.methods  # ratings of one method
    raters, sources = min(by_method, size.raters), min(by_method, size.sources)
    votes = 2 * (spread.rater**2 + spread.rater_method**2 + spread.clip_method**2 + spread.rest**2) / by_method
    level = 2 * spread.rater**2 * (_uncancelled(size) - 1 / by_method)
    by_rater = level + 2 * spread.rater_method**2 * (1 / raters - 1 / by_method)
    by_clip = 2 * spread.clip_method**2 * (1 / sources - 1 / by_method)
    return _power(difference, votes, by_rater, by_clip, (size.raters, sources, 2 * by_method))


def _uncancelled(size: Size) -> float:
    """Return the part of a rater's own level that stays in a difference, over the number of ratings of a method.

    A rater who rates each of two methods equally often adds nothing. With T trials over N methods, T mod N of the
    methods are rated once more than the others.
    """
    once_more = (size.trials % size.methods) / size.methods
    # The numbers of two methods differ by one in this share of the raters.
    differ = 2 * once_more * (1 - once_more) * size.methods / max(1, size.methods - 1)
    return differ / (2 * size.raters * (size.trials / size.methods) ** 2)


def power_of_pairs(size: Size, share: float, spread: Spread = SPREAD) -> float:
    """Return the probability that the 95 % interval of the share of two methods' votes leaves out one half.

    `share`: of the votes for the better of the two methods, above 0.5 and below 1.
    """
    pairs = size.methods * (size.methods - 1) / 2
    number = size.raters * size.trials / pairs
    each = share * (1 - share)
    # A preference of one's own is shared by all votes of a rater or on a source.
    of_rater, of_clip = max(1.0, size.trials / pairs), max(1.0, number / size.sources)
    by_rater = each**2 * spread.rater_pair**2 * (of_rater - 1) / number
    by_clip = each**2 * spread.clip_pair**2 * (of_clip - 1) / number
    sizes = (min(size.raters, number), min(size.sources, number), number)
    return _power(share - 0.5, each / number, by_rater, by_clip, sizes)


def _power(
    difference: float, votes: float, by_rater: float, by_clip: float, sizes: tuple[float, float, float]
) -> float:
    """Return how probably an interval leaves out 0.

    `votes`: variance of independent votes. `by_rater`, `by_clip`: what raters and clips add to it. `sizes`: numbers of
    raters, clips and votes.
    """
    if min(sizes) < 2:
        return 0.0
    variance = votes + by_rater + by_clip
    freedom = satterthwaite(variance, (max(0.0, by_rater), max(0.0, by_clip), votes), sizes)
    limit = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
    centre = difference / math.sqrt(variance)
    return float(stats.nct.sf(limit, freedom, centre) + stats.nct.cdf(-limit, freedom, centre))


def raters_needed(power: Callable[[int], float], wanted: float) -> int | None:
    """Return the least number of raters with the power `wanted`; None if 5,000 are too few: clips are too few then.

    `power`: gives the power for a number of raters; it grows with them.
    """
    if power(_MOST_RATERS) < wanted:
        return None
    low, high = 1, _MOST_RATERS
    while low < high:
        middle = (low + high) // 2
        if power(middle) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low
