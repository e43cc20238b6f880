"""One clip into SyncNet's inputs: chunks of consecutive windows, read in one pass with bounded memory.

Window *i* holds frames *i*...*i*+4 and MFCC columns 4*i*...4*i*+19. A clip has min(frames, samples // 640) - 5 of
them, one fewer than would fit: the published code's count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.choices import FpsPolicy
from lse_bench.errors import ClipError
from lse_bench.features.syncnet_mfcc import COEFFICIENTS, MfccStream
from lse_bench.media.audio import SAMPLE_RATE, read_sound
from lse_bench.media.jpeg import through_jpeg
from lse_bench.media.probe import MediaInfo, probe
from lse_bench.media.video import DecodeReport, Frame, at_constant_rate, decode, read_frames
from lse_bench.sync.clip_facts import SAMPLES_PER_FRAME, SPARE, ClipFacts, Motion, why_too_short, windows_of
from lse_bench.sync.protocol import Protocol, frame_rate_for
from lse_bench.sync.remarks import warnings_of
from lse_bench.sync.syncnet import FRAME_SIZE, WINDOW_COLUMNS, WINDOW_FRAMES

COLUMNS_PER_FRAME = 4
CHUNK = 16  # windows handed on at a time


@dataclass(frozen=True, slots=True)
class Chunk:
    """n consecutive windows: `frames` uint8 (n+4,3,224,224), BGR planes; `mfcc` float32 (13, 4(n-1)+20).

    `part`: which face track of the clip they belong to, 0 where there are no tracks.
    """

    frames: NDArray[np.uint8]
    mfcc: NDArray[np.float32]
    part: int = 0

    def __len__(self) -> int:
        return len(self.frames) - WINDOW_FRAMES + 1


def read_windows(path: Path | str, protocol: Protocol, fps_policy: FpsPolicy, facts: ClipFacts) -> Iterator[Chunk]:
    """The windows of a clip in order, in chunks; `facts` is complete once the iterator ends.

    Raises ClipError: `unreadable`, `no_video`, `no_audio`, `wrong_fps`, `too_short`.
    """
    info, rate = open_clip(path, fps_policy, facts)
    assert info.video is not None
    report = DecodeReport()
    if protocol.codec == "jpeg":
        frames: Iterator[Frame] = through_jpeg(
            at_constant_rate(decode(info, report), rate, report), rate, info.video.pixel_shape
        )
    else:
        frames = read_frames(info, rate, report)
    sound = SoundReader(info, report)
    windows = WindowAssembler(motion=facts.motion)
    while True:
        for frame in islice(frames, windows.room):
            windows.push_frame(frame)
        windows.push_sound(sound.read_until(windows.frames * SAMPLES_PER_FRAME))
        chunk = windows.take()
        if chunk is None:
            break
        yield chunk
    facts.samples = sound.read_to_end()
    facts.frames = windows.frames + sum(1 for _ in frames)  # when the sound ends first
    facts.warnings += warnings_of(info, facts, report, sound.peak, protocol, fps_policy)
    if not facts.windows:
        raise ClipError(info.path, "too_short", why_too_short(facts.frames, facts.samples))


def open_clip(
    path: Path | str, fps_policy: FpsPolicy, facts: ClipFacts, silent: bool = False
) -> tuple[MediaInfo, Fraction]:
    """What the file holds and the rate at which its frames are to be read; `silent`: it may lack sound.

    Raises ClipError: `unreadable`, `no_video`, `no_audio`, `wrong_fps`.
    """
    info = probe(path)
    if info.video is None:
        raise ClipError(info.path, "no_video", "no video stream with frames in it; SyncNet compares picture and sound")
    facts.fps = round(float(info.video.rate if not info.video.variable else info.video.average), 4)
    facts.seconds = round(info.video.seconds, 4)
    if info.sound is None and not silent:
        raise ClipError(
            info.path, "no_audio", "no sound stream with samples in it; mux the driving speech into the file first"
        )
    return info, frame_rate_for(info, fps_policy)


def window_views(chunk: Chunk, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping views of a chunk: lips (n,15,224,224) on `device` and MFCC (n,13,20). Each frame is moved once."""
    planes = torch.from_numpy(chunk.frames).to(device).to(dtype).flatten(0, 1)
    stride = planes.stride()
    lips = planes.as_strided(
        (len(chunk), 3 * WINDOW_FRAMES, *planes.shape[1:]), (3 * stride[0], stride[0], stride[1], stride[2])
    )
    mfcc = torch.from_numpy(chunk.mfcc).unfold(1, WINDOW_COLUMNS, COLUMNS_PER_FRAME).transpose(0, 1)
    return lips, mfcc


