"""The conditions of a clip apart from the face: motion, light, background, body and camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from lse_bench.choices import Style
from lse_bench.minilrs.identity import Identity
from lse_bench.minilrs.mouth import Gaze, Habit
from lse_bench.minilrs.surface import Pose

_BLINK = (0.4, 1.0, 0.9, 0.45, 0.1)  # closure of the eyes, frame by frame
_SIDE_VIEW = 0.08  # share of clips that show the head from the side
_NOISE_PICTURES = 3
_ROOM = 320  # pixels; the background is drawn at this size and blurred


@dataclass(frozen=True, slots=True)
class Scene:
    """The conditions of a clip.

    `poses`, `gazes`: one for each frame. `light` (3,): the unit vector towards the light, in view coordinates.
    `ambient`: the share of light without direction. `noise`: the standard deviation of the sensor noise, of 255.
    `background`: a BGR picture. `quality`: x264's constant rate factor.
    """

    poses: tuple[Pose, ...]
    gazes: tuple[Gaze, ...]
    habit: Habit
    light: NDArray[np.float64]
    ambient: float
    tone: NDArray[np.uint8]  # (1, 256, 3), a lookup table with exposure, colour and contrast of the camera
    noise: float
    background: NDArray[np.uint8]
    quality: int

    @property
    def side_view(self) -> bool:
        """Whether the head is turned sideways by more than 30 degrees in most frames."""
        return bool(np.median([abs(pose.yaw) for pose in self.poses]) > np.radians(30))


def draw_scene(rng: np.random.Generator, style: Style, frames: int) -> Scene:
    """Draw the conditions of a clip.

    All clips of style `marked` are dark, a fifth of style `mixed`, and none of style `plain`.
    """
    dark = style == "marked" or (style == "mixed" and rng.random() < 0.2)
    azimuth, height = rng.uniform(-1.1, 1.1), rng.uniform(0.0, 0.8)
    light = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)])
    return Scene(
        poses=_poses(rng, frames),
        gazes=_gazes(rng, frames),
        habit=Habit(float(rng.normal(0, 0.5)), float(rng.normal(0, 0.5))),
        light=light,
        ambient=float(rng.uniform(0.3, 0.65)),
        tone=_tone(rng, dark),
        noise=float(rng.uniform(2.0, 4.5) if dark else rng.uniform(0.8, 3.0)),
        background=_background(rng),
        quality=int(rng.integers(19, 27)),
    )


def _poses(rng: np.random.Generator, frames: int) -> tuple[Pose, ...]:
    side = rng.random() < _SIDE_VIEW
    yaw = rng.choice([-1, 1]) * np.radians(rng.uniform(32, 50)) if side else np.radians(rng.normal(0, 9))
    sway = _wander(rng, frames, 6, 14.0)
    liveliness = rng.uniform(0.4, 1.3)
    angles = np.radians(liveliness * sway[:3] * np.array([[3.5], [2.5], [2.0]]))
    scale = rng.uniform(0.36, 0.42)
    x, y = 0.5 + rng.normal(0, 0.012), 0.43 + rng.normal(0, 0.01)
    pitch, roll = np.radians(rng.normal(0, 3.5)), np.radians(rng.normal(0, 2.5))
    return tuple(
        Pose(
            yaw=float(yaw + angles[0, i]),
            pitch=float(pitch + angles[1, i]),
            roll=float(roll + angles[2, i]),
            x=float(x + liveliness * 0.009 * sway[3, i] + 0.04 * np.sin(angles[0, i])),
            y=float(y + liveliness * 0.007 * sway[4, i] + 0.03 * np.sin(angles[1, i])),
            scale=float(scale * (1 + 0.02 * liveliness * sway[5, i])),
        )
        for i in range(frames)
    )


def _gazes(rng: np.random.Generator, frames: int) -> tuple[Gaze, ...]:
    closed = np.zeros(frames + len(_BLINK))
    at = int(rng.integers(0, 60))
    while at < frames:
        closed[at : at + len(_BLINK)] = _BLINK
        at += int(rng.integers(30, 130))
    looks = np.empty((frames, 2))
    look, until = rng.normal(0, 0.35, 2), 0
    for i in range(frames):
        if i >= until:
            look, until = np.clip(rng.normal(0, 0.4, 2), -1, 1), i + int(rng.integers(10, 50))
        looks[i] = look
    return tuple(Gaze(float(closed[i]), float(looks[i, 0]), float(looks[i, 1] * 0.6)) for i in range(frames))


def _wander(rng: np.random.Generator, frames: int, count: int, sigma: float) -> NDArray[np.float64]:
    """Return smooth random motions (count, frames) with a standard deviation of about 1.

    `sigma`: the smoothing, in frames.
    """
    margin = int(4 * sigma)
    noise = rng.standard_normal((count, frames + 2 * margin))
    motion = gaussian_filter1d(noise, sigma, axis=1)[:, margin : margin + frames]
    scaled: NDArray[np.float64] = motion * np.sqrt(2 * sigma * np.sqrt(np.pi))
    return scaled


def _tone(rng: np.random.Generator, dark: bool) -> NDArray[np.uint8]:
    exposure = rng.uniform(0.33, 0.55) if dark else rng.uniform(0.82, 1.15)
    warmth = rng.normal(0, 0.045)
    gain = exposure * np.array([1 - warmth, 1.0, 1 + warmth])
    level = np.arange(256)[:, None] / 255
    out = np.clip(level ** rng.uniform(0.88, 1.12) * gain, 0, 1)
    return np.rint(out * 255).astype(np.uint8)[None]


def _background(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a blurred BGR picture (320,320,3) of a room in muted colours, with shapes and sometimes lights."""
    size = _ROOM
    grey = rng.uniform(45, 190)
    tint = rng.normal(0, 9, 3)
    picture = np.full((size, size, 3), np.clip(grey + tint, 5, 250), np.float32)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    picture *= (1 + rng.normal(0, 0.18) * ramp[None, :, None]) * (1 + rng.normal(0, 0.18) * ramp[:, None, None])
    for _ in range(int(rng.integers(0, 9))):
        x, y = rng.integers(-40, size, 2)
        w, h = rng.integers(20, 190, 2)
        colour = np.clip(grey * rng.uniform(0.5, 1.4) + rng.normal(0, 14, 3), 5, 250)
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), colour.tolist(), -1)
    if rng.random() < 0.25:
        for _ in range(12):
            x, y = rng.integers(0, size, 2)
            colour = np.clip(grey + rng.uniform(20, 90) + rng.normal(0, 16, 3), 5, 250)
            cv2.circle(picture, (int(x), int(y)), int(rng.integers(4, 14)), colour.tolist(), -1, cv2.LINE_AA)
    blurred = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(2, 9)))
    return np.clip(blurred, 0, 255).astype(np.uint8)


