"""Face crops along a track, as SyncNet's pipeline cuts them: smoothed centre and size, more chin than forehead."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from lse_bench.faces.tracks import Track

SIZE = 224  # pixels of a crop's side
MARGIN = 0.4  # of the half size: left and right, and twice of it below
GREY = 110  # what lies outside the frame
_SMOOTHED_OVER = 13  # frames


@dataclass(frozen=True, slots=True)
class CropPath:
    """Where to cut: centres `x`, `y` and half sizes `half`, float64 (n) in pixels, for frames `first`...`first`+n-1."""

    first: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    half: NDArray[np.float64]

    @property
    def stop(self) -> int:
        """The frame after the last."""
        return self.first + len(self.x)


def crop_path(track: Track) -> CropPath:
    """Centres and half sizes of a track's boxes, each smoothed by a median over 13 frames with zeros beyond the ends.

    So a track that begins or ends within six frames of anything is pulled towards 0 there, as published.
    """
    left, top, right, bottom = track.boxes.T
    half = np.maximum(bottom - top, right - left) / 2

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(median_filter(values, size=_SMOOTHED_OVER, mode="constant", cval=0.0), dtype=np.float64)

    return CropPath(track.first, smooth((left + right) / 2), smooth((top + bottom) / 2), smooth(half))


def crop_box(x: float, y: float, half: float) -> tuple[int, int, int, int, int]:
    """Left, top, right, bottom (exclusive) of a crop in the frame bordered on all sides, and the border's width."""
    border = int(half * (1 + 2 * MARGIN))
    x, y = x + border, y + border
    low, high = half * (1 + MARGIN), half * (1 + 2 * MARGIN)
    return int(x - low), int(y - half), int(x + low), int(y + high), border


def crop_face(frame: NDArray[np.uint8], x: float, y: float, half: float) -> NDArray[np.uint8]:
    """The crop of a BGR frame, 224x224; what lies outside the frame is grey. A crop wholly outside is grey all over."""
    left, top, right, bottom, border = crop_box(x, y, half)
    height, width = frame.shape[0], frame.shape[1]
    # The published code borders the whole frame, and slicing ends where the bordered frame does.
    left, top = max(0, left), max(0, top)
    right, bottom = min(right, width + 2 * border), min(bottom, height + 2 * border)
    if right <= left or bottom <= top:
        return np.full((SIZE, SIZE, 3), GREY, np.uint8)
    crop = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    x0, y0 = left - border, top - border  # of the crop's corner, in the frame
    seen = frame[max(0, y0) : max(0, bottom - border), max(0, x0) : max(0, right - border)]
    crop[max(0, -y0) : max(0, -y0) + seen.shape[0], max(0, -x0) : max(0, -x0) + seen.shape[1]] = seen
    return np.asarray(cv2.resize(crop, (SIZE, SIZE)), dtype=np.uint8)
