"""Speech2Vid's face alignment: a similarity to the mean shape, a 240 canvas, the middle 197 pixels, 112 x 112.

The published MATLAB code takes 0-based landmarks for 1-based pixels; its shift is kept. With a detector's five points
in place of 68 landmarks the similarity is found on the eyes' centres and the nose.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from lse_bench.baselines.speech2vid.model import DRAWN_SIZE, FACE_SIZE
from lse_bench.faces.face import Face

RULE = "bilinear@2"  # how pixels are moved; 1 was OpenCV's, which its version 5 changed
CANVAS, CORNER, CUT = 240, 21, 197
GREY = 110
_FIRST, _LAST = 27, 48  # of 68: nose and eyes
_FEATHER = 12  # pixels of the 109: how far from the edge the drawn face fades in

# The published mean shape's nose and eyes on the canvas, x and y: landmarks 27 to 47.
_MEAN = np.array(
    [
        *((121, 59), (121, 77), (122, 94), (123, 113), (102, 125), (112, 129), (122, 131)),
        *((132, 128), (142, 125), (57, 64), (68, 56), (83, 56), (95, 65), (82, 69), (68, 69)),
        *((146, 64), (158, 54), (172, 54), (183, 62), (173, 67), (159, 67)),
    ],
    dtype=np.float64,
)
_MEAN_THREE = np.stack([_MEAN[9:15].mean(axis=0), _MEAN[15:21].mean(axis=0), _MEAN[3]])  # eyes, tip of the nose


def similarity(points: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,3): scale, rotation (no reflection) and shift that take `points` (n,2) nearest to `wanted` (n,2)."""
    here, there = points.mean(axis=0), wanted.mean(axis=0)
    u, stretch, v = np.linalg.svd((wanted - there).T @ (points - here))
    keep = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    turn = u @ np.diag(keep) @ v
    scale = float((stretch * keep).sum() / ((points - here) ** 2).sum())
    return np.hstack([scale * turn, (there - scale * turn @ here)[:, None]])


def canvas_warp(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,3): a picture's pixels to the canvas's, both counted from 0, for (68,2) or (5,2) landmarks."""
    if len(landmarks) == 5:
        return similarity(landmarks[:3], _MEAN_THREE)
    found = similarity(np.asarray(landmarks[_FIRST:_LAST], dtype=np.float64), _MEAN)
    found[:, 2] += found[:, :2] @ np.ones(2) - 1
    return found


def aligned(picture: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The face, uint8 (112,112,3), of a picture of any channel order."""
    # Grey lies around the picture, so it is 0 for `moved`, which knows nothing else outside.
    canvas = moved(picture.astype(np.float64) - GREY, canvas_warp(landmarks), CANVAS, CANVAS) + GREY
    whole = np.rint(canvas).astype(np.uint8)
    return shrunk(whole[CORNER : CORNER + CUT, CORNER : CORNER + CUT])


def moved(
    picture: NDArray[np.floating], warp: NDArray[np.float64], width: int, height: int, repeat: bool = False
) -> NDArray[np.float64]:
    """`picture` (H,W,C) moved by `warp` (2,3) into a picture (height,width,C), bilinearly, float64.

    Pixels outside the picture are 0. With `repeat` they take the value of the nearest edge. OpenCV's own function is
    not used: its version 4 rounds positions to 1/32 of a pixel, its version 5 does not, and colours differ by up to 6
    of 255.
    """
    back = np.asarray(cv2.invertAffineTransform(warp), dtype=np.float64)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    sides = np.array(picture.shape[1::-1], dtype=np.float64)
    places = np.stack([x, y, np.ones_like(x)], axis=-1) @ back.T
    grid = torch.from_numpy((2 * places + 1) / sides - 1)[None]  # -1 and 1 are the outer edges of the picture
    planes = torch.from_numpy(np.ascontiguousarray(picture, dtype=np.float64)).permute(2, 0, 1)[None]
    seen = F.grid_sample(planes, grid, padding_mode="border" if repeat else "zeros", align_corners=False)
    return np.asarray(seen[0].permute(1, 2, 0).numpy(), dtype=np.float64)


@dataclass(frozen=True)
class AlignedCropper:
    """Aligned faces for training (`lse_bench.training.prepare.Cropper`)."""

    size: int = FACE_SIZE
    name: str = "aligned"

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8] | None:
        """BGR (112,112,3); None for a face without landmarks."""
        return None if face.landmarks is None else aligned(frame, face.landmarks)

    def settings(self) -> dict[str, object]:
        """The rule alone moves a pixel."""
        return {"rule": RULE}


def shrunk(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """197 to 112 pixels, bicubic with antialiasing."""
    planes = torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1)[None].float()
    small = F.interpolate(planes, size=(FACE_SIZE, FACE_SIZE), mode="bicubic", antialias=True)
    return np.asarray(small[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy(), dtype=np.uint8)


def back_warp(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,3): pixels of a drawn face (109,109) to those of the picture that the landmarks are of."""
    scale = CUT / FACE_SIZE
    to_canvas = np.array([[scale, 0, 0], [0, scale, 0]], dtype=np.float64)
    # The drawn face is the aligned one without its first row and column and its last two; pixel centres on centres.
    to_canvas[:, 2] = (1 + 0.5) * scale - 0.5 + CORNER
    from_canvas = np.asarray(cv2.invertAffineTransform(canvas_warp(landmarks)), dtype=np.float64)
    return compose(from_canvas, to_canvas)


def compose(after: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,3) of doing `before`, then `after`."""
    whole = np.vstack([after, [0, 0, 1]]) @ np.vstack([before, [0, 0, 1]])
    return np.asarray(whole[:2], dtype=np.float64)


def put_back(
    drawn: NDArray[np.float32], landmarks: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A drawn face (109,109,3) where it belongs in a picture (height,width,3), and how much of it counts, 0-1."""
    warp = back_warp(landmarks)
    # The mask is 0 along its edge, so what is repeated of it outside is 0 as well.
    both = moved(np.dstack([drawn, _soft()]), warp, width, height, repeat=True).astype(np.float32)
    return np.ascontiguousarray(both[..., :3]), np.ascontiguousarray(both[..., 3])


@cache
def _soft() -> NDArray[np.float32]:
    """1 inside, falling to 0 at the edges of the drawn face."""
    from_edge = np.minimum(np.arange(DRAWN_SIZE), DRAWN_SIZE - 1 - np.arange(DRAWN_SIZE))
    ramp = np.clip(from_edge / _FEATHER, 0, 1)
    return np.outer(ramp, ramp).astype(np.float32)
