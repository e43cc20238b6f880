"""Facts that reading a clip finds: counts, rates, warnings and face tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.faces.tracking import Scene
from lse_bench.media.audio import Sound
from lse_bench.media.video import DecodeReport, Frame
from lse_bench.rates import SAMPLES_PER_FRAME

SPARE = 5  # frames: a clip of n frames has n - 5 windows
_CELLS = 28  # side of the grid of mean levels in which pictures are compared
_MOVED = 3.0  # levels of 255: one cell must differ by more than this, which is more than a codec's noise


class Motion:
    """A check whether anything moves in the pictures of a face. `seen` becomes True when something moves."""

    def __init__(self) -> None:
        self.seen = False

    def watch(self) -> Callable[[NDArray[np.uint8]], None]:
        """Return a function to call with each picture of one face, in order. It takes one plane (h,w), uint8."""
        first: NDArray[np.float32] | None = None

        def look(plane: NDArray[np.uint8]) -> None:
            nonlocal first
            if self.seen:
                return
            cells = cv2.resize(plane, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)
            first = cells if first is None else first
            self.seen = bool(np.abs(cells - first).max() > _MOVED)

        return look


class StoppedError(Exception):
    """An exception that ends the reading of a clip whose result is no longer wanted."""


class Watcher:
    """Sees what is read of a clip, beside the network. This base class looks away."""

    def begin(self, rate: Fraction) -> None:
        """Take the frames per second at which the clip is read."""

    def picture(self, picture: av.VideoFrame | Frame) -> None:
        """Take the next picture, decoded, or as BGR uint8 (H,W,3)."""

    def sound(self, samples: Sound) -> None:
        """Take the next samples: int16, 16 kHz, mono."""


@dataclass(slots=True)
class ClipFacts:
    """The facts that reading a clip found.

    `frames`: number of frames that are scored. `samples`: number of 16 kHz samples. `fps`: frame rate of the file, its
    average if the rate is variable. `seconds`: length of the picture at the rate of the file. `sound_stream`: number of
    the stream that is heard, in its file. `conversion_ms`: the delay that the conversion to 25 frames per second added
    to the picture; None if it is not known. `warnings`: sentences for the record. `scene`: shots and face tracks, None
    if faces are not tracked. `parts`: (frames, samples) of each face track. `motion`: whether any face moves.
    `on_step`: called now and then with a short description of the current step. `stopped`: returns True if the result
    is no longer wanted. `number`: the number of the clip in its list. `watcher`: sees pictures and sound.
    """

    frames: int = 0
    samples: int = 0
    fps: float | None = None
    seconds: float | None = None
    sound_stream: int | None = None
    conversion_ms: float | None = 0.0
    warnings: list[str] = field(default_factory=list)
    scene: Scene | None = None
    parts: list[tuple[int, int]] = field(default_factory=list)
    motion: Motion = field(default_factory=Motion)
    on_step: Callable[[str], None] = lambda text: None
    stopped: Callable[[], bool] = lambda: False
    number: int = 0
    watcher: Watcher = field(default_factory=Watcher)

    @property
    def windows(self) -> int:
        """The number of windows: min(frames, samples // 640) - 5, at least 0."""
        return windows_of(self.frames, self.samples)


def conversion_of(report: DecodeReport) -> float:
    """Return the delay in milliseconds that a constant rate added to the picture.

    It is 0 for an evenly spaced clip of that rate. Less than a millisecond comes from rounded time stamps.
    """
    lag = 1000 * report.lag
    return round(lag, 3) if abs(lag) >= 1 else 0.0


def windows_of(frames: int, samples: int) -> int:
    """Return the number of windows of a clip with these counts of frames and 16 kHz samples.

    It is min(frames, samples // 640) - 5, at least 0.
    """
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - SPARE)


def why_too_short(frames: int, samples: int) -> str:
    """Return the reason why a clip or track with these counts has no window."""
    needed = SPARE + 1
    if frames <= samples // SAMPLES_PER_FRAME:
        return f"{frames} frames, but {needed} are needed (0.24 s at 25 fps)"
    return (
        f"the sound has {samples} samples, but {needed * SAMPLES_PER_FRAME} are needed "
        f"(0.24 s at 16 kHz; the picture has {frames} frames)"
    )
