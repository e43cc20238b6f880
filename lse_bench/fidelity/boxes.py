"""Face boxes for FID's region `face`: a detector's bounding box with the highest confidence in each frame."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import tee
from pathlib import Path

from lse_bench.faces.detectors import FaceDetector
from lse_bench.fidelity.sources import Box
from lse_bench.media.video import Frame


class DetectedBoxes:
    """A `BoxSource` that uses a face detector.

    The detector numbers only the frames that FID uses. So stored boxes fit only with a frame step of 1.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self.name = f"{detector.id}-{detector.weights_sha256[:8]}"
        self._detector = detector

    def boxes(self, clip: Path, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Box | None]]:
        """Yield the frames of a clip, each with the bounding box of the face with the highest confidence.

        The box is clipped to the frame. It is None if the frame has no face.
        """
        shown, searched = tee(frames)  # the two iterators are at most one batch apart
        for found, frame in zip(self._detector.faces(clip, searched), shown, strict=True):
            yield frame, _inside(max(found, key=lambda face: face.score).box.tolist(), frame) if found else None


def _inside(box: list[float], frame: Frame) -> Box | None:
    height, width = frame.shape[0], frame.shape[1]
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(width, round(box[2])), min(height, round(box[3]))
    return (left, top, right, bottom) if right > left and bottom > top else None
