"""Test videos for face trackers: moving MiniLRS pictures in larger frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.media.audio import Sound, read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.media.writer import write_clip
from lse_bench.rates import SAMPLES_PER_FRAME

_SWAY, _PERIOD = 0.04, 70.0  # share of the frame's size; frames
_EDGE = 16  # pixels over which a picture fades into the background


def write_stage(
    clips: Sequence[Path], path: Path, *, speaker: int = 0, size: tuple[int, int] = (960, 540), face: int = 300
) -> list[NDArray[np.float64]]:
    """Write `path` (mp4) with the pictures of `clips` side by side, each moving independently.

    The video is as long as the shortest clip. `speaker`: the index of the clip that provides the sound. `size`: width
    and height of the frames, pixels. `face`: the side of each picture, pixels. Returns the corners of each clip's
    picture (frames,4): left, top, right, bottom, in pixels. Raises ValueError if the pictures do not fit.
    """
    if len(clips) * face > size[0] or face > size[1]:
        raise ValueError(f"{len(clips)} pictures of {face} px do not fit into {size[0]}x{size[1]}")
    length = min(sum(1 for _ in read_frames(probe(clip))) for clip in clips)
    corners = [_corners(number, len(clips), length, size, face) for number in range(len(clips))]
    sound: Sound = np.concatenate(list(read_sound(probe(clips[speaker]))))
    write_clip(path, _frames(clips, corners, size, face), sound[: length * SAMPLES_PER_FRAME])
    return [np.concatenate([low, low + face], axis=1).astype(np.float64) for low in corners]


def _corners(number: int, of: int, length: int, size: tuple[int, int], face: int) -> NDArray[np.int64]:
    """Return left and top of picture `number` of `of` in every frame, (length,2) pixels."""
    time = np.arange(length)
    room = size[0] / of
    x = room * (number + 0.5) + _SWAY * size[0] * np.sin(2 * np.pi * time / _PERIOD + number)
    y = size[1] / 2 + _SWAY * size[1] * np.cos(2 * np.pi * time / (_PERIOD * 1.3) + 2 * number)
    low = np.stack([x, y], axis=1) - face / 2
    return np.clip(low, 0, np.array(size) - face).astype(np.int64)


def _frames(
    clips: Sequence[Path], corners: Sequence[NDArray[np.int64]], size: tuple[int, int], face: int
) -> Iterator[Frame]:
    wide, high = size
    y, x = np.mgrid[:high, :wide]
    wall = np.stack([90 + x * 40 / wide, 110 + y * 50 / high, 120 + (x + y) * 30 / (wide + high)], axis=2)
    ramp = np.clip(np.minimum(np.arange(face), np.arange(face)[::-1]) / _EDGE, 0, 1)
    alpha = np.minimum(ramp[:, None], ramp[None, :])[..., None]
    streams = [read_frames(probe(clip)) for clip in clips]
    for number in range(len(corners[0])):
        frame = wall.copy()
        for stream, low in zip(streams, corners, strict=True):
            picture = cv2.resize(next(stream), (face, face), interpolation=cv2.INTER_CUBIC)
            left, top = low[number]
            under = frame[top : top + face, left : left + face]
            under += alpha * (picture - under)
        yield frame.astype(np.uint8)
