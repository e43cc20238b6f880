"""Find and smooth the face's bounding box in each frame of a source video.

The frames are a stream, and only a few are in memory at a time. The smoothing `original` is that of Wav2Lip's
inference: each box becomes the mean of itself and the next four boxes, truncated to whole numbers. It works in place,
so the last four boxes average rows that are already smoothed. `exponential` is a running mean with weight 0.5 for the
new box.
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
from lse_bench.rates import FPS

AHEAD = 5  # frames averaged by `original`
_NEW = 0.5  # weight of the new box under `exponential`


@dataclass(frozen=True, slots=True)
class Located:
    """A frame and the location of its face.

    `frame`: uint8 (h,w,3) BGR. `box`: left, top, right, bottom in whole pixels, never empty. `landmarks`: x and y in
    pixels of the frame, or None if they are not known. `seen`: False if no face was found; the box is then that of the
    frame before, or the whole frame if there is none.
    """

    frame: Frame
    box: tuple[int, int, int, int]
    landmarks: NDArray[np.float64] | None
    seen: bool


@dataclass(frozen=True, slots=True)
class Locating:
    """The settings for face boxes. Each field changes the pixels of the result.

    `pads`: pixels by which a box is widened at top, bottom, left and right. `smoothing`: smoothing of the boxes over
    time. `choice`: the face to use if a frame has several, `surest` for the most confident one or `largest` for the
    largest box. `faceless`: what happens with a frame without a face, `skip-clip` to fail the clip or `keep-frame` to
    keep the frame unchanged.
    """

    detector: FaceDetector
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    smoothing: Smoothing = "original"
    choice: FaceChoice = "surest"
    faceless: Faceless = "skip-clip"

    def locate(self, clip: Path, frames: Iterable[Frame]) -> Iterator[Located]:
        """Yield each frame with its box. Raises ClipError `no_face` under `skip-clip` if a frame has no face."""
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
                        f"no face in frame {number} ({number / FPS:.2f} s). Use --faceless keep-frame to keep such "
                        "frames unchanged",
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
    """Return the boxes (n,4), int64, smoothed as in the published loop of Wav2Lip's inference.

    With n < `ahead` the published slice starts at the negative index n - `ahead`. Each box then becomes the mean of the
    last `ahead` - n boxes, or of all boxes if there are fewer.
    """
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
            if one.seen:  # a substitute for a missing face has no weight in the mean
                mean = box if mean is None else _NEW * box + (1 - _NEW) * mean
            yield _with_box(one, box if mean is None else np.round(mean))
        return
    waiting: deque[Located] = deque()
    before: NDArray[np.int64] | None = None  # the smoothed box of the frame before the waiting ones
    for one in located:
        waiting.append(one)
        if len(waiting) == AHEAD:
            before = np.trunc(np.mean([held.box for held in waiting], axis=0)).astype(np.int64)
            yield _with_box(waiting.popleft(), before)
    # At the end, the last rows average the last five rows, and the first of those is already smoothed.
    rows = np.array([held.box for held in waiting], dtype=np.int64).reshape(-1, 4)
    ends = smooth_in_place(rows) if before is None else _smooth_ends(np.vstack([before, rows]))
    for one, box in zip(waiting, ends, strict=True):
        yield _with_box(one, box)


def _smooth_ends(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last four of five rows smoothed in place. The first row is already smoothed."""
    rows = rows.copy()
    for row in range(1, len(rows)):
        rows[row] = np.trunc(rows.mean(axis=0))
    return rows[1:]


def _with_box(one: Located, box: NDArray[np.integer] | NDArray[np.floating]) -> Located:
    left, top, right, bottom = (int(value) for value in box)
    return Located(one.frame, (left, top, max(right, left + 1), max(bottom, top + 1)), one.landmarks, one.seen)
