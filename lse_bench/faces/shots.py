"""Find cuts between shots as SyncNet's pipeline does: PySceneDetect 0.5.1's content detector with default settings.

A cut is a frame with a mean absolute difference of 30 or more from the frame before it, over hue, saturation and value.
It is at least 15 frames after the previous cut. Later releases of PySceneDetect use another threshold (27), another
scaling and another rule for short shots, so they find other cuts.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

THRESHOLD = 30.0  # mean difference, 0-255
SHORTEST = 15  # frames between two cuts
# Frames of at least this width are reduced to every n-th pixel in both directions.
_THINNING = ((3200, 12), (2100, 8), (1700, 6), (1200, 5), (900, 4), (600, 3), (400, 2))


class ShotDetector:
    """A shot detector that receives BGR frames in order and keeps one of them in memory.

    `cuts`: the first frame of every shot but the first.
    """

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._frames = 0
        self._last: NDArray[np.int32] | None = None

    def push(self, frame: NDArray[np.uint8]) -> bool:
        """Process the next frame and return whether it begins a new shot."""
        thin = next((n for width, n in _THINNING if frame.shape[1] >= width), 1)
        hsv = cv2.cvtColor(np.ascontiguousarray(frame[::thin, ::thin]), cv2.COLOR_BGR2HSV).astype(np.int32)
        cut = False
        if self._last is not None and self._last.shape == hsv.shape:
            changed = float(np.abs(hsv - self._last).mean()) >= THRESHOLD
            cut = changed and (not self.cuts or self._frames - self.cuts[-1] >= SHORTEST)
        if cut:
            self.cuts.append(self._frames)
        self._last = hsv
        self._frames += 1
        return cut

    def shots(self) -> list[tuple[int, int]]:
        """Return the shots so far, each as its first frame and the frame after its last."""
        edges = [0, *self.cuts, self._frames]
        return [(first, stop) for first, stop in pairwise(edges) if stop > first]
