"""The texture of a head at rest: skin, brows, hair and beard, painted over longitude and latitude."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.minilrs.identity import Colour, Identity
from lse_bench.minilrs.surface import EYE_LAT, NOSE_LAT, Field, bump, grid, rise

DENSITY = 94  # texture pixels per radian
WIDTH, HEIGHT = round(4.8 * DENSITY), round(2.85 * DENSITY)
Texture = NDArray[Any]  # uint8


def texture_of(who: Identity) -> tuple[Texture, Field]:
    """Return the BGR texture (HEIGHT, WIDTH, 3) uint8 without eyes and mouth, and each pixel's hair density, 0-1."""
    rng = np.random.default_rng(who.texture_seed)
    lon, lat = grid(WIDTH, HEIGHT)
    picture = _skin(who, rng, lon, lat)
    strands = _strands(rng)
    hair = _hair(who, rng, lon, lat)
    _beard(picture, who, rng, lon, lat)
    _brows(picture, who, rng)
    shine = 0.75 + 0.5 * strands + 0.25 * bump(lon, lat, (0.3, -1.0), (0.9, 0.22))
    _mix(picture, hair, who.hair_colour * shine[..., None])
    return np.clip(picture * 255, 0, 255).astype(np.uint8), hair


def _skin(who: Identity, rng: np.random.Generator, lon: Field, lat: Field) -> NDArray[np.float64]:
    blotches = _noise(rng, 18) * 0.035 + _noise(rng, 6) * 0.02 + _noise(rng, 1.2) * 0.022
    picture: NDArray[np.float64] = who.skin * (1 + blotches[..., None])
    red = np.zeros_like(lon)
    dark = np.zeros_like(lon)
    for sign in (-1, 1):
        red += bump(lon, lat, (sign * 0.5, 0.25), (0.25, 0.18))
        eye = sign * who.eye_distance
        dark += 0.20 * bump(lon, lat, (eye, EYE_LAT - 0.03), (0.2, 0.10))
        dark += 0.14 * bump(lon, lat, (sign * 0.14, EYE_LAT), (0.08, 0.12))
        dark += (0.06 + 0.14 * who.age) * bump(lon, lat, (eye, EYE_LAT + 0.14), (0.15, 0.035))  # under the eyes
        wing = 0.12 * who.nose_width
        dark += 0.28 * bump(lon, lat, (sign * (wing + 0.05), NOSE_LAT), (0.035, 0.06))
        dark += 0.7 * bump(lon, lat, (sign * wing * 0.55, NOSE_LAT + 0.055), (0.045, 0.022))  # nostrils
        fold = np.abs(lon - sign * (0.19 + 0.5 * np.maximum(lat - NOSE_LAT, 0))) / 0.035  # nose to mouth corner
        dark += (0.08 + 0.2 * who.age) * np.exp(-(fold**2)) * bump(lon, lat, (sign * 0.27, 0.5), (0.3, 0.14))
        ear = bump(lon, lat, (sign * 1.5, 0.05), (0.05, 0.12))
        dark += 0.3 * ear + 0.25 * bump(lon, lat, (sign * 1.36, 0.1), (0.03, 0.2))
        shadow = bump(lon, lat, (eye, EYE_LAT - 0.06), (0.19, 0.075))
        _mix(picture, who.eyeshadow * 0.6 * shadow, who.skin * np.array([0.75, 0.5, 0.6]))
    red += 0.9 * bump(lon, lat, (0, NOSE_LAT - 0.04), (0.12, 0.1))
    dark += 0.12 * bump(lon, lat, (0, NOSE_LAT + 0.10), (0.16, 0.035))  # below the nose
    dark += 0.10 * bump(lon, lat, (0, who.mouth_height + 0.16), (0.16, 0.035))  # below the lower lip
    dark -= 0.06 * bump(lon, lat, (0, 0.1), (0.035, 0.28)) + 0.05 * bump(lon, lat, (0, -0.45), (0.5, 0.2))
    dark += 0.45 * rise(lat, 1.0, 1.25)  # below the chin
    for line in (-0.42, -0.52, -0.62):
        wave = lat - line - 0.02 * np.cos(3 * lon)
        dark += 0.10 * who.age * np.exp(-((wave / 0.012) ** 2)) * bump(lon, lat, (0, line), (0.5, 0.3))
    picture *= 1 - np.clip(dark, -0.2, 0.85)[..., None]
    _mix(picture, np.clip(who.redness * 2.5 * red, 0, 0.5), who.skin * np.array([0.72, 0.7, 1.05]))
    if who.freckles:
        spots = np.clip(_noise(rng, 1.5) - 1.6, 0, 1) * bump(lon, lat, (0, 0.2), (0.8, 0.3))
        _mix(picture, who.freckles * spots, who.skin * np.array([0.5, 0.55, 0.7]))
    return picture


