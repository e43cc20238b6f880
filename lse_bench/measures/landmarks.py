"""Landmark distances to the original: mouth and whole face, places and velocities."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lse_bench.measures.interface import Measure, MeasuredClip, Meter, Need, NoValueError, needs_original

_FIXED = (*range(36, 48), *range(27, 31))  # eyes and bridge of the nose: speech does not move them
_MOUTH = slice(48, 68)
_RIGHT, _LEFT = slice(36, 42), slice(42, 48)  # the eyes, as the picture has them
_ENOUGH = 0.5  # share of frames in which landmarks must be found

Points = NDArray[np.float64]


def eye_distance(points: Points) -> float:
    """Return the distance between the centres of the eyes of 68 landmarks (68,2), in pixels."""
    return float(np.linalg.norm(points[_LEFT].mean(axis=0) - points[_RIGHT].mean(axis=0)))


def aligned(points: Points, original: Points) -> Points:
    """Return `points` (68,2) moved, turned and scaled so that eyes and nose bridge lie on those of `original`."""
    turn, here, there = similarity(points[list(_FIXED)], original[list(_FIXED)])
    turned: Points = (points - here) @ turn.T + there
    return turned


def similarity(points: Points, onto: Points) -> tuple[Points, Points, Points]:
    """Return what lays `points` (n,2) on `onto` (n,2) best: a scaled rotation (2,2), and both centres (2,).

    A point x goes to `turn @ (x - here) + there`. It is the least-squares similarity of Umeyama (1991), without
    reflection.
    """
    here, there = points.mean(axis=0), onto.mean(axis=0)
    x, y = points - here, onto - there
    left, sizes, right = np.linalg.svd(y.T @ x)
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    scale = float((sizes * sign).sum() / max(float((x**2).sum()), 1e-12))
    return scale * (left * sign @ right), here, there


def refuse_few(found: int, frames: int) -> None:
    """Raise NoValueError if landmarks were found in fewer than half of the frames."""
    if not frames:
        raise NoValueError("no frames")
    if found < _ENOUGH * frames:
        raise NoValueError(f"landmarks were found in {found} of {frames} frames; half are needed")


class MouthDistance(Measure):
    """Mean distance of the mouth's landmarks from the original's (M-LMD), after alignment, in eye distances."""

    name = "lmd"
    needs: frozenset[Need] = frozenset({"frames", "original", "landmarks"})
    unit = "eye distances"
    higher_is_better = False
    range: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    sources = ("Chen and others, 2018 (LMD)", "Chen and others, 2019 (ATVGnet: alignment)")
    deviations = (
        "The alignment is fitted on eyes and nose bridge only, so that it cannot hide a mouth that is too wide. The "
        "distance is divided by the distance between the eyes."
    )
    part: ClassVar[slice] = _MOUTH
    of_velocity: ClassVar[bool] = False

    def start(self, clip: MeasuredClip) -> Meter:
        needs_original(clip)
        return _DistanceMeter(self.part, self.of_velocity)


class FaceDistance(MouthDistance):
    """Mean distance of all landmarks from the original's (F-LMD), after alignment, in eye distances."""

    name = "lmd_face"
    part = slice(0, 68)


class MouthVelocity(MouthDistance):
    """Mean difference of the mouth's landmark movement between frames from the original's, in eye distances a frame."""

    name = "lmd_velocity"
    unit = "eye distances a frame"
    of_velocity = True


class FaceVelocity(FaceDistance):
    """Mean difference of all landmarks' movement between frames from the original's, in eye distances a frame."""

    name = "lmd_face_velocity"
    unit = "eye distances a frame"
    of_velocity = True


class _DistanceMeter(Meter):
    def __init__(self, part: slice, of_velocity: bool) -> None:
        self._part, self._of_velocity = part, of_velocity
        self._values: list[float] = []
        self._before: Points | None = None
        self._frames = self._found = 0

    def landmarks(self, points: Points | None, original: Points | None) -> None:
        self._frames += 1
        if points is None or original is None:
            self._before = None
            return
        self._found += 1
        away = (aligned(points, original) - original)[self._part] / eye_distance(original)
        told = away if not self._of_velocity else None if self._before is None else away - self._before
        self._before = away
        if told is not None:
            self._values.append(float(np.linalg.norm(told, axis=1).mean()))

    def finish(self) -> float:
        refuse_few(self._found, self._frames)
        if not self._values:
            raise NoValueError("no two frames in a row have landmarks")
        return math.fsum(self._values) / len(self._values)
