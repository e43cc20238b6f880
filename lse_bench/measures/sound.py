"""Facts of the sound: how long somebody speaks, and how loud it is."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from lse_bench.measures.interface import Measure, MeasuredClip, Meter, Need, NoValueError
from lse_bench.media.audio import Sound
from lse_bench.rates import SAMPLE_RATE

_SOUND: frozenset[Need] = frozenset({"sound"})
_BLOCK, _HOP = SAMPLE_RATE * 2 // 5, SAMPLE_RATE // 10  # 400 ms, three quarters of which the next block shares
_SILENT, _RELATIVE = -70.0, -10.0  # LUFS and LU: the gates of BS.1770
_OFFSET = -0.691  # dB: makes a sine of 997 Hz at full scale -3.01 LUFS


class SpeechSeconds(Measure):
    """Seconds of speech in the sound, by the voice activity detector. A fact, not a quality."""

    name = "speech_seconds"
    needs: frozenset[Need] = frozenset({"sound", "voice activity"})
    unit = "s"
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    licence = "MIT (Silero VAD)"
    sources = ("silero-vad 6.2.3, defaults of get_speech_timestamps",)

    def start(self, clip: MeasuredClip) -> Meter:
        return _SpeechMeter()


class _SpeechMeter(Meter):
    def __init__(self) -> None:
        self._seconds = 0.0

    def speech(self, pieces: NDArray[np.float64]) -> None:
        self._seconds = float((pieces[:, 1] - pieces[:, 0]).sum())

    def finish(self) -> float:
        return self._seconds


class Loudness(Measure):
    """Integrated loudness of the sound that is scored: mono, 16 kHz. A fact, not a quality."""

    name = "loudness"
    needs = _SOUND
    unit = "LUFS"
    range: ClassVar[tuple[float | None, float | None]] = (_SILENT, None)
    sources = ("ITU-R BS.1770-4",)
    deviations = (
        "It is taken of the mono sound at 16 kHz that the scorer hears, whose filters differ by 0.04 dB at 1 kHz."
    )

    def start(self, clip: MeasuredClip) -> Meter:
        return _LoudnessMeter()


class _LoudnessMeter(Meter):
    """Keeps one number for each 100 ms, not the sound."""

    def __init__(self) -> None:
        self._filters = [(b, a, np.zeros(2)) for b, a in (_shelf(SAMPLE_RATE), _high_pass(SAMPLE_RATE))]
        self._rest = np.zeros(0)
        self._energies: list[float] = []

    def sound(self, samples: Sound) -> None:
        x = samples.astype(np.float64) / 32768
        for number, (b, a, state) in enumerate(self._filters):
            x, state = lfilter(b, a, x, zi=state)
            self._filters[number] = (b, a, state)
        held = np.concatenate([self._rest, x])
        count = len(held) // _HOP
        self._energies += (held[: count * _HOP].reshape(count, _HOP) ** 2).sum(axis=1).tolist()
        self._rest = held[count * _HOP :]

    def finish(self) -> float:
        hops = _BLOCK // _HOP
        if len(self._energies) < hops:
            raise NoValueError("less than 0.4 s of sound")
        power = np.convolve(self._energies, np.ones(hops), mode="valid") / _BLOCK
        loud = power[_lufs(power) > _SILENT]
        if not len(loud):
            raise NoValueError(f"the sound is silent: no block is above {_SILENT:g} LUFS")
        kept = loud[_lufs(loud) > _lufs(loud.mean()) + _RELATIVE]
        return float(_lufs(kept.mean()))


def _lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = _OFFSET + 10 * np.log10(np.maximum(power, 1e-20))
    return found


def _shelf(rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the filter of the head in BS.1770 for a sample rate, by the bilinear transform of its analogue form."""
    gain, q, frequency = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k, high = math.tan(math.pi * frequency / rate), 10 ** (gain / 20)
    middle = high**0.4996667741545416
    norm = 1 + k / q + k * k
    b = [high + middle * k / q + k * k, 2 * (k * k - high), high - middle * k / q + k * k]
    return np.array(b) / norm, np.array([1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm])


def _high_pass(rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the second filter of BS.1770 for a sample rate, by the same transform."""
    q, frequency = 0.5003270373238773, 38.13547087602444
    k = math.tan(math.pi * frequency / rate)
    norm = 1 + k / q + k * k
    return np.array([1.0, -2.0, 1.0]), np.array([1, 2 * (k * k - 1) / norm, (1 - k / q + k * k) / norm])
