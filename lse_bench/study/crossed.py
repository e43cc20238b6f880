"""Means over two crossed random factors: raters, and the clips that they rate.

Ratings of one rater depend on each other, and so do ratings of one clip. The variance components are estimated by the
method of moments (Gao and Owen, "Efficient moment calculations for variance components in large unbalanced crossed
random effects models", 2017). Units are those of the values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lse_bench.runs.statistics import CONFIDENCE


@dataclass(frozen=True, slots=True)
class CrossedMean:
    """A mean with its 95 % interval.

    `mean`: None if there are no values. `ci95`: None if there are fewer than two raters or two clips. `ci_method`: how
    the interval was computed. `n`, `raters`, `clips`: numbers of values, raters and clips. `standard_error`: of the
    mean. `freedom`: degrees of freedom of Student's t (Satterthwaite). `components`: variance of raters, of clips and
    of the rest; None without an interval.
    """

    mean: float | None
    ci95: tuple[float, float] | None
    ci_method: str
    n: int
    raters: int
    clips: int
    standard_error: float | None = None
    freedom: float | None = None
    components: tuple[float, float, float] | None = None


def crossed_mean(values: ArrayLike, raters: Sequence[str], clips: Sequence[str]) -> CrossedMean:
    """Return the mean of `values` with an interval for other raters and other clips.

    `values`: (n,). `raters`, `clips`: names, n each; a rater rates a clip at most once. Raises ValueError if the
    lengths differ.
    """
    y = np.asarray(values, np.float64)
    if not len(y) == len(raters) == len(clips):
        raise ValueError(f"got {len(y)} values of {len(raters)} raters and {len(clips)} clips")
    if not len(y):
        return CrossedMean(None, None, "none: no ratings", 0, 0, 0)
    rater, by_rater = _codes(raters)
    clip, by_clip = _codes(clips)
    n, r, c = len(y), len(by_rater), len(by_clip)
    mean = math.fsum(y) / n
    if r < 2 or c < 2:
        few = "one rater" if r < 2 else "one clip"
        return CrossedMean(mean, None, f"none: {few}, so another's opinion is unknown", n, r, c)
    parts = _components(y, rater, by_rater, clip, by_clip)
    # The share of each component in the variance of the mean, with the degrees of freedom of its estimate.
    shares = np.array([np.sum(by_rater**2.0) / n**2, np.sum(by_clip**2.0) / n**2, 1 / n]) * parts
    variance = float(shares.sum())
    if not variance:
        return CrossedMean(mean, (mean, mean), "crossed moments", n, r, c, 0.0, None, (0.0, 0.0, 0.0))
    freedoms = np.array([r - 1, c - 1, max(1, n - r - c + 1)])
    freedom = variance**2 / float((shares**2 / freedoms).sum())
    error = math.sqrt(variance)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    a, b, e = map(float, parts)
    return CrossedMean(
        mean, (mean - half, mean + half), "crossed moments, Student t", n, r, c, error, freedom, (a, b, e)
    )


def _codes(names: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the place of each name among the distinct names, and how often each of them occurs."""
    _, codes, counts = np.unique(np.asarray(names, dtype=str), return_inverse=True, return_counts=True)
    return codes, counts


def _components(
    y: NDArray[np.float64],
    rater: NDArray[np.intp],
    by_rater: NDArray[np.intp],
    clip: NDArray[np.intp],
    by_clip: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return the variances of raters, of clips and of the rest; a negative estimate becomes 0."""
    n, r, c = len(y), len(by_rater), len(by_clip)
    within_raters = np.sum((y - (np.bincount(rater, y) / by_rater)[rater]) ** 2)
    within_clips = np.sum((y - (np.bincount(clip, y) / by_clip)[clip]) ** 2)
    whole = n * np.sum((y - y.mean()) ** 2)
    expected = np.array(
        [
            [0.0, n - r, n - r],
            [n - c, 0.0, n - c],
            [n**2 - np.sum(by_rater**2.0), n**2 - np.sum(by_clip**2.0), n**2 - n],
        ]
    )
    # Where a component cannot be told from another, the smallest solution divides the variance between them.
    found = np.linalg.lstsq(expected, np.array([within_raters, within_clips, whole]), rcond=None)[0]
    return np.maximum(np.asarray(found, np.float64), 0.0)
