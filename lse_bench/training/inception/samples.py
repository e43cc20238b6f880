"""The pictures that Inception learns from: frames and faces, some of them damaged in a known way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.damage.pictures import PICTURES
from lse_bench.training.inception.config import BatchConfig
from lse_bench.training.inception.frame_store import FrameStore

DAMAGES = tuple(PICTURES)
_SECOND = 1 / 3  # share of damaged pictures with a second damage
_ROOM = (0.0, 0.25)  # by which a face's box is enlarged


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture: BGR uint8 (S,S,3), the speaker's number, the facts, and a strength from 0 to 1 for each damage."""

    picture: NDArray[Any]
    who: int
    facts: NDArray[np.float32]
    damage: NDArray[np.float32]


def draw_sample(store: FrameStore, number: int, config: BatchConfig, rng: np.random.Generator) -> Sample:
    """Draw what happens to frame `number`: damage, a cut to the face, a mirror image."""
    picture: NDArray[Any] = np.asarray(store.frames[number])
    x1, y1, x2, y2 = map(float, store.boxes[number])
    damage = np.zeros(len(DAMAGES), np.float32)
    if rng.random() < config.damaged:
        kinds = rng.permutation(len(DAMAGES))[: 2 if rng.random() < _SECOND else 1]
        for kind in kinds:
            strength = float(rng.random()) ** 1.5  # more of the weak, which are hard to see
            picture = PICTURES[DAMAGES[kind]](picture, (x1, y1, x2, y2), strength, rng)
            damage[kind] = strength
    if rng.random() < config.faces:
        picture = _cut(picture, (x1, y1, x2, y2), rng)
    picture = cv2.resize(picture, (config.size, config.size), interpolation=cv2.INTER_LINEAR)
    facts = store.facts[number].copy()
    if rng.random() < 0.5:
        picture = cv2.flip(picture, 1)
        facts[[7, 9]] *= -1  # yaw and roll
    return Sample(picture, int(store.who[number]), facts, damage)


def _cut(picture: NDArray[Any], box: tuple[float, float, float, float], rng: np.random.Generator) -> NDArray[Any]:
    x1, y1, x2, y2 = box
    room = rng.uniform(*_ROOM)
    wide, high = room * (x2 - x1), room * (y2 - y1)
    top, bottom = max(0, round(y1 - high)), min(len(picture), round(y2 + high))
    left, right = max(0, round(x1 - wide)), min(picture.shape[1], round(x2 + wide))
    return picture[top:bottom, left:right] if bottom - top > 8 and right - left > 8 else picture
