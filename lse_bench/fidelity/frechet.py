"""The Fréchet distance between sets of features, from statistics that can be streamed and merged.

FID is ‖μ1 - μ2‖² + tr Σ1 + tr Σ2 - 2 tr (Σ1 Σ2)^½ (Heusel et al. 2017). All computation is in float64. The trace of
the square root comes from eigenvalues, which takes a quarter of the time of the matrix square root.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from lse_bench.errors import UsageError
from lse_bench.storage import refuse_bomb, write_atomically

Array = NDArray[np.float64]
UNKNOWN_COUNT = 1 << 40  # for pytorch-fid's statistics, which count as those of a large set


@dataclass(frozen=True, slots=True)
class Statistics:
    """The count, the mean (D,) and the scatter (D,D) of a set of features, float64.

    The scatter is the sum of (x - mean)(x - mean)ᵀ.
    """

    count: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, features: ArrayLike) -> Statistics:
        """Return the statistics of features (N,D)."""
        x = np.asarray(features, dtype=np.float64)
        mean = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
        centred = x - mean
        return cls(len(x), mean, centred.T @ centred)

    @classmethod
    def of_sums(cls, count: int, total: Array, products: Array) -> Statistics:
        """Return the statistics of `count` features from sums.

        `total`: the sum of the features (D,), float64. `products`: the sum of their outer products (D,D), float64.
        """
        mean = total / max(count, 1)
        return cls(count, mean, products - count * np.outer(mean, mean))

    @classmethod
    def empty(cls, dimensions: int) -> Statistics:
        """Return the statistics of an empty set."""
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    def __add__(self, other: Statistics) -> Statistics:
        """Return the statistics of the union of both sets (Chan, Golub and LeVeque 1979)."""
        if not self.count or not other.count:
            return other if not self.count else self
        count = self.count + other.count
        difference = other.mean - self.mean
        mean = self.mean + difference * (other.count / count)
        scatter = self.scatter + other.scatter
        scatter += np.outer(difference, difference * (self.count * other.count / count))
        return Statistics(count, mean, scatter)

    @property
    def covariance(self) -> Array:
        """The unbiased covariance (D,D), as in `numpy.cov`. Raises UsageError if there are fewer than two frames."""
        if self.count < 2:
            raise UsageError(f"a covariance needs at least 2 frames, and there are {self.count}")
        return self.scatter / (self.count - 1)


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Return the Fréchet distance between two sets.

    The distance of a set to itself is 0 up to rounding, about 1e-8 of the traces. So it can be slightly negative.
    Raises UsageError if the dimensions differ or a set has fewer than two features.
    """
    if first.mean.shape != second.mean.shape:
        raise UsageError(f"features of {len(first.mean)} and {len(second.mean)} dimensions cannot be compared")
    one, two = first.covariance, second.covariance
    difference = first.mean - second.mean
    root = _trace_of_root(one, two, singular=min(first.count, second.count) <= len(difference))
    return float(difference @ difference + np.trace(one) + np.trace(two) - 2 * root)


def _trace_of_root(one: Array, two: Array, singular: bool) -> float:
    """Return tr (one two)^½, the sum of the square roots of the product's eigenvalues.

    With more frames than dimensions the eigenvalues are those of the symmetric matrix Lᵀ two L, where L Lᵀ = one. A
    singular product has eigenvalues that are zero up to rounding. Their treatment changes FID by about 1e-7 of the
    traces. In this case we take the real part of the complex square root, as pytorch-fid's matrix square root does.
    """
    if not singular:
        try:
            lower = scipy.linalg.cholesky(one, lower=True, check_finite=False)
        except np.linalg.LinAlgError:  # repeated frames: the matrix is singular although frames outnumber dimensions
            pass
        else:
            inner = scipy.linalg.eigvalsh(lower.T @ two @ lower, driver="evd", check_finite=False)
            return float(np.sqrt(np.maximum(inner, 0)).sum())
    values = scipy.linalg.eigvals(one @ two, check_finite=False)
    return float(np.sqrt(values.astype(np.complex128)).real.sum())


class StatisticsStream:
    """A collector of features in batches. It holds one scatter matrix and a small buffer."""

    def __init__(self, dimensions: int, buffer: int = 512) -> None:
        self._total = Statistics.empty(dimensions)
        self._waiting: list[NDArray[np.float32]] = []
        self._buffer = buffer

    def push(self, features: NDArray[np.float32]) -> None:
        """Add features (N,D)."""
        self._waiting.append(features)
        if sum(map(len, self._waiting)) >= self._buffer:
            self._drain()

    def finish(self) -> Statistics:
        """Return the statistics of all features that were pushed."""
        self._drain()
        return self._total

    def _drain(self) -> None:
        if self._waiting:
            self._total = self._total + Statistics.of(np.concatenate(self._waiting))
            self._waiting = []


def save_statistics(path: Path, statistics: Statistics, sample: NDArray[np.float32], fid_id: str) -> None:
    """Write statistics to an .npz file.

    It has pytorch-fid's `mu` and `sigma`, and also `count`, `fid_id` and the `sample` of features that KID needs.
    """
    content = io.BytesIO()
    np.savez_compressed(
        content,
        mu=statistics.mean,
        sigma=statistics.covariance,
        count=statistics.count,
        sample=sample,
        fid_id=fid_id,
    )
    write_atomically(path, content.getvalue())


def load_statistics(path: Path) -> tuple[Statistics, NDArray[np.float32] | None, str | None]:
    """Read statistics, the sample of features and the FID id from an .npz file.

    A file of pytorch-fid has no sample, no id and no number of frames. Then the sample and the id are None, the count
    is UNKNOWN_COUNT, and the covariance is unchanged. Raises UsageError if the file holds no statistics.
    """
    try:
        refuse_bomb(path)
        with np.load(path, allow_pickle=False) as content:
            mean, covariance = content["mu"].astype(np.float64), content["sigma"].astype(np.float64)
            ours = "count" in content
            count = int(content["count"]) if ours else UNKNOWN_COUNT
            sample = content["sample"] if ours else None
            fid_id = str(content["fid_id"]) if ours else None
    except (
        *(OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, MemoryError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise UsageError(f"{path}: this file has no FID statistics (.npz with mu and sigma): {error}") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise UsageError(f"{path}: mu has shape {mean.shape} and sigma {covariance.shape}. (D,) and (D,D) are needed")
    return Statistics(count, mean, covariance * (count - 1)), sample, fid_id
