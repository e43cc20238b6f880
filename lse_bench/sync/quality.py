"""Measure how good a SyncNet is, from the embeddings of clips whose sound and picture are synchronised.

`lip` and `sound` are a clip's embeddings (windows, D). Window *i* of both belongs to the same moment. A shifted or cut
clip is a slice of them: removing whole frames from a clip removes whole windows. Nothing is therefore encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lse_bench.sync.distance import CurveSum, LseScore, pairwise_distances

Embeddings = NDArray[np.float64]
NEAR, FAR = 5, 15  # frames: the smallest and the largest shift of the wrong sounds of a window


def lse(lip: ArrayLike, sound: ArrayLike) -> LseScore:
    """Return LSE-D, LSE-C and AV offset of one clip from its SyncNet embeddings, computed in NumPy.

    `lip`, `sound`: (N,D). Row *i* of both belongs to the same window. The curve is the mean Euclidean distance at each
    of 31 shifts of the sound. The sound is padded with 15 zero vectors at either end, as in the published code. Raises
    ValueError if N is 0 or if the shapes differ.

    >>> import numpy as np
    >>> lip = np.random.default_rng(0).normal(size=(40, 8))
    >>> score = lse(lip, np.roll(lip, 3, axis=0))
    >>> score.offset
    -3
    """
    lip, sound = np.asarray(lip, dtype=np.float64), np.asarray(sound, dtype=np.float64)
    if lip.ndim != 2 or lip.shape != sound.shape:
        hint = " Did you pass (D, N)?" if lip.ndim == sound.ndim == 2 and lip.shape[0] == sound.shape[0] else ""
        raise ValueError(f"lip {lip.shape} and sound {sound.shape}: both must be (N, D), with equal N and D.{hint}")
    curve = CurveSum()
    curve.push(lip, sound)
    return curve.finish()


def shifted_offset(lip: Embeddings, sound: Embeddings, shift: int, windows: int, start: int) -> int:
    """Return the offset of `windows` windows from window `start` on, with sound from `shift` frames later.

    The sound of such a clip comes `shift` frames early, so the correct offset is `shift`. Raises ValueError if the clip
    is too short for this cut.
    """
    if start < 0 or start + windows > len(lip) or start + shift < 0 or start + shift + windows > len(sound):
        raise ValueError(
            f"{len(lip)} windows: a cut of {windows} from window {start} with sound {shift} frames later does not fit"
        )
    cut = lse(lip[start : start + windows], sound[start + shift : start + shift + windows])
    return cut.offset


def window_wins(lip: Embeddings, sound: Embeddings) -> tuple[int, int]:
    """Return how often a window's own sound is nearer than a sound 5 to 15 frames away, and out of how many pairs."""
    padded = np.concatenate([np.full((FAR, sound.shape[1]), np.nan), sound, np.full((FAR, sound.shape[1]), np.nan)])
    distances = pairwise_distances(lip, padded)
    shifts = np.abs(np.arange(-FAR, FAR + 1))
    others = distances[:, shifts >= NEAR]
    exists = ~np.isnan(others)
    return int((distances[:, [FAR]] < others)[exists].sum()), int(exists.sum())


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the probability that a positive value is larger than a negative one. Ties count half.

    Raises ValueError if a group is empty.
    """
    if not len(positive) or not len(negative):
        raise ValueError("both groups need at least one value")
    difference = np.asarray(positive)[:, None] - np.asarray(negative)[None, :]
    return float((np.sign(difference).mean() + 1) / 2)
