"""The 68 landmarks of the face in each frame: from files, or from MediaPipe's face mesh.

Points are numbered as in iBUG 300-W: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67,
each from left to right in the picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import ClipError
from lse_bench.faces.detectors import FaceDetector, box_file, load_detector, read_boxes
from lse_bench.weights.readers import file_digest

if TYPE_CHECKING:
    from lse_bench.faces.facemesh import Square

Points = NDArray[np.float64]  # (68,2), x and y in pixels
COUNT = 68
SEARCH_EVERY = 25  # frames: a face that is followed is searched for anew after so many, lest another one was picked up


class Follower(ABC):
    """Finds the landmarks of one clip. Its frames come in order."""

    @abstractmethod
    def find(self, frame: NDArray[np.uint8]) -> Points | None:
        """Return the landmarks of the next frame, BGR uint8 (H,W,3), or None if it has no face."""


class Landmarks(ABC):
    """A source of landmarks. `id`: its name and all that moves a point."""

    id: str

    def refuse_shared(self, clip: Path, original: Path) -> None:  # noqa: B027 - a network looks at both
        """Raise ClipError if the landmarks of a clip would be those of its original."""

    @abstractmethod
    def follow(self, clip: Path, first: int = 0) -> Follower:
        """Begin with a clip at frame `first` of its file. Raises ClipError, with a reason, if it has no landmarks."""


@dataclass(frozen=True)
class Sidecars(Landmarks):
    """Landmarks in files, one for each clip, as `detectors.read_boxes` describes. `folder`: the folder of the files."""

    folder: Path
    id = "sidecar"

    def refuse_shared(self, clip: Path, original: Path) -> None:
        """Raise ClipError if one file serves two videos: a distance between them would be 0 whatever they show."""
        if clip.resolve() != original.resolve() and (file := box_file(clip, self.folder)) == box_file(
            original, self.folder
        ):
            raise ClipError(
                clip,
                "no_face",
                f"{file} serves both it and its original. Put the landmarks of each into a folder with the name of "
                f"its own: {self.folder / clip.parent.name} and {self.folder / original.parent.name}",
            )

    def follow(self, clip: Path, first: int = 0) -> Follower:
        faces = read_boxes(clip, self.folder)[first:]
        found = [None if not frame else frame[0].landmarks for frame in faces]
        if not any(points is not None and points.shape == (COUNT, 2) for points in found):
            raise ClipError(clip, "no_face", f"the file in {self.folder} holds no 68 landmarks")
        return _FromFile(found)


class _FromFile(Follower):
    def __init__(self, found: list[NDArray[np.float64] | None]) -> None:
        self._found = iter(found)

    def find(self, frame: NDArray[np.uint8]) -> Points | None:
        points = next(self._found, None)
        return points if points is not None and points.shape == (COUNT, 2) and np.isfinite(points).all() else None


@dataclass(frozen=True)
class Mesh(Landmarks):
    """MediaPipe's face mesh. `path`: its file. `detector`: the name of what finds the face to begin with.

    The face with the largest box is taken. Then the points of a frame say where the next frame is looked at, as in
    MediaPipe. Every 25 frames, and whenever the face is lost, the detector searches again. Raises UsageError if an
    extra is missing, and WeightsError if the file is no face mesh.
    """

    path: Path
    detector: str = "centerface"
    id: str = field(init=False)

    def __post_init__(self) -> None:
        from lse_bench.faces.facemesh import VERSION, load_mesh

        load_mesh(self.path)
        detector = _detector(self.detector)
        parts = (f"facemesh@{VERSION}", file_digest(self.path)[:8], self.detector, detector.weights_sha256[:8])
        object.__setattr__(self, "id", "-".join(parts))

    def follow(self, clip: Path, first: int = 0) -> Follower:
        return _MeshFollower(self, clip)


@lru_cache(maxsize=2)
def _detector(name: str) -> FaceDetector:
    """Return a detector; a process loads it once. Other processes get its name."""
    return load_detector(name)


class _MeshFollower(Follower):
    def __init__(self, source: Mesh, clip: Path) -> None:
        from lse_bench.faces.facemesh import load_mesh

        self._network = load_mesh(source.path)
        self._detector, self._clip = _detector(source.detector), clip
        self._square: Square | None = None
        self._since = 0

    def find(self, frame: NDArray[np.uint8]) -> Points | None:
        from lse_bench.faces.facemesh import THRESHOLD, landmarks_of, square_of_mesh

        if self._square is None or self._since >= SEARCH_EVERY:
            self._square = self._searched(frame)
        if self._square is None:
            return None
        mesh, present = self._network.find(frame, self._square)
        self._since += 1
        if present <= THRESHOLD:
            self._square = None
            return None
        self._square = square_of_mesh(mesh)
        return landmarks_of(mesh)

    def _searched(self, frame: NDArray[np.uint8]) -> Square | None:
        """Return where to look. A face that is followed already is kept if the detector sees it there."""
        from lse_bench.faces.facemesh import square_of_box, square_of_mesh

        self._since = 0
        faces = next(iter(self._detector.faces(self._clip, [frame]))) or []
        if not faces:
            return self._square
        if self._square is not None:
            x, y, *_ = self._square
            if any(face.box[0] < x < face.box[2] and face.box[1] < y < face.box[3] for face in faces):
                return self._square
        largest = max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
        mesh, _ = self._network.find(frame, square_of_box(largest.box))
        return square_of_mesh(mesh)  # the face upright, and in the middle
