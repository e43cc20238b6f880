"""Cut face crops along a track as SyncNet's pipeline does, with smoothed centre and size.

A crop contains more of the area below the face than of the area above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.faces.tracks import Track

SIZE = 224  # pixels of a crop's side
MARGIN = 0.4  # fraction of the half size that is added left and right; twice as much is added below
GREY = 110  # value of pixels outside the frame
_SMOOTHED_OVER = 13  # frames


@dataclass(frozen=True, slots=True)
class CropPath:
    """The path of the crops of one track.

    `first`: the first frame. `x`, `y`: centres, and `half`: half sizes, float64 (n) in pixels, for the frames `first`
    to `first`+n-1.
    """

    first: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    half: NDArray[np.float64]

    @property
    def stop(self) -> int:
        """The number of the frame after the last one."""
        return self.first + len(self.x)


def crop_path(track: Track) -> CropPath:
    """Return the centres and half sizes of a track's boxes, smoothed by a median over 13 frames.

    The median takes zeros beyond the ends of the track. In the first and last six frames the values are therefore
    biased towards 0, as in the published code.
    """
    from scipy.ndimage import median_filter

    left, top, right, bottom = track.boxes.T
    half = np.maximum(bottom - top, right - left) / 2

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(median_filter(values, size=_SMOOTHED_OVER, mode="constant", cval=0.0), dtype=np.float64)

    return CropPath(track.first, smooth((left + right) / 2), smooth((top + bottom) / 2), smooth(half))


def crop_box(x: float, y: float, half: float) -> tuple[int, int, int, int, int]:
    """Return left, top, right, bottom of a crop in the bordered frame, and the width of the border.

    All values are whole pixels. Right and bottom are exclusive. The border lies on all four sides of the frame.
    """
    border = int(half * (1 + 2 * MARGIN))
    x, y = x + border, y + border
    low, high = half * (1 + MARGIN), half * (1 + 2 * MARGIN)
    return int(x - low), int(y - half), int(x + low), int(y + high), border


def crop_face(frame: NDArray[np.uint8], x: float, y: float, half: float) -> NDArray[np.uint8]:
    """Return the crop of a BGR frame, uint8 (224,224,3). Pixels outside the frame are grey.

    `x`, `y`: the centre, and `half`: the half size, in pixels of the frame.
    """
    left, top, right, bottom, border = crop_box(x, y, half)
    height, width = frame.shape[0], frame.shape[1]
    # The published code adds a border to the whole frame, and its slices end at the edge of the bordered frame.
    left, top = max(0, left), max(0, top)
    right, bottom = min(right, width + 2 * border), min(bottom, height + 2 * border)
    if right <= left or bottom <= top:
        return np.full((SIZE, SIZE, 3), GREY, np.uint8)
    crop = np.full((bottom - top, right - left, 3), GREY, np.uint8)
    x0, y0 = left - border, top - border  # the crop's top left corner in the frame
    seen = frame[max(0, y0) : max(0, bottom - border), max(0, x0) : max(0, right - border)]
    crop[max(0, -y0) : max(0, -y0) + seen.shape[0], max(0, -x0) : max(0, -x0) + seen.shape[1]] = seen
    return np.asarray(cv2.resize(crop, (SIZE, SIZE)), dtype=np.uint8)
