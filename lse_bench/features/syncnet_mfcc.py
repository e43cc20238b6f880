"""Compute SyncNet's MFCC: the defaults of python_speech_features 0.6 at 16 kHz, which the published code uses.

Windows are rectangular, 25 ms (400 samples) every 10 ms (160 samples). Pre-emphasis is 0.97. A 512-point power spectrum
passes 26 mel filters from 0 to 8 kHz. A natural logarithm, an orthonormal DCT-II with 13 coefficients and a sine lifter
of 22 follow. The log energy replaces coefficient 0. Samples are int16 values, not scaled to 1. The output is float64,
13 x columns.
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
_FLOOR = np.finfo(np.float64).eps  # replaces an energy of zero, so that its logarithm exists


def mfcc(samples: ArrayLike) -> NDArray[np.float64]:
    """Return the MFCC, float64 (13, columns), of 16 kHz int16 samples (N,).

    The number of columns is 1 + ceil((samples - 400) / 160), at least 1. Raises ValueError if `samples` is empty or has
    more or fewer dimensions than one.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"samples of shape {samples.shape}: the array must have one dimension and at least one sample")
    stream = MfccStream()
    return np.concatenate([stream.push(samples), stream.finish()], axis=1)


class MfccStream:
    """A computation of the columns of `mfcc` from blocks of samples, in bounded memory.

    The columns do not depend on where the sound is cut into blocks.
    """

    def __init__(self) -> None:
        self._pending = np.zeros(0)  # pre-emphasised samples, beginning with the next window
        self._last_sample: float | None = None
        self._columns = 0

    def push(self, samples: ArrayLike) -> NDArray[np.float64]:
        """Add samples and return the columns (13, n) that they complete. n can be 0."""
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
        """Return the last columns (13, n), whose windows extend past the end and are padded with zeros."""
        if self._last_sample is None:
            return np.zeros((COEFFICIENTS, 0))
        # The rest fills a window only in part. Another window starts if the one before leaves samples over.
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
    # Not `@`: BLAS threads would compete with the network's threads for longer than the sum takes.
    mel = np.einsum("wb,fb->wf", power, _mel_filters())
    cepstrum = dct(np.log(np.where(mel == 0, _FLOOR, mel)), type=2, axis=1, norm="ortho")[:, :COEFFICIENTS]
    cepstrum *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    cepstrum[:, 0] = np.log(np.where(energy == 0, _FLOOR, energy))
    return np.ascontiguousarray(cepstrum.T)


@cache
def _mel_filters() -> NDArray[np.float64]:
    """Return the filters (26, 257): triangles between points that are evenly spaced in mel and floored to bins."""
    top = 2595 * np.log10(1 + _RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _FILTERS + 2) / 2595) - 1)
    points = np.floor((_FFT + 1) * hertz / _RATE)
    bins = np.arange(_FFT // 2 + 1)
    left, peak, right = points[:-2, None], points[1:-1, None], points[2:, None]
    rising = np.where((bins >= left) & (bins < peak), (bins - left) / (peak - left), 0)
    falling = np.where((bins >= peak) & (bins < right), (right - bins) / (right - peak), 0)
    return rising + falling
