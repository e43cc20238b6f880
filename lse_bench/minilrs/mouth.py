"""The mouth and the eyes, which are painted into the texture for every frame.

Shapes are in radians of longitude and latitude on the head. Mouth contours run from the viewer's left to right.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.minilrs.identity import Colour, Identity
from lse_bench.minilrs.skin import DENSITY, HEIGHT, WIDTH, Texture
from lse_bench.minilrs.surface import EYE_LAT, LAT_MIN, LON_MAX, grid, rise
from lse_bench.minilrs.visemes import JAW, PRESS, ROUND, TEETH, TONGUE, TUCK
from lse_bench.minilrs.visemes import WIDTH as SPREAD

JAW_DROP = 0.23  # radians by which the chin moves down when the jaw is fully open
_GAP = 0.29  # radians between the lips when the jaw is fully open
_REACH = 0.45  # radians below the mouth over which the skin stretches; a shorter range would fold it
_POINTS = 25
_T = np.linspace(-1, 1, _POINTS)
_LID = np.linspace(-1, 1, 13)
_ROUND = np.linspace(0, 2 * np.pi, 24)

Contour = NDArray[np.float64]  # (N, 2): longitude, latitude


@dataclass(frozen=True, slots=True)
class Habit:
    """The mouth posture of a speaker throughout a clip, about -1 to 1.

    `smile`: positive raises the corners. `lopsided`: positive lowers the corner on the viewer's right.
    """

    smile: float
    lopsided: float


@dataclass(frozen=True, slots=True)
class MouthShape:
    """The four contours of a mouth, each (25,2) from corner to corner."""

    outer_upper: Contour
    inner_upper: Contour
    inner_lower: Contour
    outer_lower: Contour

    def landmarks(self) -> Contour:
        """Return the 20 mouth points (20,2) of the 68 landmarks, in their order (48-67)."""

        def at(contour: Contour, *shares: float) -> Contour:
            return contour[[round(share * (_POINTS - 1)) for share in shares]]

        return np.concatenate(
            [
                at(self.outer_upper, 0, 0.18, 0.38, 0.5, 0.62, 0.82, 1),
                at(self.outer_lower, 0.8, 0.62, 0.5, 0.38, 0.2),
                at(self.inner_upper, 0, 0.28, 0.5, 0.72, 1),
                at(self.inner_lower, 0.72, 0.5, 0.28),
            ]
        )


def mouth_shape(who: Identity, habit: Habit, lips: NDArray[np.floating]) -> MouthShape:
    """Return the mouth of this face for `lips`, a row (7,) of the lip track."""
    jaw, press, spread, rounding = (float(lips[i]) for i in (JAW, PRESS, SPREAD, ROUND))
    tuck, teeth = float(lips[TUCK]), float(lips[TEETH])
    half = who.mouth_width * (1 + 0.2 * spread - 0.26 * rounding + 0.05 * habit.smile - 0.05 * jaw)
    gap = (_GAP * jaw * (1 - 0.6 * tuck) + 0.05 * teeth * (1 - tuck) + 0.03 * tuck) * (1 - press)
    raised = 0.018 * teeth + 0.03 * jaw
    top = who.mouth_height - raised * (1 - press)
    bottom = top + gap
    upper = who.upper_lip * (1 - 0.6 * press) * (1 + 0.3 * rounding) * (1 - 0.2 * max(spread, 0))
    lower = who.lower_lip * (1 - 0.55 * press) * (1 + 0.2 * rounding) * (1 - 0.55 * tuck) * (1 - 0.15 * max(spread, 0))
    t = _T
    corner = who.mouth_height + 0.3 * gap - 0.028 * habit.smile + 0.014 * habit.lopsided * t
    arch = (1 - t**2) ** (0.5 + 0.25 * (1 - rounding))
    bow = 1 - 0.25 * np.exp(-((t / 0.12) ** 2)) + 0.12 * np.exp(-(((np.abs(t) - 0.26) / 0.16) ** 2))
    line = 0.006 * np.cos(3 * np.pi * t) * (1 - t**2)  # the wavy line where closed lips meet
    inner_upper = corner + (top - corner) * arch + line
    inner_lower = np.maximum(corner + (bottom - corner) * arch, inner_upper)
    outer_upper = inner_upper - upper * (1 - np.abs(t) ** 1.9) * bow
    outer_lower = np.maximum(inner_lower, inner_upper + 0.5 * lower * tuck * arch) + lower * (1 - t**2) ** 0.75

    def contour(latitude: NDArray[np.float64], width: float) -> Contour:
        return np.stack([half * width * t, latitude], axis=1)

    return MouthShape(
        contour(outer_upper, 1), contour(inner_upper, 0.94), contour(inner_lower, 0.94), contour(outer_lower, 1)
    )


class Jaw:
    """The stretch of the lower face when the jaw opens, for maps of `width` x `height` over the whole surface."""

    def __init__(self, who: Identity, width: int, height: int) -> None:
        lon, lat = grid(width, height)
        self._top = int(np.argmax(lat[:, 0] > who.mouth_height - 0.03))
        inside = np.flatnonzero(np.abs(lon[0]) < 1.3)
        self._left, self._right = int(inside[0]), int(inside[-1]) + 1
        window = np.s_[self._top :, self._left : self._right]
        weight = rise(lat, who.mouth_height - 0.03, who.mouth_height + _REACH) * rise(np.abs(lon), 1.3, 0.45)
        per_radian = (height - 1) / (lat[-1, 0] - lat[0, 0])
        self._shift = (weight[window] * JAW_DROP * per_radian).astype(np.float32)
        rows, columns = np.mgrid[self._top : height, self._left : self._right].astype(np.float32)
        self._rows, self._columns = rows, columns

    def open(self, values: NDArray, jaw: float) -> NDArray:  # type: ignore[type-arg]
        """Return a copy of the map `values` with the jaw opened by `jaw` (0-1)."""
        moved = values.copy()
        moved[self._top :, self._left : self._right] = cv2.remap(
            values, self._columns, self._rows - jaw * self._shift, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return moved

    @staticmethod
    def follow(points: Contour, who: Identity, jaw: float) -> Contour:
        """Return the positions that points (N,2) of the closed face have when the jaw is opened by `jaw` (0-1)."""
        lon, lat = points[:, 0], points[:, 1]
        side = rise(np.abs(lon), 1.3, 0.45)
        moved = lat.copy()
        for _ in range(4):  # the stretch is defined at the target, so iterate a few times
            moved = lat + jaw * JAW_DROP * side * rise(moved, who.mouth_height - 0.03, who.mouth_height + _REACH)
        return np.stack([lon, moved], axis=1)


def paint_mouth(texture: Texture, who: Identity, shape: MouthShape, lips: NDArray[np.floating]) -> None:
    """Paint lips, teeth and tongue onto `texture`, in place. `lips`: a row (7,) of the lip track."""
    x0, y0, x1, y1 = _window((-0.6, who.mouth_height - 0.24), (0.6, who.mouth_height + 0.55))
    patch = texture[y0:y1, x0:x1]

    def pixels(*contours: Contour) -> NDArray[np.int32]:
        points = np.concatenate(contours)
        return _subpixels(points, x0, y0)

    upper = pixels(shape.outer_upper, shape.inner_upper[::-1])
    lower = pixels(shape.inner_lower, shape.outer_lower[::-1])
    colour = who.lip_colour * 255
    cv2.fillPoly(patch, [upper], (colour * 0.82).tolist(), cv2.LINE_AA, shift=4)
    cv2.fillPoly(patch, [lower], colour.tolist(), cv2.LINE_AA, shift=4)
    _shine(patch, shape, colour, x0, y0)
    inner = pixels(shape.inner_upper, shape.inner_lower[::-1])
    gap = float(np.max(shape.inner_lower[:, 1] - shape.inner_upper[:, 1]))
    if gap > 0.006:
        mask = _mask(patch.shape, inner)
        inside = _inside(patch.shape, shape, lips, x0, y0)
        _blend(patch, mask, inside)
    seam = np.minimum(who.skin, who.lip_colour) * 255 * 0.35
    for line in (shape.inner_upper, shape.inner_lower) if gap > 0.02 else (shape.inner_upper,):
        cv2.polylines(patch, [pixels(line)], False, seam.tolist(), 1, cv2.LINE_AA, shift=4)


def _inside(
    size: tuple[int, ...], shape: MouthShape, lips: NDArray[np.floating], x0: int, y0: int
) -> NDArray[np.uint8]:
    """Return a picture of the inside of the mouth: dark, with teeth above and below, and the tongue."""
    inside = np.empty(size, np.uint8)
    inside[:] = (30, 18, 42)
    middle = _POINTS // 2
    top, bottom = float(shape.inner_upper[middle, 1]), float(shape.inner_lower[middle, 1])
    half = float(shape.inner_upper[-1, 0])
    gap = bottom - top
    bared = 0.35 + 0.65 * float(lips[TEETH])
    length = min(0.085, 0.02 + 0.07 * bared)
    t = _T
    row = 0.82 * half * t

    def fill(points: Contour, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(inside, [_subpixels(points, x0, y0)], colour, cv2.LINE_AA, shift=4)

    low_teeth = bottom - (0.012 + 0.035 * bared) * (0.4 + 0.6 * float(lips[TEETH]))
    edge = np.stack([0.72 * half * t, low_teeth + 0.02 * t**2], axis=1)
    fill(np.concatenate([edge, [[half, bottom + 0.2], [-half, bottom + 0.2]]]), (150, 172, 182))
    tip = float(lips[TONGUE])
    height = 0.05 + 0.35 * gap + tip * 0.6 * gap
    angle = _ROUND
    raised = bottom + 0.03 - height / 2
    fill(
        np.stack([0.5 * half * (1 - 0.25 * tip) * np.cos(angle), raised + height / 2 * np.sin(angle)], axis=1),
        (88, 82, 172),
    )
    if tip < 0.75 or gap < 0.03:
        edge = np.stack([row, top + length * (1 - 0.45 * t**2)], axis=1)
        fill(np.concatenate([edge, [[half, top - 0.2], [-half, top - 0.2]]]), (196, 212, 220))
    else:  # the tongue between the teeth hides the lower half of the upper ones
        edge = np.stack([row, top + 0.5 * length * (1 - 0.45 * t**2)], axis=1)
        fill(np.concatenate([edge, [[half, top - 0.2], [-half, top - 0.2]]]), (196, 212, 220))
    return inside


def _shine(patch: Texture, shape: MouthShape, colour: Colour, x0: int, y0: int) -> None:
    """Paint the highlight on the lower lip, in place."""
    middle = _POINTS // 2
    low, high = shape.outer_lower[middle, 1], shape.inner_lower[middle, 1]
    centre = _subpixels(np.array([[0.0, high + 0.4 * (low - high)]]), x0, y0)[0] / 16
    columns = np.exp(-(((np.arange(patch.shape[1]) - centre[0]) / (0.4 * shape.outer_lower[-1, 0] * DENSITY)) ** 2))
    rows = np.exp(-(((np.arange(patch.shape[0]) - centre[1]) / max(1.0, 0.3 * (low - high) * DENSITY)) ** 2))
    light = (34 * np.outer(rows, columns)).astype(np.uint8)
    patch[:] = cv2.add(patch, cv2.merge([light, light, light]))


@dataclass(frozen=True, slots=True)
class Gaze:
    """The eyes in one frame.

    `closed`: 0 open to 1 closed. `right`, `down`: the direction to the viewer's right and down, -1 to 1.
    """

    closed: float
    right: float
    down: float


def eye_contours(who: Identity, side: int, closed: float) -> tuple[Contour, Contour]:
    """Return the upper and lower lid (13,2) of an eye, from the inner corner outwards.

    `side`: -1 for the eye on the viewer's left, 1 for the right.
    """
    t = _LID
    lon = side * (who.eye_distance + 0.17 * who.eye_size * t)
    tilt = -who.eye_tilt * 0.12 * t
    open_upper = 0.085 * who.eye_size * (1 - t**2) ** 0.6
    low = 0.05 * who.eye_size * (1 - t**2) ** 0.8
    upper = EYE_LAT + tilt - open_upper + closed * (open_upper + low * 0.9)
    return np.stack([lon, upper], axis=1), np.stack([lon, EYE_LAT + tilt + low], axis=1)


def paint_eyes(texture: Texture, who: Identity, gaze: Gaze) -> None:
    """Paint both eyes onto `texture`, in place."""
    skin = who.skin * 255
    for side in (-1, 1):
        near, far = sorted((side * (who.eye_distance - 0.25), side * (who.eye_distance + 0.25)))
        x0, y0, x1, y1 = _window((near, EYE_LAT - 0.19), (far, EYE_LAT + 0.13))
        patch = texture[y0:y1, x0:x1]
        upper, lower = eye_contours(who, side, gaze.closed)
        lids = _subpixels(np.concatenate([upper, lower[::-1]]), x0, y0)
        if gaze.closed < 0.9:
            ball = np.empty_like(patch)
            ball[:] = (205, 214, 220)
            place = np.array([[side * who.eye_distance + 0.055 * gaze.right, EYE_LAT - 0.014 + 0.035 * gaze.down]])
            x, y = (int(value) for value in _subpixels(place, x0, y0)[0])
            radius = 0.08 * who.eye_size * DENSITY * 16
            iris = who.iris * 255
            for size, shade in ((1.0, iris * 0.5), (0.85, iris), (0.45, iris * 0.12)):
                cv2.circle(ball, (x, y), round(radius * size), shade.tolist(), -1, cv2.LINE_AA, shift=4)
            cv2.circle(ball, (x - 30, y - 40), 22, (245, 245, 245), -1, cv2.LINE_AA, shift=4)
            _blend(patch, _mask(patch.shape, lids), ball)
        lashes = skin * (0.16 if who.eyeshadow else 0.28)
        thick = 3 if who.eyeshadow else 2
        cv2.polylines(patch, [_subpixels(upper, x0, y0)], False, lashes.tolist(), thick, cv2.LINE_AA, shift=4)
        cv2.polylines(patch, [_subpixels(lower, x0, y0)], False, (skin * 0.6).tolist(), 1, cv2.LINE_AA, shift=4)
        crease, _ = eye_contours(who, side, 0.3 * gaze.closed)
        crease = crease - np.array([0, 0.04 * who.eye_size])
        cv2.polylines(patch, [_subpixels(crease[1:], x0, y0)], False, (skin * 0.62).tolist(), 1, cv2.LINE_AA, shift=4)


def _subpixels(points: Contour, x0: int, y0: int) -> NDArray[np.int32]:
    """Return surface points as pixels of a texture window at (x0, y0), with four fractional bits for OpenCV."""
    placed = np.empty(points.shape)
    placed[:, 0] = (points[:, 0] * (1 / (2 * LON_MAX)) + 0.5) * (WIDTH - 1) - x0
    placed[:, 1] = (points[:, 1] - LAT_MIN) * DENSITY - y0
    placed *= 16
    return np.rint(placed, out=placed).astype(np.int32)


def _window(low: tuple[float, float], high: tuple[float, float]) -> tuple[int, int, int, int]:
    corners = _subpixels(np.array([low, high]), 0, 0) // 16
    return int(corners[0, 0]), int(corners[0, 1]), int(corners[1, 0]), min(int(corners[1, 1]), HEIGHT)


def _mask(size: tuple[int, ...], polygon: NDArray[np.int32]) -> NDArray[np.uint8]:
    mask = np.zeros(size[:2], np.uint8)
    cv2.fillPoly(mask, [polygon], 255, cv2.LINE_AA, shift=4)
    return mask


def _blend(patch: Texture, mask: NDArray[np.uint8], over: NDArray[np.uint8]) -> None:
    weight = mask.astype(np.float32)
    patch[:] = cv2.blendLinear(over, patch, weight, 255 - weight)
