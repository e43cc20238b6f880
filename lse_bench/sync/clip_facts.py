"""What reading a clip finds: counts, rates, warnings, face tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.faces.tracking import Scene
from lse_bench.media.audio import SAMPLE_RATE
from lse_bench.sync.protocol import FPS

SAMPLES_PER_FRAME = SAMPLE_RATE // int(FPS)
SPARE = 5  # frames: a clip of n frames has n - 5 windows
_CELLS = 28  # a side of the grid in which a picture's mean levels are compared
_MOVED = 3.0  # levels of 255 by which one of them must differ: more than a codec's noise


class Motion:
    """Whether anything has moved in the pictures of a face."""

    def __init__(self) -> None:
        self.seen = False

    def watch(self) -> Callable[[NDArray[np.uint8]], None]:
        """What is to be shown the pictures of one face in order: one plane, (h,w)."""
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
    """Reading was given up because nobody waits for the clip any more."""


@dataclass(slots=True)
class ClipFacts:
    """What reading found. `frames`: as scored; `fps`: of the file; `seconds`: length of the picture at that rate.

    `scene`: shots and face tracks under tracked protocols, `parts` frames and samples of each track. `motion`: whether
    any face moves. `on_step` is told in a few words what is being done, now and then. `stopped`: whether nobody waits
    for the clip any more.
    """

    frames: int = 0
    samples: int = 0
    fps: float | None = None
    seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    scene: Scene | None = None
    parts: list[tuple[int, int]] = field(default_factory=list)
    motion: Motion = field(default_factory=Motion)
    on_step: Callable[[str], None] = lambda text: None
    stopped: Callable[[], bool] = lambda: False

    @property
    def windows(self) -> int:
        """min(frames, samples // 640) - 5, never below 0."""
        return windows_of(self.frames, self.samples)


def windows_of(frames: int, samples: int) -> int:
    """How many windows so many frames and 16 kHz samples have: min(frames, samples // 640) - 5, never below 0."""
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - SPARE)


def why_too_short(frames: int, samples: int) -> str:
    """A sentence for a clip or track without a window."""
    needed = SPARE + 1
    if frames <= samples // SAMPLES_PER_FRAME:
        return f"{frames} frames, {needed} are needed (0.24 s at 25 fps)"
    return (
        f"the sound lasts {samples} samples, {needed * SAMPLES_PER_FRAME} are needed "
        f"(0.24 s at 16 kHz; the picture has {frames} frames)"
    )
