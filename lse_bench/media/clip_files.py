"""The files of one clip: a video, perhaps another file whose sound is heard, and the part of both that counts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lse_bench.errors import ClipError, UsageError
from lse_bench.rates import SAMPLE_RATE

_LATEST = 1_000_000  # seconds: eleven days


@dataclass(frozen=True, slots=True)
class ClipFiles:
    """A clip as it lies on the disk.

    `path`: the video. `sound`: the file whose sound is heard, None for the video's own sound. `start`, `end`: the part
    that counts, in seconds from the start of both files, None for their beginning and their end. They are rounded to
    whole frames, so picture and sound keep their relation. Raises UsageError if `start` is negative or non-finite, or
    if `end` is not above `start`.
    """

    path: Path
    sound: Path | None = None
    start: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        start = 0.0 if self.start is None else self.start
        if not 0 <= start < float("inf"):
            raise UsageError(f"start = {self.start}: a part starts at 0 s or later")
        if self.end is not None and not start < self.end < float("inf"):
            raise UsageError(f"end = {self.end}: a part ends after its start, {start:g} s")
        if max(start, self.end or 0.0) > _LATEST:
            raise UsageError(f"start = {self.start}, end = {self.end}: at most {_LATEST:,} s are counted")

    @property
    def whole(self) -> bool:
        """Whether the whole files count."""
        return self.start is None and self.end is None

    @property
    def heard(self) -> Path:
        """The file whose sound is heard."""
        return self.path if self.sound is None else self.sound


def files_of(clip: ClipFiles | Path) -> ClipFiles:
    """Return the files of a clip. A path stands for the whole video with its own sound."""
    return ClipFiles(clip) if isinstance(clip, Path) else clip


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a clip as frames and samples.

    `first`, `stop`: the frames, counted at the rate at which they are read, `stop` exclusive. `first_sample`,
    `stop_sample`: the 16 kHz samples. `stop` and `stop_sample` are None for the end of the file.
    """

    first: int = 0
    stop: int | None = None
    first_sample: int = 0
    stop_sample: int | None = None

    def seconds(self, whole: float, rate: Fraction) -> float:
        """Return the length of the part of a picture that is `whole` seconds long. `rate`: frames per second."""
        stop = whole if self.stop is None else min(whole, float(self.stop / rate))
        return max(0.0, stop - float(self.first / rate))


def part_of(clip: ClipFiles, length: float, rate: Fraction) -> Part:
    """Return the part of a clip that counts.

    `length`: the time, in seconds, at which the picture ends. `rate`: frames per second at which it is read. Raises
    ClipError `too_short` if the part lies behind the end of the picture.
    """
    first = 0 if clip.start is None else round(clip.start * rate)
    stop = None if clip.end is None else round(clip.end * rate)
    if first and float(first / rate) >= length:
        raise ClipError(
            clip.path, "too_short", f"the part starts at {clip.start:g} s, but the picture ends at {length:.2f} s"
        )
    return Part(first, stop, _sample(first, rate), None if stop is None else _sample(stop, rate))


def _sample(frame: int, rate: Fraction) -> int:
    return round(frame / rate * SAMPLE_RATE)
