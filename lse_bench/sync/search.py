"""Look for delays beyond 0.6 s with the same embeddings. LSE-D and LSE-C stay those of the protocol.

Only pairs that exist are averaged. A shift at which picture and sound have less than 1 s in common is not considered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lse_bench.rates import FPS
from lse_bench.sync.offsets import margin_of, offset_ms, without_conversion

LONGEST = 60.0  # seconds
_EPS = 1e-6  # as in the curve: torch's pairwise_distance adds it to each component
_OVERLAP = FPS  # windows: the fewest pairs of a shift


@dataclass(frozen=True, slots=True)
class Found:
    """The best shift of a wide search.

    `seconds`: how far was searched to either side. `offset_ms`: as `LseScore.offset_ms`; None at the ends of what was
    measured. `distance`: the mean distance there. `margin`: as `LseScore.offset_margin`, over the wide curve.
    """

    seconds: float
    offset_ms: float | None
    distance: float
    margin: float | None


class WideCurve:
    """An accumulator of the mean distance at shifts of up to `seconds`, from embeddings in order.

    Its memory grows with `seconds` and not with the length of the clip.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._most = round(seconds * FPS)
        self._sum = np.zeros(2 * self._most + 1)
        self._pairs = np.zeros(2 * self._most + 1, dtype=np.int64)
        self._lip = np.zeros((0, 0))
        self._sound = np.zeros((0, 0))

    def push(self, lip: ArrayLike, sound: ArrayLike) -> None:
        """Add the next embeddings: `lip` and `sound`, both (n,D)."""
        lip, sound = np.asarray(lip, dtype=np.float64) + _EPS, np.asarray(sound, dtype=np.float64)
        if not self._lip.size:
            self._lip, self._sound = lip[:0], sound[:0]
        before, new = len(self._sound), len(lip)
        from scipy.spatial.distance import cdist  # takes a tenth of a second to import

        sounds = np.concatenate([self._sound, sound])
        lips = np.concatenate([self._lip, lip])
        self._add(cdist(lip, sounds), np.arange(len(sounds))[None, :] - (before + np.arange(new))[:, None])
        older = len(self._lip)  # the new sounds with older lips; those with new lips are counted above
        if older:
            self._add(cdist(self._lip, sound), (before + np.arange(new))[None, :] - np.arange(older)[:, None])
        self._lip, self._sound = lips[-self._most :], sounds[-self._most :]

    def _add(self, distances: NDArray[np.float64], shifts: NDArray[np.int64]) -> None:
        inside = np.abs(shifts) <= self._most
        places = (shifts + self._most)[inside]
        self._sum += np.bincount(places, distances[inside], len(self._sum))
        self._pairs += np.bincount(places, minlength=len(self._sum))

    def finish(self, conversion_ms: float | None = 0.0) -> Found | None:
        """Return the best shift, None if picture and sound have less than 1 s in common at every shift.

        `conversion_ms`: see `without_conversion`.
        """
        curve = np.where(self._pairs >= _OVERLAP, self._sum / np.maximum(self._pairs, 1), np.nan)
        if np.isnan(curve).all():
            return None
        offset = without_conversion(offset_ms(curve, self._most), conversion_ms)
        return Found(self._seconds, offset, float(np.nanmin(curve)), margin_of(curve))
