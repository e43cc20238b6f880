"""Make the damaged copy of a clip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from lse_bench.choices import FpsPolicy
from lse_bench.damage.clips import NUISANCES, ORACLE, Damage, Facts
from lse_bench.damage.motion import frozen_mouth
from lse_bench.damage.pictures import Box, Picture
from lse_bench.errors import ClipError
from lse_bench.faces.detectors import FaceDetector, load_detector
from lse_bench.media.audio import Sound, read_sound, samples_between
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import of_one_size, read_frames
from lse_bench.media.writer import VIDEO_QUALITY, write_clip
from lse_bench.reliability.attack import Attack
from lse_bench.reliability.plan import ATTACKED, FROZEN, NONE, Planned
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.open_clip import OpenClip, open_clip

_LOOK_EVERY = 5  # frames: a face moves little between them
DETECTOR = "centerface"


@dataclass(frozen=True, slots=True)
class Reading:
    """How clips are read: as the scorer reads them. `fps_policy`, `sound_stream`: see `sync.open_clip`."""

    fps_policy: FpsPolicy
    sound_stream: str | None = None


def keeps_picture(planned: Planned) -> bool:
    """Return whether a copy has the picture of the plain copy, packet by packet."""
    damage = damage_of(planned)
    return planned.damage == NONE or (
        damage is not None and damage.pictures is None and damage.quality == VIDEO_QUALITY
    )


def damage_of(planned: Planned) -> Damage | None:
    """Return what is done to a copy; None for the clip itself, a plain copy, and an attack."""
    return ORACLE.get(planned.damage) or NUISANCES.get(planned.damage)


def write_copy(planned: Planned, target: Path, how: Reading, attack: Attack | None, plain: Path | None = None) -> float:
    """Write the damaged copy of a clip to `target` and return its length in seconds.

    `attack`: for the damage `attacked`. `plain`: the clip's plain copy, whose picture is taken if it stays; None to
    encode it anew. Raises ClipError if the clip, or the clip whose sound it gets, cannot be read, or if it needs a face
    and has none.
    """
    clip = open_clip(planned.source.files, how.fps_policy, ClipFacts(), how.sound_stream)
    sound = _sound_of(clip)
    frames: Iterable[Picture] = of_one_size(clip.frames(read_frames(clip.picture, clip.rate)))
    count = _frames_of(planned.source.files, how)
    quality = VIDEO_QUALITY
    if planned.damage == ATTACKED:
        assert attack is not None
        box = _box_of(planned.source.files, how)
        still = frozen_mouth(frames, count, box, 1.0, ORACLE[FROZEN].rng(planned.source.id))
        frames = attack.run(np.stack(list(still)), sound, box)
    elif (damage := damage_of(planned)) is not None:
        frames, sound = _damaged(damage, planned, frames, sound, count, how)
        quality = damage.quality
    if plain is not None and keeps_picture(planned):
        replace_sound(plain, sound, target)
        return float(count / clip.rate)
    written = write_clip(target, frames, sound, clip.rate, quality=quality)
    return float(written / clip.rate)


def _damaged(
    damage: Damage, planned: Planned, frames: Iterable[Picture], sound: Sound, count: int, how: Reading
) -> tuple[Iterable[Picture], Sound]:
    box: Box = (0.0, 0.0, 0.0, 0.0)
    if damage.mouth:
        box = _box_of(planned.source.files, how)
    other = np.zeros(0, np.int16)
    if damage.borrows:
        other = _borrowed(planned, how)
    facts, amount = Facts(count, box, other), planned.amount
    if damage.pictures is not None:
        frames = damage.pictures(frames, facts, amount, damage.rng(planned.source.id))
    if damage.sound is not None:
        sound = damage.sound(sound, facts, amount, damage.rng(planned.source.id))
    return frames, sound


def _borrowed(planned: Planned, how: Reading) -> Sound:
    """Return the sound of the other clip. Raises ClipError, which names both, if it has none."""
    try:
        sound = _sound_of(open_clip(planned.other, how.fps_policy, ClipFacts(), how.sound_stream))
    except ClipError as error:
        raise ClipError(
            planned.source.path,
            error.status,
            f"it should get the sound of {planned.other.heard.name}, which cannot be used: {error.reason}",
        ) from None
    if not len(sound):
        raise ClipError(planned.source.path, "no_audio", f"the sound of {planned.other.heard.name} is empty")
    return sound


def _sound_of(clip: OpenClip) -> Sound:
    assert clip.sound is not None
    heard = samples_between(read_sound(clip.sound), clip.part.first_sample, clip.part.stop_sample)
    return np.concatenate([np.zeros(0, np.int16), *heard])


@lru_cache(maxsize=64)
def _frames_of(files: ClipFiles, how: Reading) -> int:
    """Return the number of frames of a clip."""
    clip = open_clip(files, how.fps_policy, ClipFacts(), how.sound_stream)
    return sum(1 for _ in clip.frames(read_frames(clip.picture, clip.rate)))


@lru_cache(maxsize=64)
def _box_of(files: ClipFiles, how: Reading) -> Box:
    """Return the middle box of the largest face in some frames of a clip. Raises ClipError `no_face` without one."""
    clip = open_clip(files, how.fps_policy, ClipFacts(), how.sound_stream)
    frames = of_one_size(clip.frames(read_frames(clip.picture, clip.rate)))
    found = _detector().faces(files.path, frames, _LOOK_EVERY)
    boxes = [max((face.box for face in faces), key=_area) for faces in found if faces]
    if not boxes:
        raise ClipError(files.path, "no_face", "no face was found, and this damage is done to a mouth")
    left, top, right, bottom = np.median(np.stack(boxes), axis=0).tolist()
    return (left, top, right, bottom)


def _area(box: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


@lru_cache(maxsize=1)
def _detector() -> FaceDetector:
    return load_detector(DETECTOR)
