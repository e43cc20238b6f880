"""Known damage of clips: the table of what is done to picture and sound, in steps.

A damage is something a measure should see, and more of it makes a clip worse. A *nuisance* is something a measure
should not see, such as another bit rate.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import cv2
import numpy as np

from lse_bench.damage import motion, sounds
from lse_bench.damage.pictures import Box, Picture, soft_mouth
from lse_bench.damage.sounds import Sound
from lse_bench.media.writer import VIDEO_QUALITY

VERSION = 1  # raised by everything that changes a damaged clip
Rng = np.random.Generator
Sense = Literal["picture", "sound"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What damage knows of a clip. `frames`: their number. `box`: the face's. `other`: the sound of another clip."""

    frames: int
    box: Box
    other: Sound


Pictures = Callable[[Iterable[Picture], Facts, float, Rng], Iterable[Picture]]
Sounds = Callable[[Sound, Facts, float, Rng], Sound]


@dataclass(frozen=True, slots=True)
class Damage:
    """One kind of damage, or one nuisance.

    `name`: its name in tables and ids. `what`: a description. `touches`: picture, sound or both. `steps`: the amounts,
    each larger than the one before; amount 0 is no damage. `unit`: of the amounts. `pictures`, `sound`: what is done;
    None for nothing. `quality`: x264's constant rate factor of the copy. `part`: start and end of the part that is
    scored, as shares of the clip; None for the whole clip. `delays`: whether the amounts are seconds of delay, of which
    a clip takes no more than a share of its length. `mouth`: whether it is done to the mouth, so that the face's box is
    needed. `borrows`: whether it uses the sound of another clip.
    """

    name: str
    what: str
    touches: frozenset[Sense]
    steps: tuple[float, ...] = (1.0,)
    unit: str = ""
    pictures: Pictures | None = None
    sound: Sounds | None = None
    quality: int = VIDEO_QUALITY
    part: tuple[float, float] | None = None
    delays: bool = False
    mouth: bool = False
    borrows: bool = False

    def rng(self, clip: str) -> Rng:
        """Return the random numbers of a clip. They are the same for all amounts, so that more damage contains less."""
        return np.random.default_rng([VERSION, zlib.crc32(self.name.encode()), zlib.crc32(clip.encode())])


_PICTURE: frozenset[Sense] = frozenset({"picture"})
_SOUND: frozenset[Sense] = frozenset({"sound"})
_SHARES = (0.1, 0.5, 1.0)
_NEAR, _FAR = (0.08, 0.2, 0.4), (0.8, 1.6, 2.4)  # seconds, within and beyond LSE's search of 0.6 s


def _each(look: Callable[[Picture], Picture]) -> Pictures:
    return lambda frames, facts, amount, rng: map(look, frames)


def _heard(change: Callable[[Sound, float], Sound]) -> Sounds:
    return lambda sound, facts, amount, rng: change(sound, amount)


def _delay(name: str, what: str, steps: tuple[float, ...], sign: int) -> Damage:
    shifted = _heard(lambda sound, amount: sounds.later(sound, sign * amount))
    return Damage(name, what, _SOUND, steps, "s", sound=shifted, delays=True)


def _soft(frames: Iterable[Picture], facts: Facts, amount: float, rng: Rng) -> Iterator[Picture]:
    for frame in frames:
        yield soft_mouth(frame, facts.box, amount, rng)


ORACLE: MappingProxyType[str, Damage] = MappingProxyType(
    {
        one.name: one
        for one in (
            _delay("late", "the sound comes late", _NEAR, 1),
            _delay("early", "the sound comes early", _NEAR, -1),
            _delay("late-far", "the sound comes late by more than 0.6 s", _FAR, 1),
            _delay("early-far", "the sound comes early by more than 0.6 s", _FAR, -1),
            Damage(
                "drift",
                "the sound falls behind evenly, by so much at the end",
                _SOUND,
                (0.1, 0.3, 0.9),
                "s",
                sound=_heard(sounds.drifting),
                delays=True,
            ),
            Damage(
                "speed",
                "the picture runs faster, and its middle stays in place",
                _PICTURE,
                (0.05, 0.15, 0.4),
                "share",
                pictures=lambda frames, facts, amount, rng: motion.hastened(frames, facts.frames, amount),
            ),
            Damage(
                "mute",
                "a piece of the sound is silent",
                _SOUND,
                (0.1, 0.25, 0.5),
                "share",
                sound=lambda sound, facts, amount, rng: sounds.muted(sound, amount, rng),
            ),
            Damage(
                "shuffle",
                "words change places",
                _SOUND,
                (0.25, 0.5, 1.0),
                "share",
                sound=lambda sound, facts, amount, rng: sounds.shuffled(sound, amount, rng),
            ),
            Damage(
                "other-sound",
                "a piece of the sound is that of another clip",
                _SOUND,
                _SHARES,
                "share",
                sound=lambda sound, facts, amount, rng: sounds.replaced(sound, facts.other, amount, rng),
                borrows=True,
            ),
            Damage(
                "drop",
                "frames are lost, and the frame before stays",
                _PICTURE,
                (0.1, 0.25, 0.5),
                "share",
                pictures=lambda frames, facts, amount, rng: motion.dropped(frames, facts.frames, amount, rng),
            ),
            Damage(
                "soft-mouth",
                "the lower face is blurred; 1 is a sigma of 4 % of the face's width",
                _PICTURE,
                (0.25, 0.5, 1.0),
                "strength",
                pictures=_soft,
                mouth=True,
            ),
            Damage(
                "frozen-mouth",
                "the lower face stands still",
                _PICTURE,
                _SHARES,
                "share",
                pictures=lambda frames, facts, amount, rng: motion.frozen_mouth(
                    frames, facts.frames, facts.box, amount, rng
                ),
                mouth=True,
            ),
        )
    }
)


