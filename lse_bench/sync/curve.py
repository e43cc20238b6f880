"""The size of a clip's curve, and the curve of the pairs that exist."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SHIFT = 15  # frames at 25 fps
SHIFTS = 2 * MAX_SHIFT + 1
MIN_PAIRS = 5  # a shift of the valid curve with fewer pairs is NaN


def valid_curve(rows: NDArray[np.float64], first: int, windows: int) -> NDArray[np.float64]:
    """Return the mean distance at each shift over the pairs that exist, (31,); NaN where fewer than 5 exist.

    `rows`: the distances (n,31) of the windows `first`...`first`+n-1. `windows`: the number of windows of the clip.
    """
    sound = np.arange(first, first + len(rows))[:, None] + np.arange(SHIFTS)[None, :] - MAX_SHIFT
    exists = (sound >= 0) & (sound < windows)
    pairs = exists.sum(axis=0)
    sums = np.where(exists, rows, 0).sum(axis=0)
    return np.where(pairs >= MIN_PAIRS, sums / np.maximum(pairs, 1), np.nan)
