"""The faces of a frame and functions on bounding boxes. A box is left, top, right, bottom in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = NDArray[np.float64]
_TOGETHER = 16  # boxes that are compared with all others at once


@dataclass(frozen=True, slots=True)
class Face:
    """A face in a frame.

    `box`: left, top, right, bottom in pixels, float64 (4). `score`: the confidence of the detector, 0-1. `landmarks`: x
    and y in pixels, float64, or None if they are not known. CenterFace gives (5,2): the eyes from left to right, the
    nose and the corners of the mouth. Files give (68,2) or (5,2). S3FD gives None.
    """

    box: Box
    score: float
    landmarks: NDArray[np.float64] | None = None


def overlap(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the intersection over union of two boxes, 0-1; 0 for boxes without area."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - shared
    return shared / union if union > 0 else 0.0


def suppress(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    limit: float,
    pixel: float = 0.0,
    most: int | None = None,
) -> NDArray[np.intp]:
    """Return the indices of the boxes that greedy non-maximum suppression keeps, the most confident first.

    A box is removed if its intersection over union with a more confident kept box exceeds `limit`. Among equal scores
    the later box counts as more confident, as in the published detectors. `boxes` (N,4), `scores` (N). `pixel`: added
    to widths and heights; use 1 if the last pixel belongs to the box, as in face-alignment's copy of S3FD. `most`: the
    number of boxes that are wanted; None for all.
    """
    order = scores.argsort(kind="stable")[::-1]
    edges = np.ascontiguousarray(boxes[order].T)
    kept: list[np.intp] = []
    while len(order) and len(kept) != most:
        some = min(_TOGETHER, len(order))
        apart = _shares(edges, some, pixel) <= limit
        alive = np.ones(len(order), bool)
        for place in range(some):
            if alive[place] and len(kept) != most:
                kept.append(order[place])
                alive[place + 1 :] &= apart[place, place + 1 :]
        left = np.flatnonzero(alive[some:]) + some
        order, edges = order[left], edges[:, left]
    return np.array(kept, dtype=np.intp)


def _shares(edges: NDArray[np.floating], some: int, pixel: float) -> NDArray[np.floating]:
    """Return the intersection over union (some,N) of the first boxes with all; NaN for two without area.

    `edges`: left, top, right and bottom (4,N).
    """
    left, top, right, bottom = edges
    area = (right - left + pixel) * (bottom - top + pixel)
    first_left, first_top, first_right, first_bottom = edges[:, :some, None]
    wide = np.maximum(np.minimum(first_right, right) - np.maximum(first_left, left) + pixel, 0)
    high = np.maximum(np.minimum(first_bottom, bottom) - np.maximum(first_top, top) + pixel, 0)
    shared = wide * high
    with np.errstate(divide="ignore", invalid="ignore"):
        found: NDArray[np.floating] = shared / ((area - shared) + area[:some, None])
    return found


def padded_box(
    box: NDArray[np.float64], pads: tuple[int, int, int, int], width: int, height: int
) -> tuple[int, int, int, int] | None:
    """Return the box in whole pixels, widened by `pads` and clipped to the frame, or None if it is then empty.

    Negative coordinates are set to 0 and fractions are cut off before the box is widened. `pads`: top, bottom, left,
    right in pixels. `width`, `height`: size of the frame.
    """
    left, top, right, bottom = (int(value) for value in np.maximum(box, 0))
    left, top = max(0, left - pads[2]), max(0, top - pads[0])
    right, bottom = min(width, right + pads[3]), min(height, bottom + pads[1])
    return (left, top, right, bottom) if right > left and bottom > top else None
