"""KID: the unbiased squared maximum mean discrepancy with the kernel (x·y/d + 1)³, averaged over subsets.

The source is Bińkowski et al., "Demystifying MMD GANs" (2018). Unlike FID, KID is unbiased for few frames, and its
interval is the spread over the subsets. The subsets are drawn as in torch-fidelity, so the same features give the same
value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError

SUBSETS = 100
SUBSET_SIZE = 1000
SEED = 2020
RESERVOIR = 10_000  # features that are kept of a set, 80 MB


@dataclass(frozen=True, slots=True)
class KidScore:
    """The KID of two sets.

    `mean`: the mean over the subsets. `ci95`: the 2.5 % and 97.5 % quantiles over the subsets; None for one subset.
    `subsets`: their number. `subset_size`: features in each.
    """

    mean: float
    ci95: tuple[float, float] | None
    subsets: int
    subset_size: int


def kid(first: NDArray[np.float32], second: NDArray[np.float32], seed: int = SEED) -> KidScore:
    """Compute the KID of features (N,D) and (M,D).

    It uses 100 subsets of 1,000 features, or of the smaller set's size if that is less. If both sets have exactly the
    subset's size, there is one subset. `seed`: the random seed of the subsets.
    Raises UsageError if a set has fewer than two features.
    """
    size = min(SUBSET_SIZE, len(first), len(second))
    if size < 2:
        raise UsageError(f"KID needs at least 2 frames in each set, and there are {len(first)} and {len(second)}")
    subsets = 1 if size == len(first) == len(second) else SUBSETS
    random = np.random.RandomState(seed)
    values = np.empty(subsets)
    for number in range(subsets):
        one = first[random.choice(len(first), size, replace=False)]
        two = second[random.choice(len(second), size, replace=False)]
        values[number] = polynomial_mmd(one, two)
    interval = None
    if subsets > 1:
        low, high = np.quantile(values, [0.025, 0.975])
        interval = (float(low), float(high))
    return KidScore(float(values.mean()), interval, subsets, size)


def polynomial_mmd(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the unbiased squared MMD of two sets of features (N,D) of equal size, computed in float64."""
    one, two = first.astype(np.float64), second.astype(np.float64)
    size, dimensions = one.shape

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        values = x @ y.T / dimensions + 1
        return np.asarray(values**3)

    within_one, within_two, across = kernel(one, one), kernel(two, two), kernel(one, two)
    within = within_one.sum() - np.trace(within_one) + within_two.sum() - np.trace(within_two)
    return float(within / (size * (size - 1)) - 2 * across.mean())


class Reservoir:
    """A uniform random sample of a set's features with a bounded size (Vitter's algorithm R).

    The same random seed and the same order of features give the same sample.
    """

    def __init__(self, dimensions: int, size: int = RESERVOIR, seed: int = SEED) -> None:
        self._kept = np.empty((size, dimensions), np.float32)  # the system provides memory only when rows are written
        self._size = size
        self._seen = 0
        self._random = np.random.default_rng(seed)

    def push(self, features: NDArray[np.float32]) -> None:
        """Offer features (N,D)."""
        taken = features[: max(0, self._size - self._seen)]
        self._kept[self._seen : self._seen + len(taken)] = taken
        self._seen += len(taken)
        features = features[len(taken) :]
        for row in features:
            self._seen += 1
            place = int(self._random.integers(self._seen))
            if place < self._size:
                self._kept[place] = row

    @property
    def sample(self) -> NDArray[np.float32]:
        """The sampled features (min(N, size), D), where N features were offered."""
        return self._kept[: self._seen]
