"""Check every generated video before its job counts as done.

The video is decoded once. Its sound and duration are compared with the job. Sounds are compared by the correlation of
their samples at the best lag within one second. Gain and an encoder's priming (1,024 or 2,048 samples before AAC sound)
therefore make no difference. Silent sounds are compared by their peak level.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate

from lse_bench.errors import ClipError
from lse_bench.manifests.generated import Fault, Look
from lse_bench.media.audio import Sound, read_sound
from lse_bench.media.probe import MediaInfo, probe
from lse_bench.media.video import DecodeReport, decode
from lse_bench.rates import SAMPLE_RATE

SAME_SOUND = 0.5  # correlation: encoding leaves more than 0.9, and another sentence has less than 0.2
LAG = 0.04  # seconds of lag that give no warning: one frame
FARTHEST = 1.0  # seconds: the largest lag that is tried
SHORT = 0.25  # seconds by which picture or sound may be too short: padding of two AAC frames, or six pictures
LONG = 0.5
COMPARED = 120  # seconds of sound that are compared
SILENT = 33  # of 32767: a peak of -60 dB


def look_at(path: Path, sound: Sound, source: Path) -> tuple[Look, list[str]]:
    """Check a video that should have the sound `sound` and a picture made from `source`.

    Returns the result and the warnings for the job's row. Raises ClipError `empty_output` if the video has no picture
    or no sound, or if it cannot be decoded, and `unreadable` if it is no media file.
    """
    info, report = probe(path), DecodeReport()
    if info.video is None or info.sound is None:
        raise ClipError(path, "empty_output", f"the video has no {'picture' if info.video is None else 'sound'}")
    try:
        frames, seconds = _watch(info, report)
        heard = _samples(info, report)
    except ClipError as error:
        raise ClipError(path, "empty_output", f"the video cannot be decoded: {error.reason}") from None
    correlation, lag = compare(heard, sound)
    faults: list[Fault] = []
    warnings = []
    asked = min(len(sound) / SAMPLE_RATE, _seconds(source))
    if _foreign(heard, sound, correlation):
        faults.append("foreign_sound")
        told = "silent" if correlation is None else f"correlation {correlation:.2f}"
        warnings.append(f"foreign sound: the video's sound is not the job's ({told}); its scores are meaningless")
    elif lag is not None and abs(lag) > LAG:
        where = "late" if lag > 0 else "early"
        warnings.append(f"sound {abs(lag):.3f} s {where}: the job's sound is shifted in the video")
    whole = len(sound) / SAMPLE_RATE
    parts: tuple[tuple[str, Fault, float], ...] = (
        ("picture", "short_picture", seconds),
        ("sound", "short_sound", len(heard) / SAMPLE_RATE),
    )
    for what, fault, found in parts:
        if found < asked - SHORT:
            faults.append(fault)
            warnings.append(f"{what} of {found:.2f} s where {asked:.2f} s were required: short clips score better")
        elif found > whole + LONG:
            warnings.append(f"{what} of {found:.2f} s, but the job's sound has {whole:.2f} s")
    if asked < whole - SHORT and "short_picture" not in faults and seconds < whole - SHORT:
        warnings.append(f"the picture ends with its source after {seconds:.2f} s; the job's sound has {whole:.2f} s")
    warnings += report.damage()
    look = Look(
        frames=frames,
        seconds=round(seconds, 3),
        sound_seconds=round(len(heard) / SAMPLE_RATE, 3),
        correlation=None if correlation is None else round(correlation, 3),
        lag_ms=None if lag is None else round(1000 * lag, 1),
        faults=tuple(faults),
    )
    return look, warnings


def compare(heard: Sound, asked: Sound) -> tuple[float | None, float | None]:
    """Return the absolute correlation of two sounds at the best lag (0-1), and this lag in seconds.

    The lag is positive if `heard` comes late. Both values are None if either sound is silent. Only the first two
    minutes of a sound are compared.
    """
    most = COMPARED * SAMPLE_RATE
    one, other = (sound[:most].astype(np.float64) for sound in (heard, asked))
    if _silent(heard[:most]) or _silent(asked[:most]):
        return None, None
    products = correlate(one, other, mode="full", method="fft")
    lags = np.arange(len(products)) - (len(other) - 1)
    near = np.flatnonzero(np.abs(lags) <= FARTHEST * SAMPLE_RATE)
    lag = int(lags[near[np.argmax(np.abs(products[near]))]])
    a, b = one[max(0, lag) :], other[max(0, -lag) :]
    count = min(len(a), len(b))
    a, b = a[:count], b[:count]
    size = float(np.sqrt((a @ a) * (b @ b)))
    return (abs(float(a @ b)) / size if size else 0.0), lag / SAMPLE_RATE


def _foreign(heard: Sound, asked: Sound, correlation: float | None) -> bool:
    if correlation is None:
        return _silent(heard) != _silent(asked)
    return correlation < SAME_SOUND


def _silent(sound: NDArray[np.int16]) -> bool:
    return int(np.abs(sound.astype(np.int32)).max(initial=0)) < SILENT


def _watch(info: MediaInfo, report: DecodeReport) -> tuple[int, float]:
    """Return the number of frames that can be decoded, and the time in seconds at which the last one ends."""
    frames, end = 0, 0.0
    for frame in decode(info, report):
        frames += 1
        end = max(end, (frame.time + frame.duration) / frame.base)
    return frames, end


def _samples(info: MediaInfo, report: DecodeReport) -> Sound:
    return np.concatenate(list(read_sound(info, report)))


def _seconds(source: Path) -> float:
    """Return the time in seconds at which the source's picture ends, or 0 if it has none."""
    video = probe(source).video
    return 0.0 if video is None else video.start + video.seconds