def paint_body(picture: NDArray[Any], who: Identity, pose: Pose) -> None:
    """Paint the hair behind the head, the neck and the clothes onto the square `picture`, in place.

    The head is drawn over them later.
    """
    side = len(picture)
    scale = pose.scale * side
    lean = np.array([0.15 * np.sin(pose.yaw), 0.0])
    middle = np.array([pose.x, pose.y]) * side

    def fill(points: list[tuple[float, float]], colour: NDArray[np.float64]) -> None:
        placed = (np.array(points) - lean) * scale + middle
        cv2.fillPoly(
            picture,
            [np.rint(placed * 16).astype(np.int32)],
            np.clip(colour * 255, 0, 255).tolist(),
            cv2.LINE_AA,
            shift=4,
        )

    if who.hair in ("bob", "long"):
        length = 1.75 if who.hair == "long" else 1.0
        angle = np.linspace(0, np.pi, 24)
        top = [(1.13 * np.cos(a), -0.3 - 1.02 * np.sin(a)) for a in angle]
        fill([(0.8, length), (1.1, length - 0.2), *top, (-1.1, length - 0.2), (-0.8, length)], who.hair_colour * 0.55)
    fill([(-0.55, 0.5), (-0.56, 1.4), (-0.8, 1.75), (0.8, 1.75), (0.56, 1.4), (0.55, 0.5)], who.skin * 0.74)
    fill([(-0.45, 0.5), (-0.3, 1.42), (0.0, 1.6), (0.3, 1.42), (0.45, 0.5)], who.skin * 0.66)
    shoulder = [(-0.62, 1.42), (-1.5, 1.72), (-2.6, 2.3), (2.6, 2.3), (1.5, 1.72), (0.62, 1.42), (0.0, 1.95)]
    fill(shoulder, who.clothes)
    fill([(-0.62, 1.42), (-0.74, 1.5), (-0.02, 2.2), (0.0, 1.95)], who.clothes * 0.7)
    fill([(0.62, 1.42), (0.74, 1.5), (0.02, 2.2), (0.0, 1.95)], who.clothes * 0.8)


class Camera:
    """The camera of a clip: resolution, tone curve and sensor noise. Equal random streams give equal noise."""

    def __init__(self, rng: np.random.Generator, scene: Scene, size: int) -> None:
        self._tone = scene.tone
        self._size = size
        self._noise = []
        for _ in range(_NOISE_PICTURES):
            grain = rng.standard_normal((size + 64, size + 64, 3)).astype(np.float32) * scene.noise
            self._noise.append(np.rint(grain).astype(np.int16))
        self._places = rng.integers(0, 64, (len(scene.poses), 2))

    def shoot(self, picture: NDArray[Any], number: int) -> NDArray[Any]:
        """Return the canvas `picture` as frame `number`, at the clip's size."""
        small = cv2.resize(picture, (self._size, self._size), interpolation=cv2.INTER_LINEAR)
        toned = cv2.LUT(small, self._tone)
        x, y = self._places[number]
        grain = self._noise[number % _NOISE_PICTURES][y : y + self._size, x : x + self._size]
        frame: NDArray[Any] = cv2.add(toned, grain, dtype=cv2.CV_8U)
        return frame
