"""Known damage of one picture, each kind with a strength from 0 (none) to 1.

The strength scales the cause, not the look: the sigma of a blur, the quality of a JPEG, the level of noise. Sizes are
shares of the face's box, so equal strengths look alike in pictures of every size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]  # uint8, (H,W,3)
Box = tuple[float, float, float, float]
Damage = Callable[[Picture, Box, float, np.random.Generator], Picture]

_BLUR = 0.04  # sigma at strength 1, as a share of the face's width
_QUALITY = 92  # JPEG quality 98 at strength 0, 6 at strength 1
_NOISE = 28.0  # standard deviation at strength 1, grey levels
_COLOUR = 0.35  # relative change of the blue and the red channel at strength 1
_SEAM = 36.0  # grey levels by which a pasted lower face is lighter at strength 1


def blur(picture: Picture, box: Box, strength: float, rng: np.random.Generator) -> Picture:
    """Return the whole picture through a Gaussian blur; sigma is up to 4 % of the face's width."""
    sigma = strength * _BLUR * _width(box)
    return picture.copy() if sigma < 0.05 else np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma))


def jpeg(picture: Picture, box: Box, strength: float, rng: np.random.Generator) -> Picture:
    """Return the picture after JPEG compression, of quality 98 to 6."""
    if strength == 0:
        return picture.copy()
    quality = round(98 - strength * _QUALITY)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def noise(picture: Picture, box: Box, strength: float, rng: np.random.Generator) -> Picture:
    """Return the picture with Gaussian noise, independent in each pixel and channel, of up to 28 grey levels."""
    grain = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(strength * _NOISE)
    return _clipped(picture + grain)


def colour(picture: Picture, box: Box, strength: float, rng: np.random.Generator) -> Picture:
    """Return the picture with a colour cast: its first channel up to 35 % weaker, its last as much stronger."""
    gain = np.array([1 - strength * _COLOUR, 1, 1 + strength * _COLOUR], np.float32)
    return _clipped(picture * gain)


def seam(picture: Picture, box: Box, strength: float, rng: np.random.Generator) -> Picture:
    """Return the picture with its lower face pasted in with a hard edge, up to 36 grey levels lighter."""
    damaged = picture.copy()
    part = lower_face(picture, box)
    damaged[part] = _clipped(picture[part] + np.float32(strength * _SEAM))
    return damaged


def soft_mouth(picture: Picture, box: Box, strength: float, rng: np.random.Generator) -> Picture:
    """Return the picture with its lower face blurred, as generators draw it; sigma is up to 4 % of the face's width."""
    damaged = picture.copy()
    part = lower_face(picture, box)
    damaged[part] = blur(picture, box, strength, rng)[part]
    return damaged


PICTURES: dict[str, Damage] = {
    "blur": blur,
    "jpeg": jpeg,
    "noise": noise,
    "colour": colour,
    "seam": seam,
    "soft-mouth": soft_mouth,
}


def lower_face(picture: Picture, box: Box) -> tuple[slice, slice]:
    """Return rows and columns of the lower half of a face's box, cut at the picture's edges."""
    left, top, right, bottom = box
    height, width = picture.shape[:2]
    rows = slice(max(0, round((top + bottom) / 2)), min(height, max(0, round(bottom))))
    return rows, slice(max(0, round(left)), min(width, max(0, round(right))))


def _width(box: Box) -> float:
    return max(1.0, box[2] - box[0])


def _clipped(values: NDArray[Any]) -> Picture:
    clipped: Picture = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped
