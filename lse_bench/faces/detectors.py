"""Face detectors by name, with one interface: `centerface`, `s3fd`, and `boxes`, which reads boxes from files.

The `id` of a detector contains every setting that changes a box. It is part of a result's comparison key.
"""

from __future__ import annotations

import json
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import ClipError, UsageError, no_such
from lse_bench.faces.face import Face
from lse_bench.naming import whole
from lse_bench.storage import refuse_bomb
from lse_bench.weights.readers import file_digest

_DAMAGES = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)

Frame = NDArray[np.uint8]
Detect = Callable[[Sequence[Frame]], list[list[Face]]]
DETECTORS = ("centerface", "s3fd", "boxes")
BATCH = 8  # frames per pass of a network


@dataclass(frozen=True)
class FaceDetector:
    """A face detector for BGR frames.

    `name`: the name under which it is requested. `id`: its name and the settings that change a box. `weights_sha256`:
    digest of the weights, or of the box files in the folder for `boxes`. `detect`: the function that finds faces in a
    batch of frames of one size, or None for `boxes`. `folder`: the folder of the box files for `boxes`, otherwise None.
    """

    name: str
    id: str
    weights_sha256: str
    detect: Detect | None = None
    folder: Path | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def faces(
        self, clip: Path, frames: Iterable[Frame], stride: int = 1, first: int = 0
    ) -> Iterator[list[Face] | None]:
        """Yield for each frame the faces in it, the most confident first, or None if the stride skips the frame.

        `clip`: the path of the clip, for `boxes` and for messages. `frames`: uint8 (H,W,3) BGR. Their size may change.
        Few frames are in memory at a time. `stride`: every n-th frame is searched. `first`: the number of the first
        frame in the file, for `boxes`. Raises ClipError `no_face` if `boxes` has no usable file for the clip.
        """
        if self.detect is None:
            found = read_boxes(clip, self.folder or Path())[first:]
            for number, _ in enumerate(frames):
                yield (found[number] if number < len(found) else []) if number % stride == 0 else None
            return
        held: list[Frame] = []
        looked_at: list[bool] = []  # one entry per frame since the last batch
        for number, frame in enumerate(frames):
            looked_at.append(number % stride == 0)
            if looked_at[-1]:
                held.append(frame)
            if len(held) == BATCH:
                yield from self._spread(held, looked_at)
                held, looked_at = [], []
        yield from self._spread(held, looked_at)

    def _spread(self, frames: Sequence[Frame], looked_at: Sequence[bool]) -> Iterator[list[Face] | None]:
        answers = iter(self._in_batches(frames))
        for looked in looked_at:
            yield next(answers) if looked else None

    def _in_batches(self, frames: Sequence[Frame]) -> list[list[Face]]:
        assert self.detect is not None
        found: list[list[Face]] = []
        start = 0
        with self._lock:  # several readers share one network
            while start < len(frames):
                stop = start + 1
                while stop < len(frames) and frames[stop].shape == frames[start].shape:
                    stop += 1
                found += self.detect(frames[start:stop])
                start = stop
        return found


def name_of(id_: str) -> str:
    """Return the name under which a detector with this `FaceDetector.id` is requested."""
    kind = id_.partition("@")[0].partition(":")[0]
    return kind if kind in DETECTORS else "s3fd"  # an id of S3FD begins with the name of its variant


