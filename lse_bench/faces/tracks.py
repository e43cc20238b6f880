"""Join the detections of one shot to face tracks, with one box per frame for each face.

`original` is syncnet_python's tracker, including its faults. It follows one face at a time through the shot. It takes
each detection whose overlap with the last one exceeds 0.5, even several in one frame, and skips the detection after a
match. If faces come close to each other, a track can therefore jump to the other face. `matched` is the corrected
variant. In every frame it assigns at most one detection to each open track so that the sum of the overlaps is largest.
Both join detections up to 25 frames apart. Both drop tracks of 100 detections or fewer and faces of 100 pixels or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import Tracker
from lse_bench.faces.face import Face, overlap

TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
MIN_TRACK = 100  # a track needs more detections than this
GAP = 25  # frames: detections further apart are not joined
MIN_SIZE = 100  # pixels: the larger of mean width and mean height must exceed this
_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Track:
    """The track of one face.

    `first`: the first frame. `boxes`: float64 (n,4), left, top, right, bottom in pixels for the frames `first` to
    `first`+n-1. The box of a frame without a detection is interpolated linearly. `detections`: the number of joined
    detections; under `original` one frame can have several.
    """

    first: int
    boxes: NDArray[np.float64]
    detections: int

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def stop(self) -> int:
        """The number of the frame after the last one."""
        return self.first + len(self.boxes)

    @property
    def size(self) -> float:
        """The larger of mean width and mean height in pixels."""
        return float((self.boxes[:, 2:] - self.boxes[:, :2]).mean(axis=0).max())


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks of a shot or clip. `kept`: the tracks to score. `dropped`: the other tracks, each with a reason."""

    kept: list[Track]
    dropped: list[tuple[Track, str]]


_Chain = list[tuple[int, Face]]  # (frame, detection), in order


def track_shot(
    faces: Sequence[Sequence[Face]], first: int = 0, *, tracker: Tracker = "original", min_track: int = MIN_TRACK
) -> Tracks:
    """Return the tracks in one shot. `faces[i]`: the faces in frame `first`+i.

    `min_track`: a track needs more detections than this. With a frame stride one detection represents several frames,
    and the caller lowers `min_track` accordingly.
    """
    chains = {"original": _follow_one_by_one, "matched": _assign_frame_by_frame}[tracker](faces, first)
    kept, dropped = [], []
    for chain in chains:
        track = _interpolated(chain)
        if len(chain) <= min_track:
            dropped.append((track, f"{len(chain)} detections, more than {min_track} are needed"))
        elif track.size <= MIN_SIZE:
            dropped.append((track, f"a face of {track.size:.0f} px, more than {MIN_SIZE} are needed"))
        else:
            kept.append(track)
    return Tracks(kept, dropped)


def _follow_one_by_one(faces: Sequence[Sequence[Face]], first: int) -> list[_Chain]:
    left = [list(found) for found in faces]
    chains: list[_Chain] = []
    while True:
        chain: _Chain = []
        for number, found in enumerate(left, first):
            if chain and number - chain[-1][0] > GAP:
                break
            index = 0
            while index < len(found):
                if not chain or overlap(found[index].box, chain[-1][1].box) > _OVERLAP:
                    # The published code removes items from the list that it iterates over, so it skips the next one.
                    chain.append((number, found.pop(index)))
                index += 1
        if not chain:
            return chains
        chains.append(chain)


def _assign_frame_by_frame(faces: Sequence[Sequence[Face]], first: int) -> list[_Chain]:
    chains: list[_Chain] = []
    for number, found in enumerate(faces, first):
        open_chains = [chain for chain in chains if number - chain[-1][0] <= GAP]
        taken: set[int] = set()
        if open_chains and found:
            shares = np.array([[overlap(face.box, chain[-1][1].box) for face in found] for chain in open_chains])
            shares[shares <= _OVERLAP] = 0
            from scipy.optimize import linear_sum_assignment  # takes a quarter of a second to import

            rows, columns = linear_sum_assignment(shares, maximize=True)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                if shares[row, column] > 0:
                    open_chains[row].append((number, found[column]))
                    taken.add(column)
        chains += [[(number, face)] for column, face in enumerate(found) if column not in taken]
    return chains


def _interpolated(chain: _Chain) -> Track:
    """Return the track of a chain, with one box per frame. If a frame has several detections, the last one counts."""
    by_frame = {number: face.box for number, face in chain}
    frames = np.array(list(by_frame))
    boxes = np.stack(list(by_frame.values()))
    every = np.arange(frames[0], frames[-1] + 1)
    joined = np.stack([np.interp(every, frames, boxes[:, side]) for side in range(4)], axis=1)
    return Track(int(frames[0]), joined, len(chain))
