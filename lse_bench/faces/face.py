"""A face found in a frame, and what boxes have to do with each other. Boxes are left, top, right, bottom in pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Face:
    """A face: `box` left, top, right, bottom in pixels, float64; `score` 0-1.

    `landmarks`: x and y in pixels, (5,2) from CenterFace (eyes from left to right, nose, corners of the mouth), (68,2)
    from files, None from S3FD.
    """

    box: Box
    score: float
    landmarks: NDArray[np.float64] | None = None


def overlap(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Intersection over union of two boxes; 0 for boxes without area."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - shared
    return shared / union if union > 0 else 0.0


def suppress(
    boxes: NDArray[np.floating], scores: NDArray[np.floating], limit: float, pixel: float = 0.0
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices kept, the most confident first; a box goes when it overlaps a surer one
    by more than `limit`. Among equal scores the later box is the surer one, as in the published detectors.

    `pixel`: added to widths and heights; 1 where a box's last pixel counts, as in face-alignment's copy of S3FD.
    """
    left, top, right, bottom = boxes.T
    area = (right - left + pixel) * (bottom - top + pixel)
    order = scores.argsort(kind="stable")[::-1]
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        wide = np.maximum(np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + pixel, 0)
        high = np.maximum(np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + pixel, 0)
        shared = wide * high
        with np.errstate(divide="ignore", invalid="ignore"):
            share = shared / ((area[rest] - shared) + area[best])
        order = rest[share <= limit]
    return np.array(kept, dtype=np.intp)


def padded_box(
    box: NDArray[np.float64], pads: tuple[int, int, int, int], width: int, height: int
) -> tuple[int, int, int, int] | None:
    """Clipped at 0, cut to whole numbers, widened by `pads`, kept within the frame; None when nothing is left."""
    left, top, right, bottom = (int(value) for value in np.maximum(box, 0))
    left, top = max(0, left - pads[2]), max(0, top - pads[0])
    right, bottom = min(width, right + pads[3]), min(height, bottom + pads[1])
    return (left, top, right, bottom) if right > left and bottom > top else None
