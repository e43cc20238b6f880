"""Compute LSE-D, LSE-C and AV offset from embeddings. All arithmetic is float64.

The distance of lip embedding *i* and sound embedding *j* is the Euclidean norm of their difference plus 1e-6 in each
component (the `eps` of torch's `pairwise_distance`, which the published code uses). The *curve* is the mean over
windows *i* of the distance to sound *i+s*, for shifts s = -15...+15 frames. The published code pads the sound with 15
zero vectors at each end and averages over all windows. Near the ends it therefore compares lips with zeros.
`curve_valid` averages only the pairs that exist.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lse_bench.sync.curve import MAX_SHIFT, MIN_PAIRS, SHIFTS
from lse_bench.sync.offsets import Calibration, Grade, grade_of, margin_of, offset_ms, within_r37, without_conversion
from lse_bench.sync.search import Found
from lse_bench.sync.timeline import Timeline

_EPS = 1e-6
_SMOOTHED_OVER = 9  # windows: the published code smooths its framewise confidence over as many

Curve = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LseScore:
    """The score of one clip. Distances have the unit of the embeddings.

    `lse_d` (LSE-D): the minimum of the curve. Lower is better. `lse_c` (LSE-C, the confidence): the median minus the
    minimum of the curve. Higher is better. `offset`: 15 - argmin, in frames of 40 ms. It is positive if the sound
    comes early and negative if it comes late. `lse_d_at_0`: the curve at shift 0.

    `lse_d_valid`, `lse_c_valid`, `offset_valid`: the same from `curve_valid`. They are NaN, NaN and None if no shift
    has 5 pairs. `windows`: the number of averaged windows. `curve`, `curve_valid`: (31,), float64, shifts -15...+15.
    `per_window`: distances (windows,31), float32, None if they are not kept. `warnings`: sentences on what may affect
    the score. `signature`: everything that the score depends on, in one line.

    `offset_ms`: the offset in milliseconds, below one frame; None at the ends of the curve. `offset_margin`: how far
    the minimum lies below every other shift, see `offsets`. `offset_grade`, `offset_r37`: what ITU-R BT.1359-1 and EBU
    R37 say about the offset. They need a calibration of the scorer. `search`: the best shift of a wider search.
    `timeline`: the offset over time. Both are None unless they were asked for.
    """

    lse_d: float
    lse_c: float
    offset: int
    lse_d_at_0: float
    lse_d_valid: float
    lse_c_valid: float
    offset_valid: int | None
    windows: int
    curve: Curve = field(repr=False)
    curve_valid: Curve = field(repr=False)
    per_window: NDArray[np.float32] | None = field(default=None, repr=False)
    offset_ms: float | None = None
    offset_margin: float | None = field(default=None, repr=False)
    offset_grade: Grade = "not calibrated"
    offset_r37: bool | None = field(default=None, repr=False)
    search: Found | None = None
    timeline: Timeline | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    signature: str = ""


def pairwise_distances(lip: ArrayLike, sound: ArrayLike) -> NDArray[np.float64]:
    """Return the distances (N,31) of each lip embedding to the 31 sound embeddings around it.

    `lip`: (N,D). `sound`: (N+30,D), with 15 more embeddings (or padding) at each end. Raises ValueError if the lengths
    do not fit.
    """
    lip = np.asarray(lip, dtype=np.float64)
    sound = np.asarray(sound, dtype=np.float64)
    if len(sound) != len(lip) + 2 * MAX_SHIFT:
        raise ValueError(
            f"{len(lip)} lip embeddings need {len(lip) + 2 * MAX_SHIFT} sound embeddings, got {len(sound)}"
        )
    distances = np.empty((len(lip), SHIFTS))
    for i, row in enumerate(lip):
        difference = row + _EPS - sound[i : i + SHIFTS]
        distances[i] = np.sqrt(np.einsum("kd,kd->k", difference, difference))
    return distances


class CurveSum:
    """An accumulator that sums the curve of one clip from embeddings in order.

    Its memory does not grow with the length of the clip. `keep_windows` keeps the distances of every window as well,
    and then it does.
    """

    def __init__(self, keep_windows: bool = False) -> None:
        self._lip = np.zeros((0, 0))  # pending windows, whose later sounds are still missing
        self._sound = np.zeros((0, 0))  # sounds, beginning 15 before the first pending lip
        self._sum = np.zeros(SHIFTS)
        self._sum_valid = np.zeros(SHIFTS)
        self._pairs = np.zeros(SHIFTS, dtype=np.int64)
        self._windows = 0
        self._kept: list[NDArray[np.float32]] | None = [] if keep_windows else None

    def push(self, lip: ArrayLike, sound: ArrayLike) -> None:
        """Add the next embeddings: `lip` and `sound`, both (n,D)."""
        lip, sound = np.asarray(lip, dtype=np.float64), np.asarray(sound, dtype=np.float64)
        if not self._sound.size:
            self._lip = np.zeros((0, lip.shape[1]))
            self._sound = np.zeros((MAX_SHIFT, sound.shape[1]))
        self._lip = np.concatenate([self._lip, lip])
        self._sound = np.concatenate([self._sound, sound])
        self._add(len(self._lip) - MAX_SHIFT, after_end=0)

    def finish(self) -> LseScore:
        """Return the clip's score. Raises ValueError if no window was added."""
        if not self._sound.size:
            raise ValueError("no windows: a curve needs at least one window")
        self._sound = np.concatenate([self._sound, np.zeros((MAX_SHIFT, self._sound.shape[1]))])
        self._add(len(self._lip), after_end=MAX_SHIFT)
        valid = np.where(self._pairs >= MIN_PAIRS, self._sum_valid / np.maximum(self._pairs, 1), np.nan)
        kept = None if self._kept is None else np.concatenate(self._kept)
        return summarise(self._sum / self._windows, valid, self._windows, kept)

    def _add(self, rows: int, after_end: int) -> None:
        """Add the first `rows` pending windows to the sums. The last `after_end` held sounds are padding."""
        if rows <= 0:
            return
        distances = pairwise_distances(self._lip[:rows], self._sound[: rows + 2 * MAX_SHIFT])
        position = np.arange(rows)[:, None] + np.arange(SHIFTS)[None, :]  # in self._sound
        exists = (self._windows + position >= MAX_SHIFT) & (position < len(self._sound) - after_end)
        self._sum += distances.sum(axis=0)
        self._sum_valid += np.where(exists, distances, 0).sum(axis=0)
        self._pairs += exists.sum(axis=0)
        self._windows += rows
        if self._kept is not None:
            self._kept.append(distances.astype(np.float32))
        self._lip, self._sound = self._lip[rows:], self._sound[rows:]


