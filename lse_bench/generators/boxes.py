"""A face's box in each frame of a source, smoothed, while the frames go by; a few frames are held at a time.

`original` is the smoothing of Wav2Lip's inference: each box becomes the mean of itself and the four after it, in whole
numbers cut towards zero, and in place, so that the last four boxes average rows that are smoothed already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import FaceChoice, Faceless, Smoothing
from lse_bench.errors import ClipError
from lse_bench.faces.detectors import FaceDetector, Frame
from lse_bench.faces.face import Face, padded_box

AHEAD = 5  # frames averaged by `original`
_NEW = 0.5  # weight of the new box under `exponential`


@dataclass(frozen=True, slots=True)
class Located:
    """A frame and its face. `box`: left, top, right, bottom, whole pixels, not empty. `seen`: False where no face was
    found and the box is the last one's, or the whole frame's."""

    frame: Frame
    box: tuple[int, int, int, int]
    landmarks: NDArray[np.float64] | None
    seen: bool


@dataclass(frozen=True, slots=True)
class Locating:
    """How boxes are found; every field moves pixels. `pads`: top, bottom, left, right in pixels."""

    detector: FaceDetector
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    smoothing: Smoothing = "original"
    choice: FaceChoice = "surest"
    faceless: Faceless = "skip-clip"

    def locate(self, clip: Path, frames: Iterable[Frame]) -> Iterator[Located]:
        """Each frame with its box. Raises ClipError `no_face` for a frame without one under `skip-clip`."""
        yield from _smoothed(self._found(clip, frames), self.smoothing)

    def _found(self, clip: Path, frames: Iterable[Frame]) -> Iterator[Located]:
        held: deque[Frame] = deque()

        def watched() -> Iterator[Frame]:
            for frame in frames:
                held.append(frame)
                yield frame

        last: Located | None = None
        for number, faces in enumerate(self.detector.faces(clip, watched())):
            frame = held.popleft()
            height, width = frame.shape[:2]
            face = self._chosen(faces or [])
            box = None if face is None else padded_box(face.box, self.pads, width, height)
            if face is None or box is None:
                if self.faceless == "skip-clip":
                    raise ClipError(
                        clip,
                        "no_face",
                        f"no face in frame {number} ({number / 25:.2f} s). --faceless keep-frame passes such frames "
                        "through",
                    )
                kept, points = ((0, 0, width, height), None) if last is None else (last.box, last.landmarks)
                located = Located(frame, kept, points, seen=False)
            else:
                located = Located(frame, box, face.landmarks, seen=True)
            last = located
            yield located

    def _chosen(self, faces: Sequence[Face]) -> Face | None:
        if self.choice == "surest" or not faces:
            return faces[0] if faces else None
        return max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))


def smooth_in_place(boxes: NDArray[np.int64], ahead: int = AHEAD) -> NDArray[np.int64]:
    """The published loop on boxes (n,4) of whole numbers; fewer than `ahead` boxes meet its negative slice."""
    smoothed = boxes.copy()
    for row in range(len(smoothed)):
        window = smoothed[row : row + ahead] if row + ahead <= len(smoothed) else smoothed[len(smoothed) - ahead :]
        smoothed[row] = np.trunc(window.mean(axis=0))
    return smoothed


def _smoothed(located: Iterator[Located], smoothing: Smoothing) -> Iterator[Located]:
    if smoothing == "none":
        yield from located
        return
    if smoothing == "exponential":
        mean: NDArray[np.float64] | None = None
        for one in located:
            box = np.asarray(one.box, dtype=np.float64)
            if one.seen:  # what stands in for a face that is not there counts for nothing
                mean = box if mean is None else _NEW * box + (1 - _NEW) * mean
            yield _with_box(one, box if mean is None else np.round(mean))
        return
    waiting: deque[Located] = deque()
    before: NDArray[np.int64] | None = None  # the smoothed box of the frame before those that wait
    for one in located:
        waiting.append(one)
        if len(waiting) == AHEAD:
            before = np.trunc(np.mean([held.box for held in waiting], axis=0)).astype(np.int64)
            yield _with_box(waiting.popleft(), before)
    # The end: the last rows average the last five, the first of which is smoothed already.
    rows = np.array([held.box for held in waiting], dtype=np.int64).reshape(-1, 4)
    ends = smooth_in_place(rows) if before is None else _smooth_ends(np.vstack([before, rows]))
    for one, box in zip(waiting, ends, strict=True):
        yield _with_box(one, box)


def _smooth_ends(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last four of five rows, of which the first is smoothed."""
    rows = rows.copy()
    for row in range(1, len(rows)):
        rows[row] = np.trunc(rows.mean(axis=0))
    return rows[1:]


def _with_box(one: Located, box: NDArray[np.integer] | NDArray[np.floating]) -> Located:
    left, top, right, bottom = (int(value) for value in box)
    return Located(one.frame, (left, top, max(right, left + 1), max(bottom, top + 1)), one.landmarks, one.seen)