def load_detector(
    name: str, *, weights: Path | None = None, boxes: Path | None = None, device: str = "cpu"
) -> FaceDetector:
    """Return the detector `name`.

    `weights`: the weights file of `s3fd`. `boxes`: the folder of the box files of `boxes`. `device`: the device of
    `s3fd`. Raises UsageError if the name is unknown, or if an extra, the weights or the folder is missing. Raises
    WeightsError if the file does not hold S3FD's weights.
    """
    if name == "centerface":
        from lse_bench.faces.centerface import LONGEST, THRESHOLD, VERSION, CenterFace, weights_path

        network = CenterFace()
        return FaceDetector(
            name, f"centerface@{VERSION}:{LONGEST}:{THRESHOLD:g}", file_digest(weights_path()), network.detect
        )
    if name == "s3fd":
        from lse_bench.faces.s3fd import S3fd

        if weights is None:
            raise UsageError("the detector s3fd needs its weights; get them with: lse-bench weights fetch sfd_face")
        detector = S3fd.load(weights, device=device)
        return FaceDetector(
            name,
            f"{detector.variant.name}:{detector.scale:g}:{detector.threshold:g}",
            file_digest(weights),
            detector.detect,
        )
    if name == "boxes":
        if boxes is None or not boxes.is_dir():
            raise UsageError(f"the detector boxes needs --boxes FOLDER with a file for each clip, got {boxes}")
        return FaceDetector(name, "boxes", _digest_of_folder(boxes), folder=boxes)
    raise UsageError(no_such("face detector", name, DETECTORS))


def _digest_of_folder(folder: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    # Links are followed because `read_boxes` follows them; a loop of links ends at the system's limit.
    inside = (Path(top, name) for top, _, names in os.walk(folder, followlinks=True) for name in names)
    for path in sorted(path for path in inside if path.suffix in (".json", ".npz") and path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def read_boxes(clip: Path, folder: Path) -> list[list[Face]]:
    """Return the faces of each frame of a clip from a file in `folder`.

    Frames are counted as for scoring: at 25 fps, from the start of the file. The file is `FOLDER/NAME` or `NAME` with
    the suffix .json or .npz, where NAME is the clip's name without suffix and FOLDER is the name of the clip's folder.
    A JSON file holds for each frame a list of `{"bbox": [left, top, right, bottom], "conf": 0.99}`. An .npz file holds
    `boxes` (frames,4) with one face per frame, and optionally `landmarks` (frames,68,2) or (frames,5,2), like the files
    of MiniLRS clips. Raises ClipError `no_face` if no file exists for the clip or if it has another format.
    """
    path = box_file(clip, folder)
    try:
        if path.suffix == ".npz":
            refuse_bomb(path)
            with np.load(path, allow_pickle=False) as held:
                boxes = np.asarray(held["boxes"], dtype=np.float64)
                points = held["landmarks"] if "landmarks" in held else [None] * len(boxes)
            if boxes.ndim != 2 or boxes.shape[1] != 4:
                raise ValueError(f"boxes have the shape {boxes.shape}, but need (frames, 4)")
            return [_faces_of(box, found) for box, found in zip(boxes, points, strict=True)]
        return [[_face(found) for found in frame] for frame in json.loads(path.read_text(encoding="utf-8"))]
    except UsageError as error:
        raise ClipError(clip, "no_face", str(error)) from None
    except _DAMAGES as error:
        raise ClipError(clip, "no_face", f"{path} holds no valid boxes: {type(error).__name__}: {error}") from None


def box_file(clip: Path, folder: Path) -> Path:
    """Return the file with the boxes of a clip, see `read_boxes`. Raises ClipError `no_face` if there is none."""
    # The clip's absolute location decides, not the spelling of its path, and no name leads out of the folder.
    place = whole(clip)
    places = [f"{place.parent.name}/{place.stem}", place.stem]
    for path in (folder / f"{place}{suffix}" for place in places for suffix in (".json", ".npz")):
        if path.exists():
            return path
    raise ClipError(
        clip, "no_face", f"no boxes for it in {folder} (searched for {', '.join(places)} with .json or .npz)"
    )


def _faces_of(box: NDArray[np.float64], points: Any) -> list[Face]:
    """Return the face of a frame, or an empty list if the box is non-finite or has no area."""
    if not (np.isfinite(box).all() and (box[2:] > box[:2]).all()):
        return []
    return [Face(box, 1.0, None if points is None else np.asarray(points, dtype=np.float64))]


def _face(found: dict[str, Any]) -> Face:
    box = np.array(found["bbox"], dtype=np.float64)
    if box.shape != (4,) or not (np.isfinite(box).all() and (box[2:] > box[:2]).all()):
        raise ValueError(f"bbox {found['bbox']} is not left, top, right, bottom")
    return Face(box, float(found.get("conf", 1.0)))