def summarise(
    curve: ArrayLike, curve_valid: ArrayLike, windows: int, per_window: NDArray[np.float32] | None = None
) -> LseScore:
    """Return LSE-D, LSE-C and offset of two curves.

    `curve`, `curve_valid`: (31,). NaN marks a shift of `curve_valid` with fewer than 5 pairs. `windows`, `per_window`:
    copied into the score.
    """
    curve, curve_valid = np.asarray(curve, dtype=np.float64), np.asarray(curve_valid, dtype=np.float64)
    present = curve_valid[~np.isnan(curve_valid)]
    return LseScore(
        lse_d=float(curve.min()),
        lse_c=float(np.median(curve) - curve.min()),
        offset=MAX_SHIFT - int(curve.argmin()),
        lse_d_at_0=float(curve[MAX_SHIFT]),
        lse_d_valid=float(present.min()) if len(present) else math.nan,
        lse_c_valid=float(np.median(present) - present.min()) if len(present) else math.nan,
        offset_valid=MAX_SHIFT - int(np.nanargmin(curve_valid)) if len(present) else None,
        windows=windows,
        curve=curve,
        curve_valid=curve_valid,
        per_window=per_window,
        offset_ms=offset_ms(curve, MAX_SHIFT),
        offset_margin=margin_of(curve),
    )


def graded(score: LseScore, calibration: Calibration | None, conversion_ms: float | None = 0.0) -> LseScore:
    """Return the score with the offset in milliseconds of the file, and its grades.

    `calibration`: of the scorer and protocol, None without one. `conversion_ms`: the delay that the conversion to 25
    frames per second added to the picture, which is taken off; None if it is not known, and then nothing is.
    """
    offset = without_conversion(score.offset_ms, conversion_ms)
    grade = grade_of(offset, score.offset_margin, calibration)
    return replace(score, offset_ms=offset, offset_grade=grade, offset_r37=within_r37(offset, grade))


def combine(scores: Sequence[LseScore], rule: Literal["all", "mean", "best"]) -> LseScore:
    """Return a clip's score from the scores of its face tracks.

    `rule`: `best` returns the score of the track with the highest LSE-C. `mean` and `all` return means of distances,
    confidences and curves, and the offsets of the track with the highest LSE-C. They differ only in summaries, where
    `all` counts every track once. Raises ValueError if `scores` is empty.
    """
    if not scores:
        raise ValueError("no track has a score")
    best = max(scores, key=lambda score: score.lse_c)
    if rule == "best" or len(scores) == 1:
        return best

    def mean(name: str) -> float:
        values = [value for score in scores if not math.isnan(value := getattr(score, name))]
        return math.fsum(values) / len(values) if values else math.nan

    return replace(
        best,
        lse_d=mean("lse_d"),
        lse_c=mean("lse_c"),
        lse_d_at_0=mean("lse_d_at_0"),
        lse_d_valid=mean("lse_d_valid"),
        lse_c_valid=mean("lse_c_valid"),
        windows=sum(score.windows for score in scores),
        curve=np.mean([score.curve for score in scores], axis=0),
        curve_valid=np.mean([score.curve_valid for score in scores], axis=0),
        per_window=None,
    )


def running_confidence(per_window: ArrayLike) -> NDArray[np.float64]:
    """Return a confidence for each window (windows,).

    `per_window`: distances (windows,31). The value is the curve's median minus the window's distance at the best shift.
    A median filter over 9 windows smooths it, unless the clip has fewer than 9 windows.
    """
    distances = np.asarray(per_window, dtype=np.float64)
    curve = distances.mean(axis=0)
    confidence = np.median(curve) - distances[:, int(curve.argmin())]
    if len(confidence) < _SMOOTHED_OVER:
        return np.asarray(confidence)
    from scipy.signal import medfilt  # takes a quarter of a second to import

    return np.asarray(medfilt(confidence, _SMOOTHED_OVER), dtype=np.float64)
