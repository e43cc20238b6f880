"""Who sees what: balanced trials for any number of raters.

All trials of a study are numbered: rater r, who has T trials, gets the trials r*T to r*T+T-1. Trial k shows source
s = k mod S. Its treatment, a method or a pair of methods, is t = (k + (k // L) mod g) mod N, where N is the number of
treatments, L the least common multiple of S and N, and g their greatest common divisor. So S*N trials in a row show
each source with each treatment once, S trials in a row show each source once, and N trials in a row show each treatment
once unless they cross a multiple of L.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple


class RatingTrial(NamedTuple):
    """A clip to rate: places of its source and of its method."""

    source: int
    method: int


class PairTrial(NamedTuple):
    """Two clips to compare: the place of their source, and of the methods on the left and on the right."""

    source: int
    left: int
    right: int


def rating_trials(start: int, count: int, sources: int, methods: int) -> list[RatingTrial]:
    """Return the rating trials `start`...`start`+`count`-1 of a study with so many sources and methods."""
    return [RatingTrial(*_place(k, sources, methods)) for k in range(start, start + count)]


def pair_trials(start: int, count: int, sources: int, methods: int) -> list[PairTrial]:
    """Return the paired trials `start`...`start`+`count`-1 of a study with so many sources and methods.

    The sides of a pair of methods alternate from one of its trials to the next, and from one round of all sources and
    pairs to the next.
    """
    pairs = list(combinations(range(methods), 2))
    whole = sources * len(pairs)
    order = _orders(sources, len(pairs))
    found = []
    for k in range(start, start + count):
        source, pair = _place(k, sources, len(pairs))
        turned = (order[source][pair] + k // whole) % 2
        first, second = pairs[pair]
        found.append(PairTrial(source, second, first) if turned else PairTrial(source, first, second))
    return found


def blocks_of(count: int, most: int) -> list[int]:
    """Return the sizes of the blocks that `count` trials are divided into: as equal as possible, `most` at most."""
    number = math.ceil(count / most)
    return [count // number + (place < count % number) for place in range(number)]


def cut(trials: Sequence[RatingTrial] | Sequence[PairTrial], most: int) -> Iterator[Sequence[RatingTrial | PairTrial]]:
    """Yield trials in blocks of `most` at most."""
    at = 0
    for size in blocks_of(len(trials), most):
        yield trials[at : at + size]
        at += size


def _place(k: int, sources: int, treatments: int) -> tuple[int, int]:
    """Return the source and the treatment of trial k."""
    turn = k // math.lcm(sources, treatments) % math.gcd(sources, treatments)
    return k % sources, (k + turn) % treatments


def _orders(sources: int, treatments: int) -> list[list[int]]:
    """Return by source and treatment the how-manieth trial of its treatment it is, within one round of all."""
    seen = [0] * treatments
    found = [[0] * treatments for _ in range(sources)]
    for k in range(sources * treatments):
        source, treatment = _place(k, sources, treatments)
        found[source][treatment] = seen[treatment]
        seen[treatment] += 1
    return found
