"""Cut face crops out of frames and paste the generated faces back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import Paste
from lse_bench.generators.boxes import Located
from lse_bench.generators.interface import FaceCrop
from lse_bench.media.video import Frame

_FEATHER = 0.12  # fraction of a side: the width of the edge over which the new face fades in


def cut(located: Located, margin: float = 0.0) -> FaceCrop:
    """Return the crop of a located face with read-only pixels.

    `margin`: how far the crop extends beyond the box on each side, as a fraction of the box's width or height. The crop
    ends at the edges of the frame.
    """
    left, top, right, bottom = located.box
    height, width = located.frame.shape[:2]
    aside, above = round((right - left) * margin), round((bottom - top) * margin)
    box = (max(0, left - aside), max(0, top - above), min(width, right + aside), min(height, bottom + above))
    pixels = located.frame[box[1] : box[3], box[0] : box[2]]
    pixels.flags.writeable = False  # other jobs of the source use the same frame
    landmarks = None if located.landmarks is None else located.landmarks - np.array(box[:2])
    return FaceCrop(pixels, box, landmarks)


def paste(frame: Frame, answer: FaceCrop, how: Paste = "overwrite") -> Frame:
    """Return a copy of the frame with the new crop resized (bilinear) and pasted into its box.

    `overwrite` replaces every pixel of the box, as published. `feather` fades the crop in from the edges of the box.
    The crop's own mask applies in both cases.
    """
    left, top, right, bottom = answer.box
    size = (right - left, bottom - top)
    drawn: NDArray[Any] = answer.pixels
    if (drawn.shape[1], drawn.shape[0]) != size:
        drawn = cv2.resize(drawn, size)
    drawn = drawn.astype(np.uint8)
    mask = None if answer.mask is None else np.asarray(cv2.resize(answer.mask, size), dtype=np.float32)
    if how == "feather":
        soft = _feather(*size)
        mask = soft if mask is None else mask * soft
    out = frame.copy()
    if mask is None:
        out[top:bottom, left:right] = drawn
    else:
        under = frame[top:bottom, left:right].astype(np.float32)
        out[top:bottom, left:right] = np.rint(under + mask[..., None] * (drawn.astype(np.float32) - under)).astype(
            np.uint8
        )
    return out


@lru_cache(maxsize=64)
def _feather(width: int, height: int) -> NDArray[np.float32]:
    """Return weights (height,width), float32, that are 1 inside and fall towards 0 at the edges."""

    def ramp(side: int) -> NDArray[np.float64]:
        edge = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5)
        return np.asarray(np.clip(edge / max(1.0, _FEATHER * side), 0, 1), dtype=np.float64)

    return np.outer(ramp(height), ramp(width)).astype(np.float32)
