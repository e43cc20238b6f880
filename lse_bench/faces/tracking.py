"""Find the shots and face tracks of a clip in one pass over its frames."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lse_bench.choices import Tracker
from lse_bench.errors import UsageError
from lse_bench.faces.detectors import FaceDetector, Frame
from lse_bench.faces.face import Face
from lse_bench.faces.shots import ShotDetector
from lse_bench.faces.tracks import MIN_TRACK, TRACKERS, Track, Tracks, track_shot


@dataclass(frozen=True)
class Tracking:
    """The settings for face tracks. Each field changes scores.

    `detector`: the face detector. `tracker`: the rule that joins detections to tracks. `min_track`: a track needs more
    detections than this at stride 1. `stride`: every n-th frame (1-25) is searched for faces; the boxes of the frames
    between are interpolated. Raises UsageError if a value is out of range.
    """

    detector: FaceDetector
    tracker: Tracker = "original"
    min_track: int = MIN_TRACK
    stride: int = 1

    def __post_init__(self) -> None:
        if self.tracker not in TRACKERS:
            raise UsageError(f"no tracker called {self.tracker}; the trackers are: {', '.join(TRACKERS)}")
        if self.min_track < 0:
            raise UsageError(f"--min-track {self.min_track}: the value must be 0 or more")
        if not 1 <= self.stride <= 25:
            raise UsageError(
                f"--stride {self.stride}: the value must be 1 to 25, because detections further apart are not joined"
            )

    @property
    def enough(self) -> int:
        """The number of detections that a track must exceed. One detection represents `stride` frames."""
        return self.min_track // self.stride

    @property
    def marks(self) -> list[str]:
        """The parts of a protocol's id for the tracking: the detector, and every setting that differs from the
        published one."""
        found = [self.detector.name]
        if self.tracker != "original":
            found.append(self.tracker)
        if self.min_track != MIN_TRACK:
            found.append(f"min{self.min_track}")
        if self.stride != 1:
            found.append(f"stride{self.stride}")
        return found

    @property
    def key(self) -> dict[str, str]:
        """The part of a comparison key that describes the tracking."""
        return {
            "detector": self.detector.id,
            "detector_sha256": self.detector.weights_sha256,
            "tracker": self.tracker,
            "min_track": str(self.min_track),
            "stride": str(self.stride),
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """The shots and tracks of a clip.

    `frames`: number of frames. `shots`: first frame and the frame after the last, for each shot. `faces`: total number
    of detections. `tracks`: the kept and dropped tracks.
    """

    frames: int
    shots: list[tuple[int, int]]
    faces: int
    tracks: Tracks

    @property
    def why_no_track(self) -> str:
        """The reason for a clip without a track to score."""
        longest = max((stop - first for first, stop in self.shots), default=0)
        reasons = [reason for _, reason in sorted(self.tracks.dropped, key=lambda pair: -pair[0].detections)[:2]]
        told = f"; the closest: {'; '.join(reasons)}" if reasons else f"; the longest shot has {longest} frames"
        return (
            f"no face track to score in {self.frames} frames, {len(self.shots)} shots, {self.faces} detections{told}. "
            "For short clips --min-track lowers the limit and becomes part of the protocol id"
        )


OnFrame = Callable[[int], None]


def find_tracks(
    clip: Path, frames: Iterable[Frame], tracking: Tracking, on_frame: OnFrame = lambda number: None, first: int = 0
) -> Scene:
    """Return the shots and tracks of a clip from one pass over its frames. At most one batch of frames is in memory.

    `clip`: the path of the clip. `frames`: uint8 (H,W,3) BGR at 25 per second. `on_frame`: called with the number of
    each frame. `first`: the number of the first frame in the file.
    """
    shots = ShotDetector()
    found = _Found()

    def watched() -> Iterator[Frame]:
        for number, frame in enumerate(frames):
            shots.push(frame)
            on_frame(number)
            yield frame

    for faces in tracking.detector.faces(clip, watched(), tracking.stride, first):
        found.push(faces or [])
    return scene_of(found.faces(), shots.shots(), tracking)


class _Found:
    """The faces of each frame so far, stored in two growing blocks.

    With one array per face, small arrays would remain between the large buffers of each frame. The C library could then
    not reuse the memory of those buffers: ten minutes of 720p would need 2 GB more.
    """

    def __init__(self) -> None:
        self._counts = array("I")
        self._values = array("d")

    def push(self, faces: list[Face]) -> None:
        self._counts.append(len(faces))
        for face in faces:
            self._values.extend((*face.box, face.score))

    def faces(self) -> list[list[Face]]:
        rows = iter(np.asarray(self._values).reshape(-1, 5))
        return [[Face(row[:4], float(row[4])) for row in islice(rows, count)] for count in self._counts]


def scene_of(found: list[list[Face]], shots: list[tuple[int, int]], tracking: Tracking) -> Scene:
    """Return the scene for the faces of each frame, with tracks found shot by shot.

    `found`: the faces of each frame. `shots`: first frame and the frame after the last. If a shot has fewer frames than
    `min_track`, all of its tracks are dropped.
    """
    kept: list[Track] = []
    dropped: list[tuple[Track, str]] = []
    for first, stop in shots:
        tracks = track_shot(found[first:stop], first, tracker=tracking.tracker, min_track=tracking.enough)
        dropped += tracks.dropped
        if stop - first >= tracking.min_track:
            kept += tracks.kept
        else:
            reason = f"a shot of {stop - first} frames, but at least {tracking.min_track} are needed"
            dropped += [(track, reason) for track in tracks.kept]
    return Scene(len(found), shots, sum(map(len, found)), Tracks(kept, dropped))
