"""Speech2Vid's face alignment, in pixels.

A similarity transform moves the landmarks to the mean shape on a canvas of 240 x 240. The middle 197 x 197 of the
canvas are resized to 112 x 112. The published MATLAB code uses 0-based landmarks as 1-based pixels. That shift is
reproduced. If a detector gives five points instead of 68 landmarks, the similarity transform is computed from the
eyes' centres and the nose, without the shift.
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

RULE = "bilinear@2"  # how pixels are moved; rule 1 was OpenCV's, and OpenCV 5 changed it
CANVAS, CORNER, CUT = 240, 21, 197
GREY = 110
_FIRST, _LAST = 27, 48  # landmarks 27 to 47 of the 68: nose and eyes
_FEATHER = 12  # width of the drawn face's soft edge, in pixels of its 109

# The nose and eyes of the published mean shape on the canvas, x and y: landmarks 27 to 47.
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
    """Return the least-squares similarity transform of `points` (n,2) to `wanted` (n,2) as a matrix (2,3).

    It consists of scale, rotation and shift, without reflection.
    """
    here, there = points.mean(axis=0), wanted.mean(axis=0)
    u, stretch, v = np.linalg.svd((wanted - there).T @ (points - here))
    keep = np.array([1.0, np.sign(np.linalg.det(u @ v))])
    turn = u @ np.diag(keep) @ v
    scale = float((stretch * keep).sum() / ((points - here) ** 2).sum())
    return np.hstack([scale * turn, (there - scale * turn @ here)[:, None]])


def canvas_warp(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix (2,3) from a picture's pixels to the canvas's, both counted from 0.

    `landmarks`: (68,2) or (5,2), x and y in the picture.
    """
    if len(landmarks) == 5:
        return similarity(landmarks[:3], _MEAN_THREE)
    found = similarity(np.asarray(landmarks[_FIRST:_LAST], dtype=np.float64), _MEAN)
    found[:, 2] += found[:, :2] @ np.ones(2) - 1
    return found


def aligned(picture: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the aligned face of a picture, uint8 (112,112,3). The channels keep their order."""
    # The canvas outside the picture is to be grey, but `moved` fills it with 0. So grey is subtracted before.
    canvas = moved(picture.astype(np.float64) - GREY, canvas_warp(landmarks), CANVAS, CANVAS) + GREY
    whole = np.rint(canvas).astype(np.uint8)
    return shrunk(whole[CORNER : CORNER + CUT, CORNER : CORNER + CUT])


def moved(
    picture: NDArray[np.floating], warp: NDArray[np.float64], width: int, height: int, repeat: bool = False
) -> NDArray[np.float64]:
    """Return `picture` (H,W,C) moved by `warp` (2,3) into a picture (height,width,C), float64, bilinear.

    `warp`: the matrix from pixels of `picture` to those of the result. `repeat`: pixels outside `picture` take the
    value of the nearest edge; otherwise they are 0.

    OpenCV's own function is not used, because its version 4 rounds positions to 1/32 of a pixel and its version 5 does
    not. Their colours differ by up to 6 of 255.
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
    """A cropper that gives aligned faces for training (see `lse_bench.training.prepare.Cropper`)."""

    size: int = FACE_SIZE
    name: str = "aligned"

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8] | None:
        """Return the aligned face, uint8 BGR (112,112,3), or None if the face has no landmarks."""
        return None if face.landmarks is None else aligned(frame, face.landmarks)

    def settings(self) -> dict[str, object]:
        """Return the settings that change pixels: only the alignment rule."""
        return {"rule": RULE}


def shrunk(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a face of 197 x 197 pixels resized to 112 x 112, uint8, bicubic with antialiasing."""
    planes = torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1)[None].float()
    small = F.interpolate(planes, size=(FACE_SIZE, FACE_SIZE), mode="bicubic", antialias=True)
    return np.asarray(small[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy(), dtype=np.uint8)


def back_warp(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix (2,3) from pixels of a drawn face (109,109) to those of the picture with these landmarks."""
    scale = CUT / FACE_SIZE
    to_canvas = np.array([[scale, 0, 0], [0, scale, 0]], dtype=np.float64)
    # The drawn face lacks the first row and column and the last two rows and columns of the aligned one. The formula
    # maps pixel centres to pixel centres.
    to_canvas[:, 2] = (1 + 0.5) * scale - 0.5 + CORNER
    from_canvas = np.asarray(cv2.invertAffineTransform(canvas_warp(landmarks)), dtype=np.float64)
    return compose(from_canvas, to_canvas)


def compose(after: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix (2,3) that applies `before`, then `after`."""
    whole = np.vstack([after, [0, 0, 1]]) @ np.vstack([before, [0, 0, 1]])
    return np.asarray(whole[:2], dtype=np.float64)


def put_back(
    drawn: NDArray[np.float32], landmarks: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a drawn face (109,109,3) at its place in a picture, float32 (height,width,3), and its mask.

    The mask is float32 (height,width), 0-1, the weight of the drawn face. `landmarks`: of the face in the picture.
    """
    warp = back_warp(landmarks)
    # The mask is 0 along its edge, so its repeated edge is 0 outside too.
    both = moved(np.dstack([drawn, _soft()]), warp, width, height, repeat=True).astype(np.float32)
    return np.ascontiguousarray(both[..., :3]), np.ascontiguousarray(both[..., 3])


@cache
def _soft() -> NDArray[np.float32]:
    """Return the mask of a drawn face, (109,109): 1 inside, and linearly falling to 0 towards the edges."""
    from_edge = np.minimum(np.arange(DRAWN_SIZE), DRAWN_SIZE - 1 - np.arange(DRAWN_SIZE))
    ramp = np.clip(from_edge / _FEATHER, 0, 1)
    return np.outer(ramp, ramp).astype(np.float32)
