"""MediaPipe's face mesh through LiteRT: 468 points of a face, of which 68 stand for the usual landmarks.

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs" (2019). The network takes a
square picture of 192 x 192 pixels, RGB from -1 to 1, in which the face stands upright and fills two thirds. It returns
the points in pixels of that picture, and a logit that says whether there is a face.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import WeightsError
from lse_bench.versions import require

VERSION = 1
WEIGHTS = "facemesh"
EXTRA = "landmarks"
ENLARGED = 1.5  # side of the square that the network sees, over the longer side of the face
THRESHOLD = 0.0  # logit of the presence: a face is more likely than not
_WAY_OUT = "Leave out --landmark-weights, and lse-bench fetches the right file"
_SIDE = 192
_POINTS = 468

# The mesh points that stand for the 68 landmarks of iBUG 300-W, in their order.
_AS_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
_LEVELS = np.arange(256, dtype=np.float32) / np.float32(127.5) - 1  # of the network for 0-255
_EYES = (33, 263)  # outer corners, on the left and on the right of the picture

Points = NDArray[np.float64]
Square = tuple[float, float, float, float]  # centre x and y, side, in pixels; roll in radians


class FaceMesh:
    """The network. `path`: the .tflite file. Raises UsageError without the extra `landmarks`, and WeightsError if the
    file is another network.

    Threads can share it: each call takes a copy of the network that no other call uses.
    """

    def __init__(self, path: Path) -> None:
        require("ai_edge_litert", EXTRA, "face landmarks")
        self._path = path
        self._free = [self._loaded()]

    def _loaded(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        try:
            network: Any = Interpreter(str(self._path), num_threads=1)
            network.allocate_tensors()
            (taken,), given = network.get_input_details(), network.get_output_details()
            shapes = [tuple(taken["shape"]), *(int(np.prod(one["shape"])) for one in given)]
        except (ValueError, RuntimeError) as error:
            raise WeightsError(f"{self._path}: this is no face mesh network: {str(error)[:200]}. {_WAY_OUT}") from None
        if shapes != [(1, _SIDE, _SIDE, 3), 3 * _POINTS, 1]:
            told = f"this network takes and gives {shapes}, so it is no face mesh"
            raise WeightsError(f"{self._path}: {told}. {_WAY_OUT}")
        self._taken, self._given = taken["index"], [one["index"] for one in given]
        return network

    def find(self, frame: NDArray[np.uint8], square: Square) -> tuple[Points, float]:
        """Return all points (468,2), in pixels of the BGR `frame`, and the logit of a face in `square`."""
        to_frame = _from_square(square)
        seen = cv2.warpAffine(
            frame,
            to_frame,
            (_SIDE, _SIDE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        picture = cv2.LUT(cv2.cvtColor(seen, cv2.COLOR_BGR2RGB), _LEVELS)[None]
        try:
            network = self._free.pop()
        except IndexError:  # other threads use all there are
            network = self._loaded()
        network.set_tensor(self._taken, picture)
        network.invoke()
        points, present = (network.get_tensor(one) for one in self._given)
        self._free.append(network)
        flat = points.reshape(_POINTS, 3)[:, :2].astype(np.float64)
        return flat @ to_frame[:, :2].T + to_frame[:, 2], float(present.reshape(()))


@lru_cache(maxsize=2)
def load_mesh(path: Path) -> FaceMesh:
    """Return the network of a file; it is read once in a process."""
    return FaceMesh(path)


def landmarks_of(mesh: Points) -> Points:
    """Return the 68 landmarks (68,2) of the points of a mesh."""
    return mesh[list(_AS_68)]


def square_of_box(box: NDArray[np.floating]) -> Square:
    """Return the square to look at for a box: left, top, right, bottom in pixels."""
    left, top, right, bottom = (float(value) for value in box)
    return (left + right) / 2, (top + bottom) / 2, ENLARGED * max(right - left, bottom - top), 0.0


def square_of_mesh(mesh: Points) -> Square:
    """Return the square to look at in the next frame: around the points, turned with the eyes."""
    across = mesh[_EYES[1]] - mesh[_EYES[0]]
    roll = float(np.arctan2(across[1], across[0]))
    turned = mesh @ np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    x, y = (low + high) / 2
    centre = (x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll))
    return float(centre[0]), float(centre[1]), ENLARGED * float((high - low).max()), roll


def _from_square(square: Square) -> NDArray[np.float64]:
    """Return the affine map (2,3) from pixels of the network's picture to pixels of the frame."""
    x, y, side, roll = square
    scale = side / _SIDE
    turn = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return np.column_stack([turn, np.array([x, y]) - turn @ np.array([_SIDE / 2, _SIDE / 2])])
