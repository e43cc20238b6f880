"""The surface of a head: an ellipsoid times a relief over longitude and latitude, and its intersection with rays.

Head coordinates: x to the viewer's right, y down, z towards a viewer who faces the head. The unit is half the head's
width. A point of the surface has a longitude (atan2(x, z)) and a latitude (asin(y/r)), in radians; latitude is positive
downwards. The relief is a grid of factors on the ellipsoid's radius. Maps are float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.minilrs.identity import Identity

Field = NDArray[Any]  # float32; OpenCV's type hints have no narrower type

LON_MAX, LAT_MIN, LAT_MAX = 2.4, -1.45, 1.4
GRID_W, GRID_H = 145, 86  # cells of the relief: 1/30 radian
EYE_LAT, NOSE_LAT = -0.04, 0.36
_HULL = 1.3  # a factor that no relief exceeds
_FIRST_STEPS, _STEPS = 8, 2
_DAMPING = np.float32(0.5)  # of the iteration; without damping the outline of ears and hair flickers


def grid(width: int = GRID_W, height: int = GRID_H) -> tuple[Field, Field]:
    """Return longitude and latitude (height, width) at the cells of a map over the whole surface."""
    lon = (np.arange(width, dtype=np.float32) / (width - 1) * 2 - 1) * LON_MAX
    lat = LAT_MIN + np.arange(height, dtype=np.float32) / (height - 1) * (LAT_MAX - LAT_MIN)
    columns, rows = np.meshgrid(lon, lat)
    return columns, rows


def bump(lon: Field, lat: Field, at: tuple[float, float], size: tuple[float, float]) -> Field:
    """Return a Gaussian hill of height 1 with its top at `at`. `size`: its widths; both are (longitude, latitude)."""
    hill: Field = np.exp(-(((lon - at[0]) / size[0]) ** 2) - ((lat - at[1]) / size[1]) ** 2)
    return hill


def rise(values: Field, start: float, stop: float) -> Field:
    """Return 0 before `start`, 1 after `stop` and a smooth step between. `start` may be larger than `stop`."""
    t = np.clip((values - start) / (stop - start), 0, 1)
    step: Field = t * t * (3 - 2 * t)
    return step


def relief_of(who: Identity) -> Field:
    """Return the relief (GRID_H, GRID_W) of a face at rest, without hair."""
    lon, lat = grid()
    side = np.abs(np.sin(lon))
    below = rise(lat, 0.3, 1.05)
    relief = 1 - who.jaw_narrow * below * side**2
    relief -= 0.05 * bump(lon, lat, (0, 0.55), (0.9, 0.25)) * (1 - side)  # the flat area between cheeks and chin
    for sign in (-1, 1):
        relief -= 0.055 * bump(lon, lat, (sign * who.eye_distance * 0.95, EYE_LAT), (0.2, 0.12))
        relief += who.cheek * bump(lon, lat, (sign * 0.55, 0.16), (0.28, 0.2))
        relief += 0.10 * bump(lon, lat, (sign * 1.55, 0.06), (0.13, 0.2))  # ears
        relief += 0.04 * who.nose_width * bump(lon, lat, (sign * 0.11 * who.nose_width, NOSE_LAT), (0.07, 0.06))
    relief += 0.03 * bump(lon, lat, (0, -who.brow_height), (0.6, 0.1))
    tip = NOSE_LAT * who.nose_length - 0.04
    ridge = rise(lat, EYE_LAT - 0.08, tip) * rise(lat, tip + 0.13, tip + 0.01)
    relief += who.nose_height * ridge * np.exp(-((lon / (0.12 * who.nose_width)) ** 2))
    relief += 0.035 * bump(lon, lat, (0, who.mouth_height), (0.28, 0.1))
    relief += (0.03 + who.chin) * bump(lon, lat, (0, 0.93), (0.25, 0.14))
    relief *= 1 - 0.22 * rise(lat, 1.0, 1.4)
    relief *= 1 - 0.22 * rise(lat, -0.4, -1.35)  # the crown is flatter than an ellipsoid's end
    for sign in (-1, 1):
        relief += 0.06 * bump(lon, lat, (sign * 1.2, -0.7), (0.55, 0.4))
    smooth: Field = cv2.GaussianBlur(relief.astype(np.float32), (0, 0), 0.8)
    return smooth


@dataclass(frozen=True, slots=True)
class Pose:
    """The position and orientation of a head in the picture.

    `yaw`, `pitch`, `roll`: radians. Positive yaw turns the nose to the viewer's right, positive pitch turns it down,
    and positive roll is clockwise. `x`, `y`: the head's centre. `scale`: half its width. All three are shares of the
    picture's side.
    """

    yaw: float
    pitch: float
    roll: float
    x: float
    y: float
    scale: float

    def rotation(self) -> NDArray[np.float64]:
        """Return the matrix (3,3) from head to view coordinates. View z points to the viewer."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        turned: NDArray[np.float64] = roll @ pitch @ yaw
        return turned

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Project head coordinates (N,3) orthographically to picture coordinates (N,2), in shares of its side."""
        seen: NDArray[np.float64] = (np.asarray(points) @ self.rotation().T)[:, :2] * self.scale + (self.x, self.y)
        return seen


class Surface:
    """The ellipsoid of a head, with the mappings from surface to space and from picture to surface."""

    def __init__(self, who: Identity) -> None:
        self.axes = np.array([1.0, who.height, who.depth])
        self._inverse = 1 / self.axes**2

    def points(self, relief: Field, lon: NDArray[np.floating], lat: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return head coordinates (N,3) of surface points. `lon`, `lat` (N,): radians."""
        x = (np.asarray(lon) / LON_MAX + 1) / 2 * (GRID_W - 1)
        y = (np.asarray(lat) - LAT_MIN) / (LAT_MAX - LAT_MIN) * (GRID_H - 1)
        factor = cv2.remap(
            relief,
            x.astype(np.float32)[None],
            y.astype(np.float32)[None],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )[0]
        direction = np.stack([np.sin(lon) * np.cos(lat), np.sin(lat), np.cos(lon) * np.cos(lat)], axis=-1)
        radius = factor / np.sqrt((direction**2 * self._inverse).sum(axis=-1))
        placed: NDArray[np.float64] = direction * radius[:, None]
        return placed

    def normals(self, relief: Field) -> Field:
        """Return outward unit normals (GRID_H, GRID_W, 3) in head coordinates."""
        lon, lat = grid()
        place = self.points(relief, lon.ravel(), lat.ravel()).reshape(GRID_H, GRID_W, 3)
        normal = np.cross(np.gradient(place, axis=1), np.gradient(place, axis=0))
        length = np.linalg.norm(normal, axis=2, keepdims=True)
        unit: Field = (normal / np.maximum(length, 1e-6)).astype(np.float32)
        return unit if unit[GRID_H // 2, GRID_W // 2, 2] > 0 else -unit

    def cast(
        self, relief: Field, pose: Pose, x: Field, y: Field, guess: Field | None = None
    ) -> tuple[Field, Field, Field, Field]:
        """Intersect the ray of each picture point with the head.

        `x`, `y`: picture points in shares of the picture's side, arrays of one shape. `guess`: the relief that the call
        for the previous frame found; None starts from an outer hull. Returns four arrays of that shape: columns and
        rows of the relief, a measure that is positive on the head and zero at its outline, and the relief found. The
        relief is found by fixed-point iteration, which is exact for gentle relief and good enough for a nose in
        profile.
        """
        rotation = pose.rotation()
        right, down, toward = (rotation[i].astype(np.float32) for i in range(3))
        u, v = (x - np.float32(pose.x)) / np.float32(pose.scale), (y - np.float32(pose.y)) / np.float32(pose.scale)
        origin = [u * right[k] + v * down[k] for k in range(3)]
        weights = self._inverse.astype(np.float32)
        a = np.float32((toward**2 * weights).sum())
        b = origin[0] * (toward[0] * weights[0])
        outer = origin[0] ** 2 * weights[0]
        for k in (1, 2):
            b += origin[k] * (toward[k] * weights[k])
            outer += origin[k] ** 2 * weights[k]
        inner = b * b - a * outer
        # Blurred, because at grazing angles the iteration can oscillate from ray to ray.
        factor = np.full_like(u, _HULL) if guess is None else cv2.blur(guess, (7, 7))
        column, row = u, v
        for _ in range(_FIRST_STEPS if guess is None else _STEPS):
            depth = (np.sqrt(np.maximum(inner + a * factor * factor, 0)) - b) / a
            px, py, pz = (origin[k] + depth * toward[k] for k in range(3))
            column = np.arctan2(px, pz) * np.float32((GRID_W - 1) / (2 * LON_MAX)) + np.float32((GRID_W - 1) / 2)
            row = np.arctan2(py, cv2.magnitude(px, pz)) - np.float32(LAT_MIN)
            row *= np.float32((GRID_H - 1) / (LAT_MAX - LAT_MIN))
            found = cv2.remap(relief, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            factor = factor + _DAMPING * (found - factor)
        return column, row, inner + a * factor * factor, factor
