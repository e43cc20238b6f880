"""Cutting faces out of frames and pasting what was made of them back."""

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

_FEATHER = 0.12  # of a side: how far from the edge the new face fades in


def cut(located: Located, margin: float = 0.0) -> FaceCrop:
    """The crop of a located face, `margin` of its sides more all around where the frame has it; read-only."""
    left, top, right, bottom = located.box
    height, width = located.frame.shape[:2]
    aside, above = round((right - left) * margin), round((bottom - top) * margin)
    box = (max(0, left - aside), max(0, top - above), min(width, right + aside), min(height, bottom + above))
    pixels = located.frame[box[1] : box[3], box[0] : box[2]]
    pixels.flags.writeable = False  # other jobs of the source see the same frame
    landmarks = None if located.landmarks is None else located.landmarks - np.array(box[:2])
    return FaceCrop(pixels, box, landmarks)


def paste(frame: Frame, answer: FaceCrop, how: Paste = "overwrite") -> Frame:
    """A copy of the frame with the answer resized (bilinear) into its box.

    `overwrite`: as published, every pixel of the box. `feather`: fading in from its edges. An answer's own mask
    counts under both.
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
    """1 inside, falling to 0 at the edges."""

    def ramp(side: int) -> NDArray[np.float64]:
        edge = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5)
        return np.asarray(np.clip(edge / max(1.0, _FEATHER * side), 0, 1), dtype=np.float64)

    return np.outer(ramp(height), ramp(width)).astype(np.float32)
