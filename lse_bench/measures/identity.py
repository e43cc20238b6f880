"""CSIM: how alike the person in the clip and in the original are, by a network that recognises faces."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError, WeightsError
from lse_bench.measures.interface import Measure, MeasuredClip, Meter, Need, NoValueError, needs_original
from lse_bench.measures.landmarks import Points, refuse_few, similarity
from lse_bench.media.video import Frame
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import path_of, state_of
from lse_bench.weights.table import entry

WEIGHTS = "w600k_r50"
SIDE = 112
# Where ArcFace has the eyes, the tip of the nose and the corners of the mouth in its pictures.
_PLACES = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
_EYES, _NOSE, _CORNERS = (slice(36, 42), slice(42, 48)), 30, (48, 54)  # of 68 landmarks


class Csim(Measure):
    """Cosine of the face's identity embedding and the original's, by ArcFace: the mean over frames."""

    name = "csim"
    needs: frozenset[Need] = frozenset({"frames", "original", "landmarks"})
    higher_is_better = True
    range: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    licence = "non-commercial research only (ArcFace R50 of insightface, a download)"
    sources = ("Deng and others, 2019 (ArcFace)", "insightface buffalo_l, w600k_r50")
    deviations = (
        "Each frame is compared with the original's frame at the same time, not with one picture of the person. The "
        "face is placed by five points from 68 landmarks."
    )

    weights = (WEIGHTS,)

    def __init__(self) -> None:
        """Find the weights. Raises UsageError if they are not in the folder of weights."""
        if state_of(entry(WEIGHTS)) != "ok":
            raise UsageError(
                f"the measure csim needs ArcFace's weights. lse-bench weights fetch {WEIGHTS} says how to get them"
            )
        self._path = path_of(entry(WEIGHTS))

    @property
    def settings(self) -> dict[str, str]:
        return {"net": f"arcface-{file_digest(self._path)[:8]}"}

    def start(self, clip: MeasuredClip) -> Meter:
        needs_original(clip)
        return _CsimMeter(self._network)

    @cached_property
    def _network(self) -> IdentityNetwork:
        return IdentityNetwork(self._path)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the network, which other processes load themselves."""
        return {name: value for name, value in self.__dict__.items() if name != "_network"}


class IdentityNetwork:
    """ArcFace's network. `path`: the ONNX file. Raises WeightsError if OpenCV cannot read it."""

    def __init__(self, path: Path) -> None:
        try:
            self._network = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise WeightsError(f"{path}: this is no network that OpenCV reads: {str(error)[:200]}") from None

    def embed(self, frame: Frame, points: Points) -> NDArray[np.float64]:
        """Return the embedding, of length 1, of the face with 68 landmarks (68,2) in a BGR frame."""
        picture = cv2.dnn.blobFromImage(placed(frame, points), 1 / 127.5, (SIDE, SIDE), (127.5,) * 3, swapRB=True)
        self._network.setInput(picture)
        found = self._network.forward().ravel().astype(np.float64)
        return found / max(float(np.linalg.norm(found)), 1e-12)


def placed(frame: Frame, points: Points) -> Frame:
    """Return the face (112,112,3) with eyes, nose and mouth where ArcFace has them."""
    five = np.stack(
        [points[_EYES[0]].mean(axis=0), points[_EYES[1]].mean(axis=0), points[_NOSE], *points[list(_CORNERS)]]
    )
    turn, here, there = similarity(five, _PLACES)
    move = np.column_stack([turn, there - turn @ here])
    return np.asarray(cv2.warpAffine(frame, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


class _CsimMeter(Meter):
    def __init__(self, network: IdentityNetwork) -> None:
        self._network = network
        self._points: tuple[Points | None, Points | None] = (None, None)
        self._frames = 0
        self._values: list[float] = []

    def landmarks(self, points: Points | None, original: Points | None) -> None:
        self._points = points, original

    def frame(self, frame: Frame, original: Frame | None) -> None:
        ours, theirs = self._points
        self._frames += 1
        if ours is None or theirs is None or original is None:
            return
        here, there = self._network.embed(frame, ours), self._network.embed(original, theirs)
        self._values.append(float(here @ there))

    def finish(self) -> float:
        refuse_few(len(self._values), self._frames)
        if not self._values:
            raise NoValueError("no frame with a face in both videos")
        return math.fsum(self._values) / len(self._values)
