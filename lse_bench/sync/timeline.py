"""The AV offset over time: scores of overlapping pieces of a clip, and whether the offset is constant, drifts or jumps.

Everything follows from the distances of each window. A piece counts only if its minimum is clear (see `offsets`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lse_bench.rates import FPS
from lse_bench.sync.curve import MAX_SHIFT, SHIFTS, valid_curve
from lse_bench.sync.offsets import (
    MS_PER_FRAME,
    Calibration,
    TrendKind,
    is_clear,
    margin_of,
    offset_ms,
    without_conversion,
)
from lse_bench.sync.syncnet import WINDOW_FRAMES

SHORTEST, LONGEST = 2.0, 600.0  # seconds of a piece
_FEWEST = 3  # clear pieces that a verdict needs
_STRAIGHT = 20.0  # ms: offsets that lie as near to a line follow it
_LEAST_DRIFT = 20.0  # ms over the whole clip: half a frame
_LEAST_JUMP = 40.0  # ms: one frame


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a clip.

    `start`, `end`: seconds from the start of the clip. `offset_ms`, `margin`, `lse_d`, `lse_c`: of the pairs of its
    windows that exist. `clear`: whether its minimum is clear; None without a calibration.
    """

    start: float
    end: float
    offset_ms: float | None
    margin: float | None
    lse_d: float
    lse_c: float
    clear: bool | None

    @property
    def middle(self) -> float:
        """The middle of the piece in seconds."""
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class Jump:
    """A sudden change of the offset at `at` seconds, from `before_ms` to `after_ms`."""

    at: float
    before_ms: float
    after_ms: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """The offset of a clip over time.

    `seconds`: length of a piece. `pieces`: in order, each half over the next. `trend`: `unknown` if fewer than three
    pieces are clear, if there is no calibration, or if the offsets follow neither a line nor steps. `ms_per_minute`:
    the drift, positive if the sound comes earlier and earlier, with its 95 % interval `ci95`; None unless the offsets
    follow a line. `jumps`: the sudden changes.
    """

    seconds: float
    pieces: tuple[Piece, ...]
    trend: TrendKind
    ms_per_minute: float | None = None
    ci95: tuple[float, float] | None = None
    jumps: tuple[Jump, ...] = ()


def timeline_of(
    per_window: NDArray[np.floating],
    seconds: float,
    calibration: Calibration | None,
    conversion_ms: float | None = 0.0,
) -> Timeline:
    """Return the timeline of a clip.

    `per_window`: distances (windows,31), as `LseScore.per_window`. `seconds`: the length of a piece. `conversion_ms`:
    see `without_conversion`.
    """
    pieces = tuple(_pieces(per_window, seconds, calibration, conversion_ms))
    clear = [piece for piece in pieces if piece.clear and piece.offset_ms is not None]
    if len(clear) < _FEWEST:
        return Timeline(seconds, pieces, "unknown")
    times = np.array([piece.middle for piece in clear])
    offsets = np.array([piece.offset_ms for piece in clear], dtype=np.float64)
    slope, low, high, straight = _line(times, offsets, seconds)
    if straight:
        sure = not low <= 0 <= high
        drifts = sure and abs(slope) * (times[-1] - times[0]) >= _LEAST_DRIFT
        return Timeline(seconds, pieces, "drift" if drifts else "constant", 60 * slope, (60 * low, 60 * high))
    moved = conversion_ms or 0.0
    jumps = tuple(_placed(per_window, jump, seconds, moved) for jump in _steps(times, offsets))
    return Timeline(seconds, pieces, "jumps" if jumps else "unknown", jumps=jumps)


def _pieces(
    per_window: NDArray[np.floating], seconds: float, calibration: Calibration | None, conversion_ms: float | None
) -> Iterator[Piece]:
    count, step = len(per_window), max(1, round(seconds * FPS / 2))
    length = max(1, round(seconds * FPS) - WINDOW_FRAMES + 1)
    # The last piece is not shorter than the others, so it may lie further over the piece before it.
    starts = sorted({*range(0, max(1, count - length + 1), step), max(0, count - length)})
    for first in starts:
        rows = np.asarray(per_window[first : first + length], dtype=np.float64)
        curve = valid_curve(rows, first, count)
        if np.isnan(curve).all():
            continue
        margin, least = margin_of(curve), float(np.nanmin(curve))
        yield Piece(
            first / FPS,
            (first + len(rows) + WINDOW_FRAMES - 1) / FPS,
            without_conversion(offset_ms(curve, MAX_SHIFT), conversion_ms),
            margin,
            least,
            float(np.nanmedian(curve)) - least,
            None if calibration is None else is_clear(margin, calibration),
        )


def _line(times: NDArray[np.float64], offsets: NDArray[np.float64], seconds: float) -> tuple[float, float, float, bool]:
    """Return the slope in ms per second, its 95 % interval, and whether the offsets follow the line.

    The interval uses only pieces that do not overlap, because others are not independent.
    """
    kept = [0]
    for number in range(1, len(times)):
        if times[number] - times[kept[-1]] >= seconds - 1e-6:
            kept.append(number)
    if len(kept) < _FEWEST:
        kept = list(range(len(times)))
    from scipy.stats import theilslopes  # takes a third of a second to import

    slope, middle, low, high = theilslopes(offsets[kept], times[kept], 0.95)
    apart = np.abs(offsets - (middle + slope * times))
    return float(slope), float(low), float(high), bool(np.quantile(apart, 0.9) <= _STRAIGHT)


def _steps(times: NDArray[np.float64], offsets: NDArray[np.float64]) -> Iterator[Jump]:
    """Yield the sudden changes between levels of the offset, found by splitting again and again."""
    cost = _spread(offsets)
    best, place = math.inf, 0
    for split in range(2, len(offsets) - 1):
        now = _spread(offsets[:split]) + _spread(offsets[split:])
        if now < best:
            best, place = now, split
    if not place or best > cost / 2:
        return
    before, after = float(np.median(offsets[:place])), float(np.median(offsets[place:]))
    if abs(after - before) < _LEAST_JUMP:
        return
    yield from _steps(times[:place], offsets[:place])
    yield Jump(float(times[place - 1] + times[place]) / 2, before, after)
    yield from _steps(times[place:], offsets[place:])


def _spread(offsets: NDArray[np.float64]) -> float:
    return float(np.abs(offsets - np.median(offsets)).sum())


def _placed(per_window: NDArray[np.floating], jump: Jump, seconds: float, moved: float) -> Jump:
    """Return the jump at the window where the nearer of its two offsets changes.

    `moved`: what was taken off the offsets, in milliseconds.
    """
    first = max(0, round((jump.at - seconds) * FPS))
    rows = np.asarray(per_window[first : round((jump.at + seconds) * FPS)], dtype=np.float64)
    here, there = (
        min(SHIFTS - 1, max(0, MAX_SHIFT - round((offset + moved) / MS_PER_FRAME)))
        for offset in (jump.before_ms, jump.after_ms)
    )
    gain = np.cumsum(rows[:, here] - rows[:, there])  # falls while the offset before the jump is nearer
    return Jump((first + int(gain.argmin()) + 1 + WINDOW_FRAMES / 2) / FPS, jump.before_ms, jump.after_ms)
