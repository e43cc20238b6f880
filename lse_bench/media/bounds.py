"""How far a number in a media file is believed. A clip beyond a bound is refused, and the message names the bound."""

from __future__ import annotations

from fractions import Fraction

MAX_HOLE = 60  # seconds without a picture, or without sound, that are filled with the one before or with silence
MAX_HOLES = 600  # seconds of all holes of a clip together; only those over a second count
MAX_FPS = 1000  # frames per second
MAX_PIXELS = 1 << 26  # of a frame: 8192x8192
MIN_SOUND_RATE, MAX_SOUND_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64
_COUNTED = 1


class Holes:
    """Adds up the holes of one stream. `what`: "picture" or "sound", for the message."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._filled = Fraction(0)

    def refusal(self, begin: Fraction, end: Fraction) -> str | None:
        """The sentence for a clip whose hole from `begin` to `end`, seconds, is one too many; None for one to fill."""
        length = end - begin
        self._filled += length if length > _COUNTED else 0
        if length > MAX_HOLE:
            told = f"no {self._what} from {float(begin):,.2f} to {float(end):,.2f} s; a hole of {MAX_HOLE} s at most"
        elif self._filled > MAX_HOLES:
            lost = f"holes of {float(self._filled):,.0f} s in its {self._what} until {float(end):,.2f} s"
            told = f"{lost}; {MAX_HOLES} s at most"
        else:
            return None
        return f"{told} is filled. Its clock is damaged or parts are missing: write it again from its source, or cut it"
