"""One clip into SyncNet's inputs: chunks of consecutive windows, read in one pass with bounded memory.

Window *i* holds frames *i*...*i*+4 and MFCC columns 4*i*...4*i*+19. A clip has min(frames, samples // 640) - 5 of
them, one fewer than would fit: the published code's count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.errors import ClipError
from lse_bench.features.syncnet_mfcc import COEFFICIENTS, MfccStream
from lse_bench.media.audio import SAMPLE_RATE, read_sound
from lse_bench.media.jpeg import through_jpeg
from lse_bench.media.probe import MediaInfo, probe
from lse_bench.media.video import DecodeReport, Frame, at_constant_rate, decode, read_frames
from lse_bench.sync.protocol import FPS, FpsPolicy, Protocol, frame_rate_for
from lse_bench.sync.syncnet import FRAME_SIZE, WINDOW_COLUMNS, WINDOW_FRAMES

COLUMNS_PER_FRAME = 4
SAMPLES_PER_FRAME = SAMPLE_RATE // int(FPS)
SPARE = 5  # frames: a clip of n frames has n - 5 windows
CHUNK = 16  # windows handed on at a time

_SOUND_BLOCK = SAMPLE_RATE  # samples whose MFCC are computed at once
_LATE = 0.04  # seconds of late start worth a warning: one frame
_SHORT_SOUND = 0.08  # seconds by which sound may end before the picture
_LONG_SOUND = 0.5
_SILENT_PEAK = 33  # of 32767: -60 dB
_SMALL, _LARGE = 100, 4096  # pixels: the original's tracker drops smaller faces; nobody publishes larger crops
_SQUARE = 1.35  # width to height beyond which a frame is hardly a face crop


@dataclass(frozen=True, slots=True)
class Chunk:
    """n consecutive windows: `frames` uint8 (n+4,3,224,224), BGR planes; `mfcc` float32 (13, 4(n-1)+20)."""

    frames: NDArray[np.uint8]
    mfcc: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames) - WINDOW_FRAMES + 1


@dataclass(slots=True)
class ClipFacts:
    """What reading found. `frames`: as scored; `fps`: of the file; `seconds`: length of the picture at that rate."""

    frames: int = 0
    samples: int = 0
    fps: float | None = None
    seconds: float | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def windows(self) -> int:
        """min(frames, samples // 640) - 5, never below 0."""
        return max(0, min(self.frames, self.samples // SAMPLES_PER_FRAME) - SPARE)


def read_windows(path: Path | str, protocol: Protocol, fps_policy: FpsPolicy, facts: ClipFacts) -> Iterator[Chunk]:
    """The windows of a clip in order, in chunks; `facts` is complete once the iterator ends.

    Raises ClipError: `unreadable`, `no_video`, `no_audio`, `wrong_fps`, `too_short`.
    """
    info = probe(path)
    if info.video is None:
        raise ClipError(info.path, "no_video", "no video stream with frames in it; SyncNet compares picture and sound")
    facts.fps = round(float(info.video.rate if not info.video.variable else info.video.average), 4)
    facts.seconds = round(info.video.seconds, 4)
    if info.sound is None:
        raise ClipError(
            info.path, "no_audio", "no sound stream with samples in it; mux the driving speech into the file first"
        )
    rate = frame_rate_for(info, fps_policy)
    report = DecodeReport()
    sound = _Columns(info, report)
    if protocol.jpeg:
        frames: Iterator[Frame] = through_jpeg(
            at_constant_rate(decode(info, report), rate, report), rate, info.video.pixel_shape
        )
    else:
        frames = read_frames(info, rate, report)
    yield from _chunks(frames, sound, facts)
    facts.samples = sound.read_to_end()
    facts.frames += sum(1 for _ in frames)  # when the sound ends first
    facts.warnings += _warnings(info, facts, report, sound.peak, protocol, fps_policy)
    if not facts.windows:
        raise ClipError(info.path, "too_short", _why_too_short(facts))


def window_views(chunk: Chunk, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping views of a chunk: lips (n,15,224,224) on `device` and MFCC (n,13,20). Each frame is moved once."""
    planes = torch.from_numpy(chunk.frames).to(device).to(dtype).flatten(0, 1)
    stride = planes.stride()
    lips = planes.as_strided(
        (len(chunk), 3 * WINDOW_FRAMES, *planes.shape[1:]), (3 * stride[0], stride[0], stride[1], stride[2])
    )
    mfcc = torch.from_numpy(chunk.mfcc).unfold(1, WINDOW_COLUMNS, COLUMNS_PER_FRAME).transpose(0, 1)
    return lips, mfcc


def _chunks(frames: Iterator[Frame], sound: _Columns, facts: ClipFacts) -> Iterator[Chunk]:
    planes = np.empty((CHUNK + SPARE, 3, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)
    held = 0  # frames in `planes`
    first = 0  # the window that starts at planes[0]
    while True:
        for frame in islice(frames, CHUNK + SPARE - held):
            _store(frame, planes[held])
            held += 1
        facts.frames = first + held
        heard = sound.read_until(facts.frames * SAMPLES_PER_FRAME) // SAMPLES_PER_FRAME
        ready = min(facts.frames, heard) - SPARE - first
        if ready <= 0:
            return
        yield Chunk(planes[: ready + WINDOW_FRAMES - 1], sound.take(first, ready))
        kept = planes[ready:held]
        planes = np.empty_like(planes)  # the old ones belong to the chunk, which may still wait for its batch
        planes[: len(kept)] = kept
        held = len(kept)
        first += ready


def _store(frame: Frame, planes: NDArray[np.uint8]) -> None:
    """Squash a BGR frame to 224x224 by bilinear interpolation, whatever its shape, and store it plane by plane."""
    resized = frame if frame.shape[:2] == (FRAME_SIZE, FRAME_SIZE) else cv2.resize(frame, (FRAME_SIZE, FRAME_SIZE))
    cv2.split(resized, list(planes))  # writes in place


class _Columns:
    """The clip's sound as MFCC columns, read on demand; only those that are still needed are held."""

    def __init__(self, info: MediaInfo, report: DecodeReport) -> None:
        self._blocks = read_sound(info, report)
        self._stream = MfccStream()
        self._columns = np.zeros((COEFFICIENTS, 0))
        self._first = 0  # number of the first column held
        self._samples = 0
        self.peak = 0

    def read_until(self, samples: int) -> int:
        """Read at least `samples` from the start, if there are as many; returns how many were read."""
        while self._samples < samples and (block := self._next_block()) is not None:
            self._columns = np.concatenate([self._columns, self._stream.push(block)], axis=1)
        return self._samples

    def read_to_end(self) -> int:
        """Count the samples after the last window without computing features."""
        while self._next_block() is not None:
            pass
        return self._samples

    def take(self, window: int, count: int) -> NDArray[np.float32]:
        """Columns of `count` windows from `window` on; those before the next window are given up."""
        start = window * COLUMNS_PER_FRAME - self._first
        chunk = self._columns[:, start : start + COLUMNS_PER_FRAME * (count - 1) + WINDOW_COLUMNS].astype(np.float32)
        self._columns = self._columns[:, start + COLUMNS_PER_FRAME * count :]
        self._first += start + COLUMNS_PER_FRAME * count
        return chunk

    def _next_block(self) -> NDArray[np.int16] | None:
        parts: list[NDArray[np.int16]] = []
        while sum(map(len, parts)) < _SOUND_BLOCK and (part := next(self._blocks, None)) is not None:
            parts.append(part)
        if not parts:
            return None
        block = np.concatenate(parts)
        self._samples += len(block)
        self.peak = max(self.peak, int(np.abs(block.astype(np.int32)).max()))
        return block


def _why_too_short(facts: ClipFacts) -> str:
    heard = facts.samples // SAMPLES_PER_FRAME
    needed = SPARE + 1
    if facts.frames <= heard:
        return f"{facts.frames} frames, {needed} are needed (0.24 s at 25 fps)"
    return (
        f"the sound lasts {facts.samples} samples, {needed * SAMPLES_PER_FRAME} are needed "
        f"(0.24 s at 16 kHz; the picture has {facts.frames} frames)"
    )


def _warnings(
    info: MediaInfo, facts: ClipFacts, report: DecodeReport, peak: int, protocol: Protocol, policy: FpsPolicy
) -> list[str]:
    video, sound = info.video, info.sound
    assert video is not None and sound is not None
    found = []
    heard = facts.samples / SAMPLE_RATE
    seen = facts.frames / float(FPS if policy != "as-is" else video.rate)
    if peak < _SILENT_PEAK:
        found.append(f"silent sound: its peak is {peak} of 32767; the score says nothing about lip-sync")
    if video.start > _LATE:
        found.append(f"late picture: it starts {video.start:.2f} s after the sound; its first frame fills the gap")
    if sound.start > _LATE:
        found.append(f"late sound: it starts {sound.start:.2f} s after the picture; silence fills the gap")
    if video.variable:
        found.append(
            f"variable frame rate: {video.average:.2f} fps on average; "
            f"{report.repeated} frames repeated and {report.dropped} dropped to space them evenly"
        )
    elif policy == "resample" and abs(video.rate - FPS) > FPS / 1000:
        found.append(
            f"resampled from {float(video.rate):.2f} to 25 fps: "
            f"{report.repeated} frames repeated, {report.dropped} dropped"
        )
    if policy == "as-is" and abs(video.rate - FPS) > FPS / 1000:
        found.append(f"{float(video.rate):.2f} fps counted as 25: picture and sound drift apart")
    if heard < seen - _SHORT_SOUND:
        found.append(f"sound shorter than picture: {heard:.2f} s against {seen:.2f} s; the rest is not scored")
    elif heard > seen + _LONG_SOUND:
        found.append(f"sound longer than picture: {heard:.2f} s against {seen:.2f} s; the rest is not scored")
    size = f"{video.width}x{video.height}"
    if min(video.width, video.height) < _SMALL:
        found.append(f"small frames: {size} enlarged to 224x224; below {_SMALL} px lips are hardly visible")
    if max(video.width, video.height) > _LARGE:
        found.append(f"huge frames: {size} reduced to 224x224; {protocol.name} expects face crops")
    elif max(video.width, video.height) > _SQUARE * min(video.width, video.height):
        found.append(f"not a face crop: {size} is squashed to 224x224 as a whole, as {protocol.id} does")
    if report.damaged:
        found.append(f"damaged data: {report.damaged} packets could not be decoded and were left out")
    return found
