"""The random properties of a speaker's head. Lengths are in half head widths; colours are BGR, 0-1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import Style

HairKind = Literal["bald", "crop", "short", "fringe", "bob", "long", "curly"]
Colour = NDArray[np.float64]

# BGR, 0-255. Skin from very light to very dark; natural colours of hair and iris.
_SKINS = (
    (183, 205, 238),
    (160, 188, 228),
    (135, 168, 215),
    (108, 145, 198),
    (85, 120, 172),
    (62, 92, 138),
    (45, 66, 104),
)
_HAIRS = ((22, 22, 28), (32, 40, 58), (40, 62, 98), (60, 98, 142), (105, 150, 190), (150, 152, 158), (38, 58, 122))
_IRISES = ((45, 70, 98), (30, 48, 70), (150, 120, 85), (105, 125, 95), (140, 140, 125))
_HAIR_KINDS: tuple[HairKind, ...] = ("bald", "crop", "short", "fringe", "bob", "long", "curly")


@dataclass(frozen=True, slots=True)
class Identity:
    """The properties of a head.

    Positions on the face are radians of the head's longitude or latitude. `beard`: density 0-1, 0 for none. `glasses`:
    0 for none; above 0.9 the frame is dark and thick. `texture_seed`: the random seed of skin grain and hair strands.
    """

    skin: Colour
    hair_colour: Colour
    hair: HairKind
    height: float
    depth: float
    jaw_narrow: float
    chin: float
    cheek: float
    nose_length: float
    nose_width: float
    nose_height: float
    eye_distance: float
    eye_size: float
    eye_tilt: float
    iris: Colour
    brow_height: float
    brow_thickness: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    lip_colour: Colour
    mouth_height: float
    redness: float
    age: float
    freckles: float
    stubble: float
    eyeshadow: float
    beard: float
    glasses: float
    clothes: Colour
    texture_seed: int


def draw_identity(rng: np.random.Generator, style: Style) -> Identity:
    """Draw a speaker's head.

    `style`: `plain` has neither beard nor glasses, `marked` has a beard or glasses or both, `mixed` draws them at
    random.
    """
    masculine = rng.random() < 0.5 or style == "marked"
    skin = _blend(rng, _SKINS)
    hair_colour = _blend(rng, _HAIRS if skin.mean() > 0.5 else _HAIRS[:3]) * rng.uniform(0.75, 1.15)
    if np.abs(hair_colour - skin).sum() < 0.35:  # hair must differ visibly from skin
        hair_colour = hair_colour * 0.45
    lips = skin * np.array([0.78, 0.66, 0.92]) + np.array([0.02, 0.0, 0.03])
    made_up = not masculine and rng.random() < 0.55
    if made_up:
        lips = 0.45 * lips + 0.55 * np.array([rng.uniform(0.2, 0.4), rng.uniform(0.12, 0.3), rng.uniform(0.55, 0.8)])
    hair_odds = (0.16, 0.26, 0.3, 0.14, 0.02, 0.02, 0.1) if masculine else (0.01, 0.06, 0.12, 0.2, 0.24, 0.27, 0.1)
    bearded, spectacled = _marks(rng, style, masculine)
    return Identity(
        skin=skin,
        hair_colour=np.clip(hair_colour, 0.02, 1),
        hair=_HAIR_KINDS[rng.choice(len(_HAIR_KINDS), p=hair_odds)],
        height=rng.uniform(1.5, 1.75),
        depth=rng.uniform(1.08, 1.2),
        jaw_narrow=rng.uniform(0.12, 0.26) if masculine else rng.uniform(0.18, 0.3),
        chin=rng.uniform(0.0, 0.09),
        cheek=rng.uniform(0.0, 0.06),
        nose_length=rng.uniform(0.9, 1.12),
        nose_width=rng.uniform(1.05, 1.6),
        nose_height=rng.uniform(0.14, 0.24),
        eye_distance=rng.uniform(0.4, 0.47),
        eye_size=rng.uniform(0.88, 1.18),
        eye_tilt=rng.uniform(-0.06, 0.1),
        iris=np.array(_IRISES[rng.integers(len(_IRISES))]) / 255,
        brow_height=rng.uniform(0.24, 0.31),
        brow_thickness=rng.uniform(0.8, 1.3) if masculine else rng.uniform(0.45, 0.9),
        mouth_width=rng.uniform(0.32, 0.41),
        upper_lip=rng.uniform(0.05, 0.09),
        lower_lip=rng.uniform(0.07, 0.12),
        lip_colour=np.clip(lips, 0.03, 0.95),
        mouth_height=rng.uniform(0.585, 0.645),
        redness=rng.uniform(0.0, 0.1),
        age=rng.beta(1.3, 2.2),
        freckles=rng.uniform(0.3, 1) if rng.random() < 0.2 else 0.0,
        stubble=rng.uniform(0.0, 0.35) if masculine else 0.0,
        eyeshadow=rng.uniform(0.2, 0.6) if made_up else 0.0,
        beard=rng.uniform(0.55, 1.0) if bearded else 0.0,
        glasses=rng.uniform(0.6, 1.4) if spectacled else 0.0,
        clothes=np.clip(rng.uniform(0.05, 0.6) + rng.normal(0, 0.1, 3), 0.02, 0.9),
        texture_seed=int(rng.integers(2**31)),
    )


def _marks(rng: np.random.Generator, style: Style, masculine: bool) -> tuple[bool, bool]:
    draws = rng.random(2)
    if style == "plain":
        return False, False
    if style == "marked":
        bearded = bool(draws[0] < 0.65)
        return bearded, bool(draws[1] < 0.65) or not bearded
    return bool(masculine and draws[0] < 0.35), bool(draws[1] < 0.25)


def _blend(rng: np.random.Generator, colours: tuple[tuple[int, int, int], ...]) -> Colour:
    """Return a random colour between two neighbours of the list, with a small random change."""
    position = rng.uniform(0, len(colours) - 1)
    low = int(position)
    table = np.array(colours) / 255
    mixed = table[low] + (position - low) * (table[min(low + 1, len(table) - 1)] - table[low])
    colour: Colour = np.clip(mixed * rng.uniform(0.93, 1.07) + rng.normal(0, 0.01, 3), 0.02, 1)
    return colour
