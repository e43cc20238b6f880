"""Compute mel spectrograms for Wav2Lip and LipGAN's later branch: 80 bands, 80 columns per second, values in -4...4.

librosa computes them in float64. The sound is 16 kHz, float in -1...1, with pre-emphasis 0.97. The Hann window has 800
samples, the hop 200, and windows are centred. The edges are mirrored as in librosa up to 0.8. librosa pads with zeros
since 0.9, which changes the first and last columns. The magnitude passes 80 Slaney bands of equal area, 55-7600 Hz.
Decibels have a floor of 1e-5, less 20 dB. They are scaled so that -100...0 dB become -4...4, and clipped.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from lse_bench.media.audio import Sound
from lse_bench.rates import SAMPLE_RATE
from lse_bench.versions import require

BANDS = 80
COLUMNS_PER_SECOND = 80
_HOP, _WINDOW = 200, 800
_LOWEST, _HIGHEST = 55.0, 7600.0  # Hz
_PRE_EMPHASIS = 0.97
_FLOOR, _REFERENCE, _RANGE, _LIMIT = 1e-5, 20.0, 100.0, 4.0
_BLOCK = 2048  # columns computed at a time, to bound memory for long sound


def mel_columns(samples: int) -> int:
    """Return the number of columns of a sound with this number of samples."""
    return 1 + samples // _HOP


def window_starts(columns: int, width: int, fps: float = 25, last: bool = False) -> NDArray[np.int64]:
    """Return the first column of each frame's window, int64: int(80 i / fps) for frame i, while the window fits.

    `columns`: number of columns of the spectrogram. `width`: columns of a window. `fps`: frames per second. `last`: add
    one frame whose window ends with the sound, as Wav2Lip's `inference.py` does. Wav2Lip's evaluation scripts and
    LipGAN do not add it.
    """
    guess = np.arange(int(columns * fps / COLUMNS_PER_SECOND) + 2)
    starts = (guess * (COLUMNS_PER_SECOND / fps)).astype(np.int64)
    starts = starts[starts + width <= columns]
    return np.append(starts, columns - width) if last and columns >= width else starts


def mel_spectrogram(sound: Sound) -> NDArray[np.float32]:
    """Return the spectrogram, float32 (80, 1 + samples // 200), of mono int16 sound at 16 kHz.

    Raises ValueError if there are fewer than 401 samples, because their edges cannot be mirrored.
    """
    if len(sound) <= _WINDOW // 2:
        raise ValueError(f"{len(sound)} samples: a mel spectrogram needs more than {_WINDOW // 2} samples")
    filters = slaney_filters()
    import librosa

    mel = np.empty((BANDS, mel_columns(len(sound))), np.float32)
    for start in range(0, mel.shape[1], _BLOCK):
        count = min(_BLOCK, mel.shape[1] - start)
        samples = _emphasised(sound, start * _HOP - _WINDOW // 2, (count - 1) * _HOP + _WINDOW)
        spectrum = librosa.stft(
            samples, n_fft=_WINDOW, hop_length=_HOP, center=False
        )  # `_emphasised` mirrors the edges
        mel[:, start : start + count] = filters @ np.abs(spectrum)
    decibels = 20 * np.log10(np.maximum(_FLOOR, mel)) - _REFERENCE
    scaled = 2 * _LIMIT * (decibels + _RANGE) / _RANGE - _LIMIT
    return np.asarray(np.clip(scaled, -_LIMIT, _LIMIT), dtype=np.float32)


def _emphasised(sound: Sound, start: int, count: int) -> NDArray[np.float64]:
    """Return `count` pre-emphasised samples from number `start` on, mirrored beyond both ends of the sound."""
    at = np.abs(np.arange(start, start + count))
    at = np.where(at < len(sound), at, 2 * (len(sound) - 1) - at)
    before = np.where(at > 0, sound[at - 1], 0)
    return (sound[at].astype(np.float64) - _PRE_EMPHASIS * before) / 32768


@cache
def slaney_filters() -> NDArray[np.float32]:
    """Return the filters, float32 (80, 401): triangles of equal area, evenly spaced on Slaney's mel scale."""
    require("librosa", "generators", "a mel spectrogram")
    import librosa

    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_WINDOW, n_mels=BANDS, fmin=_LOWEST, fmax=_HIGHEST)
    return np.asarray(filters, dtype=np.float32)
