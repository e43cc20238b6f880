"""Define bounds for the numbers in a media file. A clip beyond a bound is refused, and the message names the bound."""

from __future__ import annotations

from fractions import Fraction

MAX_HOLE = 60  # seconds without a picture or sound that are filled, with the last picture or with silence
MAX_HOLES = 600  # seconds of all holes of a stream together; only holes over a second count
MAX_FPS = 1000  # frames per second
MAX_PIXELS = 1 << 26  # pixels of a frame: 8192x8192
MIN_SOUND_RATE, MAX_SOUND_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64
_COUNTED = 1  # seconds: shorter holes are not summed


class Holes:
    """A counter of the holes of one stream. `what`: "picture" or "sound", for messages."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._filled = Fraction(0)

    def refusal(self, begin: int, end: int, base: int) -> str | None:
        """Count the hole from `begin` to `end`. Return why the clip is refused, None if it is accepted.

        `base`: how many of their units make a second.
        """
        length = end - begin
        if length <= _COUNTED * base:
            return None
        self._filled += Fraction(length, base)
        if length > MAX_HOLE * base:
            told = (
                f"no {self._what} from {begin / base:,.2f} to {end / base:,.2f} s; a hole may last at most {MAX_HOLE} s"
            )
        elif self._filled > MAX_HOLES:
            lost = f"holes of {float(self._filled):,.0f} s in its {self._what} until {end / base:,.2f} s"
            told = f"{lost}; all holes together may last at most {MAX_HOLES} s"
        else:
            return None
        return f"{told}. Time stamps are damaged or parts are missing: write the file again from its source, or cut it"
