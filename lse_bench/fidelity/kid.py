"""KID: the squared maximum mean discrepancy with the kernel (x·y/d + 1)³, unbiased, averaged over subsets.

Bińkowski et al., "Demystifying MMD GANs" (2018). Unlike FID it is unbiased for few frames and has an interval of its
own: the spread over subsets. Subsets are drawn as torch-fidelity draws them, so the same features give the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError

SUBSETS = 100
SUBSET_SIZE = 1000
SEED = 2020
RESERVOIR = 10_000  # features kept of a set, 80 MB


@dataclass(frozen=True, slots=True)
class KidScore:
    """`mean` over subsets; `ci95`: 2.5 and 97.5 % quantiles over subsets, None for a single subset."""

    mean: float
    ci95: tuple[float, float] | None
    subsets: int
    subset_size: int


def kid(first: NDArray[np.float32], second: NDArray[np.float32], seed: int = SEED) -> KidScore:
    """KID of features (N,D) and (M,D): 100 subsets of 1,000, or of all when there are fewer.

    Raises UsageError for fewer than two features in a set.
    """
    size = min(SUBSET_SIZE, len(first), len(second))
    if size < 2:
        raise UsageError(f"KID needs at least 2 frames in each set, there are {len(first)} and {len(second)}")
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
    """Unbiased squared MMD of two sets of equal size, float64."""
    one, two = first.astype(np.float64), second.astype(np.float64)
    size, dimensions = one.shape

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        values = x @ y.T / dimensions + 1
        return np.asarray(values**3)

    within_one, within_two, across = kernel(one, one), kernel(two, two), kernel(one, two)
    within = within_one.sum() - np.trace(within_one) + within_two.sum() - np.trace(within_two)
    return float(within / (size * (size - 1)) - 2 * across.mean())


class Reservoir:
    """A uniform sample of the features of a set, of bounded size (Vitter's algorithm R), the same for the same seed."""

    def __init__(self, dimensions: int, size: int = RESERVOIR, seed: int = SEED) -> None:
        self._kept = np.empty((size, dimensions), np.float32)  # memory is taken only as rows are written
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
        """What is kept, (min(N, size), D)."""
        return self._kept[: self._seen]
