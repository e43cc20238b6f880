"""Make the clips that raters see: of one length, one size in pixels and bytes, one encoding, without a name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from lse_bench.errors import ClipError
from lse_bench.media.audio import Sound, read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.media.writer import write_clip
from lse_bench.rates import FPS, SAMPLE_RATE
from lse_bench.storage import replacing

# Of the sound of a plainly desynchronised clip. Its end is heard at the start, so that part comes early by the rest of
# the length: half the length is the best for both.
LEAST_SHIFT, MOST_SHIFT = 0.65, 0.8  # seconds
LEAST_SECONDS = 1.0  # a shorter clip cannot be judged
MOST_SIDE = 1280  # pixels; larger pictures are made smaller, so that phones play them
_FREE_BOX = 8  # bytes of an empty box at the end of an mp4 file
_TIME = 1_600_000_000  # seconds since 1970; every file has the same times
_SAMPLES = SAMPLE_RATE // FPS  # of one frame
_BEEP_HZ, _BEEP_SECONDS, _BEEP_LEVEL = 880, 0.15, 8000


@dataclass(frozen=True, slots=True)
class Shown:
    """A clip to make.

    `picture`: the video. `heard`: the file with its sound. `path`: the clip. `moved`: whether the sound is moved, so
    that it does not fit the picture.
    """

    picture: Path
    heard: Path
    path: Path
    moved: bool = False


def shift_of(frames: int) -> float:
    """Return by how many seconds the sound of a plainly desynchronised clip of so many frames comes later."""
    return min(MOST_SHIFT, max(LEAST_SHIFT, frames / FPS / 2))


def make_group(group: Sequence[Shown], longest: float) -> tuple[int, list[str]]:
    """Write clips that belong together, and return their number of frames and remarks.

    All get the length of the shortest, `longest` seconds at most, the size of the first, and one file size. Raises
    ClipError if a file has no picture or no sound, or if less than one second is left.
    """
    frames = round(longest * FPS)
    for one in group:
        frames = min(frames, _frames_of(one.picture, frames), _sound_of(one.heard, frames * _SAMPLES).size // _SAMPLES)
        if frames < LEAST_SECONDS * FPS:
            told = f"{frames / FPS:.2f} s are left of its picture or sound; {LEAST_SECONDS:g} s are needed"
            raise ClipError(one.picture, "too_short", told)
    remarks = []
    size = _even(next(_frames(group[0].picture)))
    for one in group:
        own = _even(next(_frames(one.picture)))
        if own != size:
            remarks.append(
                f"{one.picture}: {own[0]}x{own[1]} pixels, fitted into the {size[0]}x{size[1]} of {group[0].picture}"
            )
    for one in group:
        sound = _sound_of(one.heard, frames * _SAMPLES)
        if not sound.any():
            remarks.append(f"{one.heard}: the sound is silent, so nobody can judge it")
        moved = np.roll(sound, round(shift_of(frames) * SAMPLE_RATE)) if one.moved else sound
        pictures = (_fitted(frame, size) for frame in islice(_frames(one.picture), frames))
        write_clip(one.path, pictures, moved, FPS, SAMPLE_RATE)
    pad_alike([one.path for one in group])
    return frames, remarks


def make_beeps(path: Path, count: int) -> int:
    """Write a clip of `count` beeps on a grey picture, and return its number of frames. All numbers last equally long.

    `count`: 8 at most.
    """
    frames = 4 * FPS
    sound = np.zeros(frames * _SAMPLES, np.int16)
    times = np.arange(round(_BEEP_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    beep = (_BEEP_LEVEL * np.sin(2 * np.pi * _BEEP_HZ * times)).astype(np.int16)
    for number in range(count):
        start = round((0.4 + number * 0.4) * SAMPLE_RATE)
        sound[start : start + len(beep)] = beep
    grey = np.full((90, 160, 3), 96, np.uint8)
    speaker = np.array([[56, 36], [70, 36], [88, 20], [88, 70], [70, 54], [56, 54]], np.int32)
    cv2.fillPoly(grey, [speaker], (230, 230, 230))
    for radius in (14, 24):
        cv2.ellipse(grey, (92, 45), (radius, radius), 0, -50, 50, (230, 230, 230), 3)
    write_clip(path, (grey for _ in range(frames)), sound, FPS, SAMPLE_RATE)
    return frames


def _frames(path: Path) -> Iterator[Frame]:
    info = probe(path)
    if info.video is None:
        raise ClipError(path, "no_video", "no video stream with frames")
    return read_frames(info, Fraction(FPS))


def _frames_of(path: Path, most: int) -> int:
    return sum(1 for _ in islice(_frames(path), most))


def _sound_of(path: Path, most: int) -> Sound:
    """Return the first `most` samples of a sound."""
    info = probe(path)
    if info.sound is None:
        raise ClipError(path, "no_audio", "no sound stream")
    blocks, held = [], 0
    for block in read_sound(info):
        blocks.append(block)
        held += len(block)
        if held >= most:
            break
    return np.concatenate(blocks)[:most] if blocks else np.zeros(0, np.int16)


def _even(frame: Frame) -> tuple[int, int]:
    """Return the width and height at which a picture is shown. Phones play only even sizes."""
    height, width = frame.shape[:2]
    scale = min(1.0, MOST_SIDE / max(height, width))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _fitted(frame: Frame, size: tuple[int, int]) -> Frame:
    """Return a picture in a size of (width, height). If its shape is another, black bars fill the rest."""
    height, width = frame.shape[:2]
    if (width, height) == size:
        return frame
    scale = min(size[0] / width, size[1] / height)
    inner = (min(size[0], round(width * scale)), min(size[1], round(height * scale)))
    # A picture that differs by one row or column from an even size is cut or stretched, without bars.
    if abs(inner[0] - size[0]) <= 2 and abs(inner[1] - size[1]) <= 2:
        inner = size
    resized = np.asarray(
        cv2.resize(frame, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
    )
    if inner == size:
        return resized
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    whole[top : top + inner[1], left : left + inner[0]] = resized
    return whole


def pad_alike(paths: Sequence[Path]) -> None:
    """Append an empty `free` box (ISO/IEC 14496-12) to each file, so that all have one size; set their times."""
    size = max(path.stat().st_size for path in paths) + _FREE_BOX
    for path in paths:
        missing = size - path.stat().st_size
        with replacing(path) as partial:
            content = path.read_bytes()
            partial.write_bytes(content + missing.to_bytes(4, "big") + b"free" + bytes(missing - _FREE_BOX))
            os.utime(partial, (_TIME, _TIME))
