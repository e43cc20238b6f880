"""Compute the MFCC of the MATLAB scripts that Speech2Vid and LipGAN share, 100 columns per second.

Samples have int16 scale. Pre-emphasis is 0.97. Frames of 400 samples every 160, without padding, get a symmetric
Hamming window. The magnitude of a 512-point spectrum passes 40 triangles of height 1, evenly spaced in HTK mel from 300
to 3700 Hz. A natural logarithm without a floor, a DCT-II with 13 coefficients and a sine lifter of 22 follow. Digital
silence gives -inf in row 0 and NaN in the other rows, as in the scripts. Each network has its own rule for these
values. SyncNet uses other features, which are in `syncnet_mfcc`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct

from lse_bench.rates import SAMPLE_RATE
from lse_bench.versions import require

COEFFICIENTS = 13
COLUMNS_PER_SECOND = 100
HOP, WINDOW = 160, 400
_FFT, _FILTERS = 512, 40
_LOWEST, _HIGHEST = 300.0, 3700.0  # Hz
_PRE_EMPHASIS, _LIFTER = 0.97, 22
_BLOCK = 2048  # columns computed at a time, to bound memory for long sound


def htk_columns(samples: int) -> int:
    """Return the number of columns of a sound with this number of samples."""
    return max(0, (samples - WINDOW) // HOP + 1)


def htk_mfcc(samples: ArrayLike) -> NDArray[np.float64]:
    """Return the MFCC, float64 (13, columns), of 16 kHz samples (N,) at int16 scale.

    The column of a digitally silent frame is -inf in row 0 and NaN in the other rows.
    """
    sound = np.asarray(samples)
    count = htk_columns(len(sound))
    if not count:
        return np.zeros((COEFFICIENTS, 0))
    shape = np.hamming(WINDOW)
    lifter = 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    columns = []
    for start in range(0, count, _BLOCK):
        stop = min(count, start + _BLOCK)
        piece = sound[max(0, start * HOP - 1) : (stop - 1) * HOP + WINDOW].astype(np.float64)
        emphasised = piece[1:] - _PRE_EMPHASIS * piece[:-1]
        if not start:
            emphasised = np.concatenate([piece[:1], emphasised])
        windows = np.lib.stride_tricks.sliding_window_view(emphasised, WINDOW)[::HOP]
        spectrum = np.abs(np.fft.rfft(windows * shape, _FFT))
        with np.errstate(divide="ignore", invalid="ignore"):
            bands = np.log(spectrum @ htk_filters().T)
            # The scripts scale all rows by one factor. scipy's orthonormal DCT has another factor for row 0.
            cepstrum = dct(bands, type=2, axis=1)[:, :COEFFICIENTS] * np.sqrt(2 / _FILTERS) / 2
        columns.append(cepstrum * lifter)
    found = np.concatenate(columns).T
    silent = np.isinf(found).any(axis=0) | np.isnan(found).any(axis=0)
    found[0, silent], found[1:, silent] = -np.inf, np.nan
    return found


@cache
def htk_filters() -> NDArray[np.float64]:
    """Return the filters, float64 (40, 257): triangles evaluated at the frequencies of the spectrum's bins."""
    require("librosa", "generators", "MFCC of Speech2Vid and LipGAN")
    import librosa

    filters = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=_FFT, n_mels=_FILTERS, fmin=_LOWEST, fmax=_HIGHEST, htk=True, norm=None, dtype=np.float64
    )
    return np.asarray(filters, dtype=np.float64)
