"""Known damage of the sound of a clip. Sound is mono, int16, 16 kHz; its length stays the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

from lse_bench.rates import SAMPLE_RATE

Sound = NDArray[np.int16]
_WORD = 0.3  # seconds: about as long as a word
_CUT = 0.1  # seconds: how far from there a quiet place is searched
_LOOK = 160  # samples over which quietness is measured


def later(sound: Sound, seconds: float) -> Sound:
    """Delay the sound. It begins with silence, and its end is cut off. Negative `seconds` bring it forward."""
    shift = round(abs(seconds) * SAMPLE_RATE)
    silence = np.zeros(min(shift, len(sound)), np.int16)
    kept = len(sound) - len(silence)
    parts = [silence, sound[:kept]] if seconds >= 0 else [sound[len(sound) - kept :], silence]
    return np.concatenate(parts)


def drifting(sound: Sound, seconds: float) -> Sound:
    """Let the sound fall behind evenly, as with a wrong clock: by 0 at its start and by `seconds` at its end."""
    if not len(sound) or not seconds:
        return sound.copy()
    share = 1 - seconds * SAMPLE_RATE / len(sound)
    places = np.arange(len(sound)) * max(0.0, share)
    return _whole(np.interp(places, np.arange(len(sound)), sound.astype(np.float64)))


def muted(sound: Sound, share: float, rng: np.random.Generator) -> Sound:
    """Silence one piece. `share`: its part of the length. Larger shares contain smaller ones of the same `rng`."""
    damaged = sound.copy()
    damaged[piece(len(sound), share, rng)] = 0
    return damaged


def replaced(sound: Sound, other: Sound, share: float, rng: np.random.Generator) -> Sound:
    """Put the sound of another clip, as loud, in the place of one piece. `share`: its part of the length.

    Raises ValueError if `other` is empty.
    """
    if not len(other):
        raise ValueError("the sound of the other clip is empty")
    loud = [float(np.sqrt(np.mean(np.square(one, dtype=np.float64)))) for one in (sound, other)]
    there = np.resize(other, len(sound)) * (loud[0] / loud[1] if loud[1] else 1.0)
    part, damaged = piece(len(sound), share, rng), sound.copy()
    damaged[part] = _whole(there[part])
    return damaged


def shuffled(sound: Sound, share: float, rng: np.random.Generator) -> Sound:
    """Exchange words: the sound is cut at quiet places every 0.3 s or so, and a share of the pieces changes places."""
    pieces = np.split(sound, _quiet_places(sound))
    order = rng.permutation(len(pieces))
    count = round(share * len(pieces))
    if count < 2:
        return sound.copy()
    chosen = order[:count]
    found = list(pieces)
    for place, source in zip(chosen, np.roll(chosen, 1), strict=True):
        found[place] = pieces[source]
    return np.concatenate(found)


def louder(sound: Sound, decibels: float) -> Sound:
    """Apply a gain. Samples beyond 16 bits are clipped."""
    return _whole(sound * 10 ** (decibels / 20))


def through_8_khz(sound: Sound) -> Sound:
    """Resample the sound to 8 kHz, the rate of a telephone, and back."""
    halved = resample_poly(sound.astype(np.float64), 1, 2)
    return _whole(resample_poly(halved, 2, 1)[: len(sound)])


def noisy(sound: Sound, decibels: float, rng: np.random.Generator) -> Sound:
    """Add white noise. `decibels`: how far the noise lies below the sound's mean power."""
    power = float(np.mean(np.square(sound, dtype=np.float64))) if len(sound) else 0.0
    noise = rng.standard_normal(len(sound)) * np.sqrt(power * 10 ** (-decibels / 10))
    return _whole(sound + noise)


def reverberant(sound: Sound, seconds: float, rng: np.random.Generator) -> Sound:
    """Add the reverberation of a room, as loud as the sound itself. It falls by 60 dB in `seconds`."""
    length = round(seconds * SAMPLE_RATE)
    room = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    room /= np.sqrt(np.sum(room**2))
    return _whole(sound + fftconvolve(sound.astype(np.float64), room)[: len(sound)])


def piece(length: int, share: float, rng: np.random.Generator) -> slice:
    """Return a piece of `length` things. With equal `rng`, the piece of a larger share contains that of a smaller."""
    centre, size = float(rng.random()) * length, round(share * length)
    start = min(max(0, round(centre - size / 2)), length - size)
    return slice(start, start + size)


def _quiet_places(sound: Sound) -> list[int]:
    """Return the samples at which the sound is cut, one about every 0.3 s."""
    power = np.convolve(np.square(sound, dtype=np.float64), np.ones(_LOOK), mode="same")
    step, reach = round(_WORD * SAMPLE_RATE), round(_CUT * SAMPLE_RATE)
    wanted = range(step, len(sound) - reach, step)
    return [place - reach + int(np.argmin(power[place - reach : place + reach])) for place in wanted]


def _whole(values: NDArray[np.floating]) -> Sound:
    whole: Sound = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    return whole