class WindowAssembler:
    """Frames and sound of one face into chunks of windows; holds one chunk at most.

    The sound of a frame is pushed before `take` is asked for its windows; once the sound has ended, frames that no
    window can hold are counted only. `motion` is shown every frame.
    """

    def __init__(self, part: int = 0, motion: Motion | None = None) -> None:
        self.frames = 0
        self.samples = 0
        self._part = part
        self._look = Motion().watch() if motion is None else motion.watch()
        self._planes = _empty_planes()
        self._held = 0  # frames in `_planes`
        self._first = 0  # the window that starts at _planes[0]
        self._blocks: list[NDArray[np.int16]] = []  # sound without MFCC yet
        self._stream = MfccStream()
        self._columns = np.zeros((COEFFICIENTS, 0))
        self._first_column = 0  # number of the first column held

    @property
    def room(self) -> int:
        """Frames that can be pushed before `take`."""
        return len(self._planes) - self._held

    def push_frame(self, frame: Frame) -> None:
        """The next BGR frame: squashed to 224x224 by bilinear interpolation, whatever its shape."""
        self.frames += 1
        if not self.room:
            return
        same = frame.shape[:2] == (FRAME_SIZE, FRAME_SIZE)
        cv2.split(frame if same else cv2.resize(frame, (FRAME_SIZE, FRAME_SIZE)), list(self._planes[self._held]))
        self._look(self._planes[self._held, 1])
        self._held += 1

    def push_sound(self, samples: NDArray[np.int16]) -> None:
        """The next samples, int16, 16 kHz."""
        self.samples += len(samples)
        if len(samples):
            self._blocks.append(samples)

    def take(self) -> Chunk | None:
        """The windows that are complete, None when there are none."""
        ready = windows_of(self._first + self._held, self.samples) - self._first
        if ready <= 0:
            return None
        if self._blocks:
            new = self._stream.push(np.concatenate(self._blocks))
            self._columns = np.concatenate([self._columns, new], axis=1)
            self._blocks = []
        start = self._first * COLUMNS_PER_FRAME - self._first_column
        mfcc = self._columns[:, start : start + COLUMNS_PER_FRAME * (ready - 1) + WINDOW_COLUMNS].astype(np.float32)
        used = start + COLUMNS_PER_FRAME * ready
        self._columns = self._columns[:, used:]
        self._first_column += used
        chunk = Chunk(self._planes[: ready + WINDOW_FRAMES - 1], mfcc, self._part)
        kept = self._planes[ready : self._held]
        self._planes = _empty_planes()  # the old ones belong to the chunk, which may still wait for its batch
        self._planes[: len(kept)] = kept
        self._held = len(kept)
        self._first += ready
        return chunk


def _empty_planes() -> NDArray[np.uint8]:
    return np.empty((CHUNK + SPARE, 3, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)


class SoundReader:
    """The clip's sound on demand, in order."""

    def __init__(self, info: MediaInfo, report: DecodeReport) -> None:
        self._blocks = read_sound(info, report)
        self._rest: NDArray[np.int16] = np.zeros(0, np.int16)  # read, but not handed on
        self._given = 0
        self.peak = 0

    def read_until(self, samples: int) -> NDArray[np.int16]:
        """The samples from the last call's end to number `samples`; fewer where the sound ends."""
        parts = [self._rest]
        held = self._given + len(self._rest)
        while held < samples and (block := next(self._blocks, None)) is not None:
            self.peak = max(self.peak, int(np.abs(block.astype(np.int32)).max(initial=0)))
            parts.append(block)
            held += len(block)
        joined = np.concatenate(parts) if len(parts) > 1 else self._rest
        count = max(0, samples - self._given)
        given, self._rest = joined[:count], joined[count:]
        self._given += len(given)
        return given

    def read_to_end(self) -> int:
        """How many samples there are in all."""
        while len(self.read_until(self._given + SAMPLE_RATE)):
            pass
        return self._given