def _hair(who: Identity, rng: np.random.Generator, lon: Field, lat: Field) -> Field:
    """Return the share of each point that hair covers, from a hairline for each kind of hair."""
    if who.hair == "bald":
        return np.zeros_like(lon)
    front = {"fringe": -0.36, "bob": -0.5, "long": -0.58, "curly": -0.56}.get(who.hair, -0.64)
    side = {"crop": 0.0, "short": 0.16, "fringe": 0.12, "bob": 0.75, "long": 1.4, "curly": 0.3}[who.hair]
    parting = rng.uniform(-0.35, 0.35)
    # The longitude at which the hair begins at the temples.
    temple = {"bob": 0.8, "long": 0.82, "curly": 0.95}.get(who.hair, 1.1)
    edge = np.abs(lon)
    line = front - 0.10 * np.exp(-(((lon - parting) / 0.3) ** 2)) * (who.hair not in ("fringe", "curly"))
    line = line + (side - line) * rise(edge, temple - 0.12, temple + 0.12)
    behind = rise(edge, 1.75, 2.0)
    line = line + (np.maximum(side, 0.7) - line) * behind
    ragged = 0.03 * _noise(rng, 3) + (0.06 * _noise(rng, 8) if who.hair == "curly" else 0)
    soft = 0.05 if who.hair == "crop" else 0.03
    hair = rise(lat - line + ragged, soft, -soft)
    if who.hair in ("crop", "short", "fringe"):  # ears stay uncovered
        for sign in (-1, 1):
            hair = hair * (1 - rise(bump(lon, lat, (sign * 1.52, 0.06), (0.17, 0.2)), 0.25, 0.6))
    return (hair * (0.82 if who.hair == "crop" else 1.0)).astype(np.float32)


def hair_relief(who: Identity, hair: Field) -> Field:
    """Return the height that hair adds to the relief, on the relief's grid. `hair`: the density of `texture_of`."""
    volume = {"bald": 0.0, "crop": 0.015, "short": 0.06, "fringe": 0.07, "bob": 0.1, "long": 0.09, "curly": 0.2}[
        who.hair
    ]
    rng = np.random.default_rng(who.texture_seed + 1)
    lon, _ = grid()
    small = cv2.resize(hair, lon.shape[::-1], interpolation=cv2.INTER_AREA)
    lumps = cv2.GaussianBlur(rng.standard_normal(lon.shape).astype(np.float32), (0, 0), 2.2)
    lift = cv2.GaussianBlur(small, (0, 0), 1.2) * volume * (1 + (1.2 if who.hair == "curly" else 0.3) * lumps)
    return lift.astype(np.float32)


def _beard(picture: NDArray[np.float64], who: Identity, rng: np.random.Generator, lon: Field, lat: Field) -> None:
    mouth = who.mouth_height
    cheeks = rise(lat, 0.42, 0.6) * rise(np.abs(lon), 0.3, 0.5)
    below = rise(lat, mouth + 0.13, mouth + 0.2)
    moustache = bump(lon, lat, (0, mouth - 0.125), (0.36, 0.05)) * 1.3
    area = np.clip(np.maximum(np.maximum(cheeks * rise(np.abs(lon), 1.45, 1.2), below), moustache), 0, 1)
    area *= rise(lat, 1.35, 1.2) * rise(np.abs(lon), 1.5, 1.3)
    area *= 1 - 0.9 * bump(lon, lat, (0, mouth), (who.mouth_width * 1.05, 0.07))
    stubble = who.stubble * (0.7 + 0.3 * _noise(rng, 1.0))
    _mix(picture, np.clip(area * stubble, 0, 0.5), who.skin * np.array([0.62, 0.58, 0.55]))
    if who.beard:
        hairs = np.clip(who.beard * (0.95 + 0.18 * _noise(rng, 1.2)), 0, 1)
        tone = who.hair_colour * (0.8 + 0.35 * _noise(rng, 1.5)[..., None] * 0.5)
        _mix(picture, np.clip(area * hairs, 0, 0.97), np.clip(tone, 0, 1))


def _brows(picture: NDArray[np.float64], who: Identity, rng: np.random.Generator) -> None:
    strength = np.zeros(picture.shape[:2], np.float32)
    for sign in (-1, 1):
        along = np.linspace(-1, 1, 60)
        lon = sign * (who.eye_distance + 0.23 * along)
        lat = -who.brow_height + 0.02 * np.abs(along) - 0.035 * (1 - along**2) - 0.01 * along
        thick = who.brow_thickness * (0.038 - 0.014 * along) * (1 - 0.75 * np.clip(along, 0, 1) ** 3)
        for number in range(140):
            at = rng.uniform(0, 59)
            i = int(at)
            offset = rng.uniform(-1, 1) * thick[i]
            start = to_pixels(lon[i], lat[i] + offset)
            end = to_pixels(lon[i] + sign * 0.05, lat[i] + offset - 0.012 * rng.uniform(-0.5, 1.5))
            cv2.line(strength, start, end, 0.55 + 0.4 * (number % 2), 1, cv2.LINE_AA, shift=4)
    colour = np.minimum(who.hair_colour, who.skin * 0.6) * 0.8
    _mix(picture, np.clip(cv2.GaussianBlur(strength, (0, 0), 0.9) * 1.3, 0, 0.92), colour)


def to_pixels(lon: float, lat: float) -> tuple[int, int]:
    """Return a surface point in texture pixels, with the four fractional bits that OpenCV's drawing takes."""
    x = (lon / 4.8 + 0.5) * (WIDTH - 1)
    y = (lat + 1.45) / 2.85 * (HEIGHT - 1)
    return round(x * 16), round(y * 16)


def _strands(rng: np.random.Generator) -> Field:
    noise = rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    strands = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.0, sigmaY=14)
    normal: Field = strands / strands.std() * 0.35
    return normal


def _noise(rng: np.random.Generator, size: float) -> Field:
    """Return Gaussian noise (HEIGHT, WIDTH) of about unit variance with blobs of about `size` texture pixels."""
    step = max(1, int(size / 2))
    shape = (HEIGHT // step + 2, WIDTH // step + 2)
    blurred = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), size / step)
    field: Field = cv2.resize(blurred / blurred.std(), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return field


def _mix(picture: NDArray[np.float64], weight: NDArray[np.floating], colour: Colour) -> None:
    picture += np.asarray(weight)[..., None] * (colour - picture)
