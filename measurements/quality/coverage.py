"""Whether a 95 % interval holds what it promises where clips serve both as picture and as sound.

Run: python -m measurements.quality.coverage [--sets 5000]; fifteen seconds. Each set has clips with an effect on every
pair they are in, as picture and as sound, and pairs drawn at random; the true mean is 0. Counted is how often each
interval covers it: pairs taken as independent (naive), clustered by picture only, by sound only, and ours
(dyadic-robust).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lse_bench.runs.statistics import CONFIDENCE, Members, mean_with_interval

CLIPS, PAIRS = 60, 600  # LRS2's list has 1,243 and 14,239: as many pairs for each clip
Values = NDArray[np.float64]
Places = NDArray[np.int64]
Interval = tuple[float, float]


def one_set(rng: np.random.Generator, clips: int, pairs: int) -> tuple[Values, Places, Places]:
    """Values of pairs, and the clip of each one's picture and sound."""
    as_picture = rng.standard_normal(clips)
    as_sound = 0.5 * as_picture + math.sqrt(0.75) * rng.standard_normal(clips)
    picture = rng.integers(clips, size=pairs)
    sound = (picture + 1 + rng.integers(clips - 1, size=pairs)) % clips
    return as_picture[picture] + as_sound[sound] + rng.standard_normal(pairs), picture, sound


def naive(values: Values, picture: Places, sound: Places) -> Interval:
    """As if pairs were independent."""
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half


def clustered(values: Values, cluster: Places) -> Interval:
    """One-way cluster-robust, with the usual correction for the number of clusters."""
    sums = np.bincount(cluster, weights=values - values.mean())
    count = len(np.unique(cluster))
    error = math.sqrt(float((sums**2).sum()) * count / (count - 1)) / len(values)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * error
    return float(values.mean()) - half, float(values.mean()) + half


def ours(values: Values, picture: Places, sound: Places) -> Interval:
    """That of every summary."""
    members = Members.of(frozenset((str(a), str(b))) for a, b in zip(picture, sound, strict=True))
    interval = mean_with_interval(values.tolist(), members).ci95
    assert interval is not None
    return interval


METHODS: dict[str, Callable[[Values, Places, Places], Interval]] = {
    "naive": naive,
    "clustered by picture": lambda values, picture, sound: clustered(values, picture),
    "clustered by sound": lambda values, picture, sound: clustered(values, sound),
    "dyadic-robust (ours)": ours,
}


def coverage(sets: int, clips: int = CLIPS, pairs: int = PAIRS, seed: int = 0) -> dict[str, float]:
    """Share of sets whose interval covers the true mean, by method."""
    rng = np.random.default_rng(seed)
    hits = dict.fromkeys(METHODS, 0)
    for _ in range(sets):
        drawn = one_set(rng, clips, pairs)
        for name, method in METHODS.items():
            low, high = method(*drawn)
            hits[name] += low <= 0 <= high
    return {name: count / sets for name, count in hits.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=5000)
    chosen = parser.parse_args()
    sizes = ((20, 100), (CLIPS, PAIRS), (120, 1200))
    found = [coverage(chosen.sets, clips, pairs) for clips, pairs in sizes]
    print(f"nominal 95 %; {chosen.sets} sets; clips / pairs:")
    print("| interval | " + " | ".join(f"{clips} / {pairs}" for clips, pairs in sizes) + " |")
    print("|---|" + "---:|" * len(sizes))
    for name in METHODS:
        print(f"| {name} | " + " | ".join(f"{100 * one[name]:.1f} %" for one in found) + " |")


if __name__ == "__main__":
    main()
