"""The gap between the lips against the sound: still lips in silence, closed lips at p, b and m."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lse_bench.measures.interface import Measure, MeasuredClip, Meter, Need, NoValueError, Phoneme
from lse_bench.measures.landmarks import eye_distance, refuse_few
from lse_bench.measures.phonemes import is_open, lips_close
from lse_bench.rates import FPS

Points = NDArray[np.float64]

_INNER = ((61, 67), (62, 66), (63, 65))  # pairs of points of the upper and the lower lip
_RIGID = ((27, 30), (27, 33), (39, 42), (36, 45), (30, 33))  # pairs whose distance speech does not move
_SHORTEST = 0.3  # seconds of a silence that counts
_EDGE = 3  # frames at both ends of a silence, in which lips finish and prepare speech
_SIGMAS = 3.0
_LEAST_FRAMES = 5  # of silence
_AROUND = 0.04  # seconds around a phoneme in which its closure may fall


def lip_gap(points: Points) -> float:
    """Return the mean gap between the inner lips of 68 landmarks (68,2), in eye distances."""
    gaps = [np.linalg.norm(points[upper] - points[lower]) for upper, lower in _INNER]
    return float(np.mean(gaps)) / eye_distance(points)


class _GapMeter(Meter):
    """Collects the lip gap of every frame; NaN where no face was found."""

    def __init__(self) -> None:
        self._gaps: list[float] = []
        self._rigid: list[list[float]] = []

    def landmarks(self, points: Points | None, original: Points | None) -> None:
        if points is None or eye_distance(points) == 0:
            self._gaps.append(np.nan)
            self._rigid.append([np.nan] * len(_RIGID))
            return
        self._gaps.append(lip_gap(points))
        apart = [float(np.linalg.norm(points[one] - points[other])) for one, other in _RIGID]
        self._rigid.append([value / eye_distance(points) for value in apart])

    def finish(self) -> float:
        gaps = np.array(self._gaps)
        refuse_few(int(np.isfinite(gaps).sum()), len(gaps))
        return self._value(gaps)

    @abstractmethod
    def _value(self, gaps: NDArray[np.float64]) -> float:
        """Return the value from the gap of every frame."""


class Silence(Measure):
    """Share of silent frames in which the lips move more than the camera's noise (lip leakage). Lower is better."""

    name = "silence"
    needs: frozenset[Need] = frozenset({"frames", "sound", "landmarks", "voice activity"})
    higher_is_better = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    sources = ("silent-lip stability and lip leakage of the audio-visual sync audits of 2025 and 2026",)
    deviations = (
        "Noise is not a fixed number: it is how far distances between eyes and nose, which speech does not move, stray "
        "in the same silent frames. A gap that strays more than three times as far from the silence's median moves."
    )

    @property
    def settings(self) -> dict[str, str]:
        return {"least": f"{_SHORTEST:g}s", "edge": str(_EDGE), "sigmas": f"{_SIGMAS:g}"}

    def start(self, clip: MeasuredClip) -> Meter:
        return _SilenceMeter()


class _SilenceMeter(_GapMeter):
    def __init__(self) -> None:
        super().__init__()
        self._pieces = np.zeros((0, 2))

    def speech(self, pieces: NDArray[np.float64]) -> None:
        self._pieces = pieces

    def _value(self, gaps: NDArray[np.float64]) -> float:
        silences = silent_frames(self._pieces, len(gaps))
        rigid = np.array(self._rigid)
        strayed, noise = [], []
        for part in silences:
            seen = part[np.isfinite(gaps[part])]
            if len(seen):
                strayed.append(gaps[seen] - np.median(gaps[seen]))
                noise.append(rigid[seen] - np.median(rigid[seen], axis=0))
        if sum(map(len, strayed)) < _LEAST_FRAMES:
            raise NoValueError(f"no silence of {_SHORTEST:g} s or more with a face in it")
        sigma = float(np.sqrt(np.mean(np.concatenate(noise) ** 2)))
        moved = np.abs(np.concatenate(strayed)) > _SIGMAS * sigma
        return float(np.mean(moved))


def silent_frames(pieces: NDArray[np.float64], frames: int) -> list[NDArray[np.intp]]:
    """Return the frames of each silence of 0.3 s or more, without three frames at both ends.

    `pieces`: the speech (N,2), in seconds. `frames`: the number of frames, 25 a second.
    """
    ends = [0.0, *pieces[:, 1].tolist()]
    starts = [*pieces[:, 0].tolist(), frames / FPS]
    found = []
    for begin, end in zip(ends, starts, strict=True):
        if end - begin < _SHORTEST:
            continue
        first = int(np.ceil(begin * FPS)) + (_EDGE if begin > 0 else 0)
        stop = min(frames, int(np.floor(end * FPS)) - (_EDGE if end < frames / FPS else 0))
        if stop > first:
            found.append(np.arange(first, stop))
    return found


class Closure(Measure):
    """The lip gap at p, b and m over that in open vowels: 0 when lips close, 1 when they stay as open as in vowels."""

    name = "closure"
    needs: frozenset[Need] = frozenset({"frames", "landmarks", "phonemes"})
    higher_is_better = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    sources = ("bilabial closure in the audio-visual sync audits of 2025 and 2026",)
    deviations = "The gap at a closure is the smallest within 40 ms of the phoneme; the gap of a vowel is its largest."

    @property
    def settings(self) -> dict[str, str]:
        return {"around": f"{_AROUND:g}s"}

    def start(self, clip: MeasuredClip) -> Meter:
        return _ClosureMeter()


class _ClosureMeter(_GapMeter):
    def __init__(self) -> None:
        super().__init__()
        self._spoken: Sequence[Phoneme] = ()

    def phonemes(self, spoken: Sequence[Phoneme]) -> None:
        self._spoken = spoken

    def _value(self, gaps: NDArray[np.float64]) -> float:
        closed = [np.nanmin(part) for part in self._parts(gaps, lips_close)]
        opened = [np.nanmax(part) for part in self._parts(gaps, is_open)]
        if not closed or not opened:
            raise NoValueError(f"{len(closed)} p, b or m and {len(opened)} open vowels; one of each is needed")
        wide = float(np.mean(opened))
        if wide <= 0:
            raise NoValueError("the lips never open")
        return float(np.mean(closed)) / wide

    def _parts(self, gaps: NDArray[np.float64], wanted: Callable[[str], bool]) -> list[NDArray[np.float64]]:
        """Return the gaps during each phoneme that is wanted."""
        middles = (np.arange(len(gaps)) + 0.5) / FPS
        found = []
        for one in self._spoken:
            if wanted(one.name):
                part = gaps[(middles >= one.start - _AROUND) & (middles <= one.end + _AROUND)]
                if np.isfinite(part).any():
                    found.append(part)
        return found
