"""Who is to be seen when: shots, face tracks and how they were found, from one pass over a clip's frames."""

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
    """How tracks are found; every field moves a score.

    `min_track`: a track needs more detections than this, at stride 1. `stride`: every n-th frame is looked at; boxes
    between are interpolated.
    """

    detector: FaceDetector
    tracker: Tracker = "original"
    min_track: int = MIN_TRACK
    stride: int = 1

    def __post_init__(self) -> None:
        if self.tracker not in TRACKERS:
            raise UsageError(f"no tracker called {self.tracker}; there are: {', '.join(TRACKERS)}")
        if self.min_track < 0:
            raise UsageError(f"--min-track {self.min_track}: 0 or more")
        if not 1 <= self.stride <= 25:
            raise UsageError(f"--stride {self.stride}: 1 to 25, since detections 25 frames apart are still joined")

    @property
    def enough(self) -> int:
        """Detections that are not enough at this stride: a detection stands for `stride` frames."""
        return self.min_track // self.stride

    @property
    def marks(self) -> list[str]:
        """What a protocol's id says of it: the detector, and whatever is not as published."""
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
        """Its part of a comparison key."""
        return {
            "detector": self.detector.id,
            "detector_sha256": self.detector.weights_sha256,
            "tracker": self.tracker,
            "min_track": str(self.min_track),
            "stride": str(self.stride),
        }


@dataclass(frozen=True, slots=True)
class Scene:
    """`shots`: first frame and the frame after the last. `faces`: how many detections in all."""

    frames: int
    shots: list[tuple[int, int]]
    faces: int
    tracks: Tracks

    @property
    def why_no_track(self) -> str:
        """A sentence for a clip without a track to score."""
        longest = max((stop - first for first, stop in self.shots), default=0)
        reasons = [reason for _, reason in sorted(self.tracks.dropped, key=lambda pair: -pair[0].detections)[:2]]
        told = f"; the nearest: {'; '.join(reasons)}" if reasons else f"; the longest shot has {longest} frames"
        return (
            f"no face track to score in {self.frames} frames, {len(self.shots)} shots, {self.faces} detections{told}. "
            "Short clips: --min-track lowers the limit and is part of the result's id"
        )


OnFrame = Callable[[int], None]


def find_tracks(
    clip: Path, frames: Iterable[Frame], tracking: Tracking, on_frame: OnFrame = lambda number: None
) -> Scene:
    """Shots and tracks of a clip in one pass; holds a batch of frames at most."""
    shots = ShotDetector()
    found = _Found()

    def watched() -> Iterator[Frame]:
        for number, frame in enumerate(frames):
            shots.push(frame)
            on_frame(number)
            yield frame

    for faces in tracking.detector.faces(clip, watched(), tracking.stride):
        found.push(faces or [])
    return scene_of(found.faces(), shots.shots(), tracking)


class _Found:
    """The faces of each frame so far, in two growing blocks.

    An array for each face would be left lying between the large buffers that come and go with every frame, and keep
    the C library from using their room again: 2 GB more for ten minutes of 720p.
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
    """Tracks from what was found in each frame, shot by shot; all of a shot shorter than `min_track` are dropped."""
    kept: list[Track] = []
    dropped: list[tuple[Track, str]] = []
    for first, stop in shots:
        tracks = track_shot(found[first:stop], first, tracker=tracking.tracker, min_track=tracking.enough)
        dropped += tracks.dropped
        if stop - first >= tracking.min_track:
            kept += tracks.kept
        else:
            reason = f"a shot of {stop - first} frames, at least {tracking.min_track} are needed"
            dropped += [(track, reason) for track in tracks.kept]
    return Scene(len(found), shots, sum(map(len, found)), Tracks(kept, dropped))
