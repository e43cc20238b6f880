"""MFCC as SyncNet hears them: the defaults of python_speech_features 0.6 at 16 kHz, which the published code uses.

25 ms windows (400 samples, rectangular) every 10 ms (160), pre-emphasis 0.97, 512-point power spectrum, 26 mel
filters from 0 to 8 kHz, natural logarithm, orthonormal DCT-II, 13 coefficients, sine lifter 22, and coefficient 0
replaced by the log energy. Samples go in as int16 values, not scaled to 1. Output: float64, 13 x columns.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct

COEFFICIENTS = 13
HOP = 160  # samples from one column to the next
WINDOW = 400
_RATE = 16_000
_FFT = 512
_FILTERS = 26
_PRE_EMPHASIS = 0.97
_LIFTER = 22
_FLOOR = np.finfo(np.float64).eps  # stands for an energy of zero, so that its logarithm exists


def mfcc(samples: ArrayLike) -> NDArray[np.float64]:
    """MFCC (13, columns) of 16 kHz int16 samples; columns = 1 + ceil((samples - 400) / 160), at least 1.

    Raises ValueError for anything but a non-empty one-dimensional array.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"expected samples in one dimension, at least one; got shape {samples.shape}")
    stream = MfccStream()
    return np.concatenate([stream.push(samples), stream.finish()], axis=1)


class MfccStream:
    """The same columns from blocks of samples, however they are cut; memory does not grow with the sound."""

    def __init__(self) -> None:
        self._pending = np.zeros(0)  # pre-emphasised samples from the start of the next window on
        self._last_sample: float | None = None
        self._columns = 0

    def push(self, samples: ArrayLike) -> NDArray[np.float64]:
        """The columns (13, n) that `samples` complete; n may be 0."""
        block = np.asarray(samples, dtype=np.float64)
        if not len(block):
            return np.zeros((COEFFICIENTS, 0))
        before = 0.0 if self._last_sample is None else self._last_sample
        emphasised = block - _PRE_EMPHASIS * np.concatenate([[before], block[:-1]])
        self._last_sample = float(block[-1])
        self._pending = np.concatenate([self._pending, emphasised])
        complete = max(0, (len(self._pending) - WINDOW) // HOP + 1)
        return self._take(complete)

    def finish(self) -> NDArray[np.float64]:
        """The last columns, whose windows reach past the end and are filled with zeros."""
        if self._last_sample is None:
            return np.zeros((COEFFICIENTS, 0))
        # What is left covers a window only in part. A new window starts as long as the one before left samples over.
        overlap = WINDOW - HOP
        missing = 1 if self._columns == 0 else int(np.ceil(max(0, len(self._pending) - overlap) / HOP))
        needed = (missing - 1) * HOP + WINDOW
        self._pending = np.concatenate([self._pending, np.zeros(max(0, needed - len(self._pending)))])
        return self._take(missing)

    def _take(self, count: int) -> NDArray[np.float64]:
        if not count:
            return np.zeros((COEFFICIENTS, 0))
        windows = np.lib.stride_tricks.sliding_window_view(self._pending, WINDOW)[: count * HOP : HOP]
        columns = _columns(windows)
        self._pending = self._pending[count * HOP :]
        self._columns += count
        return columns


def _columns(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.abs(np.fft.rfft(windows, _FFT)) ** 2 / _FFT
    energy = power.sum(axis=1)
    # Not `@`: BLAS threads would spin beside the network's for longer than the sum takes.
    mel = np.einsum("wb,fb->wf", power, _mel_filters())
    cepstrum = dct(np.log(np.where(mel == 0, _FLOOR, mel)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    cepstrum[:, 0] = np.log(np.where(energy == 0, _FLOOR, energy))
    return np.ascontiguousarray(cepstrum.T)


@cache
def _mel_filters() -> NDArray[np.float64]:
    """Triangles (26, 257) between points evenly spaced in mel, each moved down to a spectrum bin."""
    top = 2595 * np.log10(1 + _RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _FILTERS + 2) / 2595) - 1)
    points = np.floor((_FFT + 1) * hertz / _RATE)
    bins = np.arange(_FFT // 2 + 1)
    left, peak, right = points[:-2, None], points[1:-1, None], points[2:, None]
    rising = np.where((bins >= left) & (bins < peak), (bins - left) / (peak - left), 0)
    falling = np.where((bins >= peak) & (bins < right), (right - bins) / (right - peak), 0)
    return rising + falling
