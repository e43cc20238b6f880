"""The frames of a speaker, from texture, surface, light and scene, with boxes and landmarks as ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.minilrs.identity import Identity
from lse_bench.minilrs.mouth import (
    Contour,
    Jaw,
    MouthShape,
    eye_contours,
    mouth_shape,
    paint_eyes,
    paint_mouth,
)
from lse_bench.minilrs.scene import Camera, Scene, paint_body
from lse_bench.minilrs.skin import HEIGHT, WIDTH, hair_relief, texture_of
from lse_bench.minilrs.surface import (
    EYE_LAT,
    GRID_H,
    GRID_W,
    NOSE_LAT,
    Field,
    Pose,
    Surface,
    bump,
    grid,
    relief_of,
)
from lse_bench.minilrs.visemes import JAW, ROUND, LipTrack

Frame = NDArray[Any]  # uint8
# Pictures are drawn larger than they are stored, small ones by a larger factor. A ray is cast for every third pixel.
_CANVAS = {160: 216, 224: 264, 256: 276}
_STEP = 3
_COLUMN, _LINE = np.float32((WIDTH - 1) / (GRID_W - 1)), np.float32((HEIGHT - 1) / (GRID_H - 1))
_MARGIN = 0.15  # share of the canvas by which the background is larger
_FOREHEAD = np.array([[-0.5, -0.55], [0.0, -0.55], [0.5, -0.55]])  # longitude, latitude; top of the face's box
_OUTLINE = 26.0  # steepness of the head's outline: alpha per unit of the measure of `Surface.cast`


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth of a frame, in pixels of the frame.

    `box` (4,): left, top, right and bottom of the face, from forehead to chin. `landmarks` (68, 2): the 68 points in
    the usual numbering.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]


class Head:
    """A speaker who is ready for rendering. Construction takes about 0.1 s, a frame about 3 ms."""

    def __init__(self, who: Identity, size: int) -> None:
        """`size`: the side of the stored picture: 160, 224 or 256 pixels."""
        self.who, self.size = who, size
        self._canvas = _CANVAS[size]
        self.surface = Surface(who)
        self._texture, hair = texture_of(who)
        self._relief: Field = relief_of(who) + hair_relief(who, hair)
        self._normals = self.surface.normals(self._relief)
        self._texture_jaw, self._relief_jaw = Jaw(who, WIDTH, HEIGHT), Jaw(who, GRID_W, GRID_H)
        self._still: dict[float, Contour] = {}  # landmarks 0-47 with the jaw closed, by the closure of the eyes
        lon, lat = grid()
        self._pout = 0.05 * bump(lon, lat, (0, who.mouth_height), (0.2, 0.09))
        side = (np.arange(0, self._canvas, _STEP, dtype=np.float32) + np.float32(_STEP / 2)) / self._canvas
        self._x, self._y = np.meshgrid(side, side)

    def clip(self, scene: Scene, lips: LipTrack, rng: np.random.Generator) -> Iterator[tuple[Frame, Truth]]:
        """Yield the BGR frames (size, size, 3) uint8 of a clip, each with its truth.

        `lips`: the lip track (frames, 7), one row for each pose of `scene`.
        """
        camera = Camera(rng, scene, self.size)
        margin = round(_MARGIN * self._canvas)
        room = cv2.resize(scene.background, (self._canvas + margin, self._canvas + margin))
        guess: Field | None = None
        gaze, rested = None, self._texture
        for number, (pose, row) in enumerate(zip(scene.poses, lips, strict=True)):
            shape = mouth_shape(self.who, scene.habit, row)
            if scene.gazes[number] != gaze:  # the gaze rarely changes between frames
                gaze, rested = scene.gazes[number], self._texture.copy()
                paint_eyes(rested, self.who, gaze)
            texture = self._texture_jaw.open(rested, float(row[JAW]))
            paint_mouth(texture, self.who, shape, row)
            relief = self._relief_jaw.open(self._relief, float(row[JAW])) + np.float32(row[ROUND]) * self._pout
            column, line, measure, guess = self.surface.cast(relief, pose, self._x, self._y, guess)
            cover = np.clip(_OUTLINE * cv2.blur(measure, (3, 3)) + 0.5, -8, 9)
            picture = self._behind(room, pose, np.clip(cover, 0, 1))
            self._put_head(picture, texture, column, line, self._shade(scene, pose, column, line), cover)
            if self.who.glasses:
                _paint_glasses(picture, self.who, pose)
            truth = self._truth(pose, relief, shape, float(row[JAW]), scene.gazes[number].closed)
            yield camera.shoot(picture, number), truth

    def _put_head(self, picture: Frame, texture: Frame, column: Field, line: Field, shade: Field, cover: Field) -> None:
        """Draw the head onto `picture`, in place. Only the part that the head covers is computed."""
        seen = cover > 0
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        top, bottom = max(0, rows[0] - 1), rows[-1] + 2
        left, right = max(0, columns[0] - 1), columns[-1] + 2
        part = np.s_[top:bottom, left:right]
        under = picture[top * _STEP : bottom * _STEP, left * _STEP : right * _STEP]
        size = (under.shape[1], under.shape[0])

        def enlarged(values: Field) -> Field:
            large: Field = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
            return large

        # Fixed point, because OpenCV is faster with it.
        seen_at = enlarged(np.dstack([column[part] * _COLUMN, line[part] * _LINE]))
        places, fractions = cv2.convertMaps(seen_at, None, cv2.CV_16SC2)  # type: ignore[call-overload]
        face = cv2.remap(texture, places, fractions, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        lit = enlarged(shade[part])
        face = cv2.multiply(face, cv2.merge([lit, lit, lit]), dtype=cv2.CV_8U)
        alpha = cv2.convertScaleAbs(np.clip(enlarged(cover[part]), 0, 1), alpha=255)
        weight = cv2.merge([alpha, alpha, alpha])
        under[:] = cv2.add(cv2.multiply(face, weight, scale=1 / 255), cv2.multiply(under, 255 - weight, scale=1 / 255))

    def _shade(self, scene: Scene, pose: Pose, column: Field, line: Field) -> Field:
        normal = cv2.remap(self._normals, column, line, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rotation = pose.rotation()
        light = (rotation.T @ scene.light).astype(np.float32)
        view = rotation[2].astype(np.float32)
        lambert = np.maximum(normal @ light, 0)
        facing = np.clip(normal @ view, 0, 1)
        shade: Field = (scene.ambient + (1.12 - scene.ambient) * lambert) * (0.62 + 0.38 * np.sqrt(facing))
        return shade

    def _behind(self, room: Frame, pose: Pose, cover: Field) -> Frame:
        side = self._canvas
        margin = len(room) - side
        x = int(np.clip(margin / 2 + (0.5 - pose.x) * 0.8 * side, 0, margin))
        y = int(np.clip(margin / 2 + (0.43 - pose.y) * 0.8 * side, 0, margin))
        picture = room[y : y + side, x : x + side].copy()
        paint_body(picture, self.who, pose)
        # The head shades the neck but not the wall, so only pixels below its middle are darkened.
        drop, start = round(0.22 * pose.scale * len(cover)), int(pose.y * len(cover))
        below = np.clip((self._y[start:] - pose.y) / (0.6 * pose.scale), 0, 1)
        kept = 1 - 0.55 * cv2.GaussianBlur(cover[start - drop : len(cover) - drop], (0, 0), 2) * below
        lower = picture[start * _STEP :]
        large = cv2.resize(kept.astype(np.float32), (side, len(lower)), interpolation=cv2.INTER_LINEAR)
        lower[:] = cv2.multiply(lower, cv2.merge([large, large, large]), dtype=cv2.CV_8U)
        return picture

    def _truth(self, pose: Pose, relief: Field, shape: MouthShape, jaw: float, closed: float) -> Truth:
        if closed not in self._still:
            self._still[closed] = _still_landmarks(self.who, closed)
        still = self._still[closed].copy()
        still[:17] = Jaw.follow(still[:17], self.who, jaw)
        points = np.concatenate([still, shape.landmarks(), _FOREHEAD])
        seen = pose.project(self.surface.points(relief, points[:, 0], points[:, 1])) * self.size
        box = np.concatenate([seen.min(axis=0), seen.max(axis=0)])
        return Truth(box.astype(np.float32), seen[:68].astype(np.float32))


def _still_landmarks(who: Identity, closed: float) -> Contour:
    """Return points 0-47 of the 68 landmarks with the jaw closed: jaw line, brows, nose and eyes, (48,2).

    Points run from the viewer's left to right. `closed`: the closure of the eyes, 0-1.
    """
    around = np.linspace(-1, 1, 17)
    lat = 0.95 * (1 - np.abs(around) ** 2.2)
    jawline = np.stack([1.28 * np.sign(around) * np.abs(around) ** 0.8, lat], axis=1)
    brow = np.linspace(-1, 1, 5)
    height = -who.brow_height - 0.035 * (1 - brow**2)
    brows = [np.stack([side * who.eye_distance + 0.2 * brow, height], axis=1) for side in (-1, 1)]
    bridge = np.stack([np.zeros(4), np.linspace(EYE_LAT, NOSE_LAT * who.nose_length - 0.04, 4)], axis=1)
    base = np.stack(
        [0.12 * who.nose_width * np.linspace(-1, 1, 5), [NOSE_LAT + 0.04 + 0.02 * b for b in (0, 1, 1.5, 1, 0)]], axis=1
    )
    eyes = []
    for side in (-1, 1):
        upper, lower = eye_contours(who, side, closed)
        if side < 0:  # landmarks run from left to right, but contours run outwards
            upper, lower = upper[::-1], lower[::-1]
        eyes.append(np.stack([upper[0], upper[4], upper[8], upper[12], lower[8], lower[4]]))
    return np.concatenate([jawline, *brows, bridge, base, *eyes])


def _paint_glasses(picture: Frame, who: Identity, pose: Pose) -> None:
    front = 1.2
    angle = np.linspace(0, 2 * np.pi, 40)
    colour = (28, 26, 30) if who.glasses > 0.9 else (70, 90, 110)
    thick = 3 if who.glasses > 0.9 else 2
    for side in (-1, 1):
        x = side * 0.43 + 0.3 * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7
        y = 0.0 + 0.22 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.75
        rim = np.stack([x, y, front - 0.25 * x**2], axis=1)
        arm = np.array([[side * 0.73, -0.05, front - 0.14], [side * 1.06, -0.05, 0.45]])
        lines = [rim] if side * np.sin(pose.yaw) > 0.35 else [rim, arm]
        for line in lines:
            cv2.polylines(
                picture, [_fixed(pose.project(line) * len(picture))], line is rim, colour, thick, cv2.LINE_AA, shift=4
            )
    bridge = np.array([[-0.13, -0.05, front], [0, -0.08, front + 0.05], [0.13, -0.05, front]])
    cv2.polylines(picture, [_fixed(pose.project(bridge) * len(picture))], False, colour, thick, cv2.LINE_AA, shift=4)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    fixed: NDArray[np.int32] = np.rint(points * 16).astype(np.int32)
    return fixed