def tighter(frame: Picture, share: float = 0.04) -> Picture:
    """Cut off `share` of the width and height on each side of a frame and scale the rest to the old size."""
    height, width = frame.shape[:2]
    y, x = round(height * share), round(width * share)
    cut = frame[y : height - y, x : width - x]
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def moved(frame: Picture, share: float = 0.03) -> Picture:
    """Move a frame to the right and down by `share` of its size. The edge pixels are repeated in the gap."""
    height, width = frame.shape[:2]
    shift = np.array([[1, 0, round(width * share)], [0, 1, round(height * share)]], dtype=np.float32)
    return np.asarray(cv2.warpAffine(frame, shift, (width, height), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


def enlarged(frame: Picture, factor: float = 1.5) -> Picture:
    """Return a frame of `factor` times the size, with even sides."""
    height, width = (2 * round(side * factor / 2) for side in frame.shape[:2])
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def darker(frame: Picture, gain: float = 0.75) -> Picture:
    """Return a frame in less light."""
    return np.asarray(cv2.convertScaleAbs(frame, alpha=gain), dtype=np.uint8)


AGAIN = "written-again"
NUISANCES: MappingProxyType[str, Damage] = MappingProxyType(
    {
        one.name: one
        for one in (
            Damage(AGAIN, "only written again, as all copies are", frozenset({"picture", "sound"})),
            Damage("crop", "a crop that is 4 % tighter on each side", _PICTURE, pictures=_each(tighter)),
            Damage("shift", "a crop that is moved by 3 %", _PICTURE, pictures=_each(moved)),
            Damage("scale", "1.5 times the size", _PICTURE, pictures=_each(enlarged)),
            Damage("mirror", "left and right exchanged", _PICTURE, pictures=_each(partial(cv2.flip, flipCode=1))),
            Damage("dark", "a quarter less light", _PICTURE, pictures=_each(darker)),
            Damage("crf-35", "x264 at constant rate factor 35", _PICTURE, quality=35),
            Damage(
                "mpeg4",
                "MPEG-4 part 2 at 200 kb/s",
                _PICTURE,
                pictures=lambda frames, facts, amount, rng: motion.through_codec(frames, "mpeg4", 200_000),
            ),
            Damage(
                "film-rate",
                "through 24 frames a second and back",
                _PICTURE,
                pictures=lambda frames, facts, amount, rng: motion.through_film_rate(frames, facts.frames),
            ),
            Damage("softer", "sound 6 dB softer", _SOUND, sound=_heard(lambda sound, _: sounds.louder(sound, -6))),
            Damage("louder", "sound 6 dB louder", _SOUND, sound=_heard(lambda sound, _: sounds.louder(sound, 6))),
            Damage(
                "telephone", "sound through 8 kHz", _SOUND, sound=_heard(lambda sound, _: sounds.through_8_khz(sound))
            ),
            Damage(
                "noise",
                "white noise 20 dB below the sound",
                _SOUND,
                sound=lambda sound, facts, amount, rng: sounds.noisy(sound, 20, rng),
            ),
            Damage(
                "room",
                "reverberation of 0.3 s",
                _SOUND,
                sound=lambda sound, facts, amount, rng: sounds.reverberant(sound, 0.3, rng),
            ),
            Damage("first-part", "only the first 60 %", frozenset({"picture", "sound"}), part=(0.0, 0.6)),
            Damage("last-part", "only the last 60 %", frozenset({"picture", "sound"}), part=(0.4, 1.0)),
        )
    }
)
