"""The number of raters of a study, from the power that is asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lse_bench.errors import UsageError
from lse_bench.study.folder import Estimate
from lse_bench.study.plan import Design
from lse_bench.study.power import SPREAD, Size, power_of_pairs, power_of_ratings, raters_needed


@dataclass(frozen=True, slots=True)
class Effects:
    """What a study shall show, and how probably.

    `difference`: of the ratings of two methods, in points. `share`: of the votes for the better of two methods.
    """

    power: float
    difference: float
    share: float


def number_of_raters(design: Design, effects: Effects, given: int | None) -> int:
    """Return the number of raters: the given one, or the least that has the power and shows every clip twice.

    Raises UsageError if no number of raters is enough, because there are too few clips.
    """
    if given is not None:
        return given
    needed = [2]
    for kind, trials in (("rating", design.ratings), ("pairwise", design.pairs)):
        if not trials:
            continue
        found = raters_for(design, kind, effects)
        if found is None:
            what = f"{effects.difference:g} points" if kind == "rating" else f"a share of {effects.share:g}"
            raise UsageError(
                f"{len(design.sources)} clips are too few to show {what} with a probability of {effects.power:g}, "
                "however many raters there are. Raise --clips, ask for less with --power, --difference or --share, or "
                "give --raters"
            )
        every = len(design.sources) * (len(design.methods) if kind == "rating" else _pairs(design))
        needed += [found, math.ceil(2 * every / trials)]
    return max(needed)


def raters_for(design: Design, kind: str, effects: Effects) -> int | None:
    """Return the least number of raters with the power that is asked for; None if no number is enough."""
    return raters_needed(partial(_power, design, kind, effects), effects.power)


def estimates(design: Design, effects: Effects, raters: int) -> list[Estimate]:
    """Return the power of a study with so many raters."""
    found = []
    kinds: tuple[tuple[Literal["rating", "pairwise"], int, float], ...] = (
        ("rating", design.ratings, effects.difference),
        ("pairwise", design.pairs, effects.share),
    )
    for kind, trials, effect in kinds:
        if trials:
            power = _power(design, kind, effects, raters)
            found.append(Estimate(kind=kind, effect=effect, power=power, assumed=SPREAD.model_dump()))
    return found


def _power(design: Design, kind: str, effects: Effects, raters: int) -> float:
    trials = design.ratings if kind == "rating" else design.pairs
    size = Size(len(design.methods), len(design.sources), raters, trials)
    if kind == "rating":
        return power_of_ratings(size, effects.difference)
    return power_of_pairs(size, effects.share)


def _pairs(design: Design) -> int:
    return math.comb(len(design.methods), 2)
