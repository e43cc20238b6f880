"""Read one clip into SyncNet's inputs: chunks of consecutive windows, in one pass with bounded memory.

Window *i* holds frames *i*...*i*+4 and MFCC columns 4*i*...4*i*+19. A clip has min(frames, samples // 640) - 5 windows.
One more would fit, but the published code leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.choices import FpsPolicy
from lse_bench.errors import ClipError
from lse_bench.features.syncnet_mfcc import COEFFICIENTS, MfccStream
from lse_bench.media.audio import read_sound, samples_between
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.jpeg import through_jpeg
from lse_bench.media.video import DecodeReport, Frame, at_constant_rate, decode, read_frames
from lse_bench.rates import SAMPLE_RATE, SAMPLES_PER_FRAME
from lse_bench.sync.clip_facts import SPARE, ClipFacts, Motion, Watcher, conversion_of, why_too_short, windows_of
from lse_bench.sync.open_clip import OpenClip, open_clip
from lse_bench.sync.protocol import Protocol
from lse_bench.sync.remarks import warnings_of
from lse_bench.sync.syncnet import FRAME_SIZE, WINDOW_COLUMNS, WINDOW_FRAMES

COLUMNS_PER_FRAME = 4
CHUNK = 16  # windows per chunk, at most


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of n consecutive windows.

    `frames`: uint8 (n+4,3,224,224), BGR planes. `mfcc`: float32 (13, 4(n-1)+20). `part`: the number of the face track,
    0 if faces are not tracked.
    """

    frames: NDArray[np.uint8]
    mfcc: NDArray[np.float32]
    part: int = 0

    def __len__(self) -> int:
        return len(self.frames) - WINDOW_FRAMES + 1


def read_windows(
    files: ClipFiles, protocol: Protocol, fps_policy: FpsPolicy, facts: ClipFacts, sound_stream: str | None = None
) -> Iterator[Chunk]:
    """Yield the windows of a clip in order, in chunks. `facts` is complete when the iterator ends.

    `sound_stream`: see `open_clip`. Raises ClipError `unreadable`, `no_video`, `no_audio`, `wrong_fps` or `too_short`.
    """
    clip = open_clip(files, fps_policy, facts, sound_stream)
    info, rate = clip.picture, clip.rate
    assert info.video is not None
    report = DecodeReport()
    if protocol.codec == "jpeg":
        pictures = clip.frames(at_constant_rate(decode(info, report), rate, report), facts.watcher)
        frames: Iterator[Frame] = through_jpeg(pictures, rate, info.video.pixel_shape)
    else:
        frames = clip.frames(read_frames(info, rate, report), facts.watcher)
    sound = SoundReader(clip, report, facts.watcher)
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
    facts.frames = windows.frames + sum(1 for _ in frames)  # counts the frames that are left if the sound ends first
    facts.conversion_ms = conversion_of(report)
    facts.warnings += warnings_of(clip, facts, report, sound.peak, protocol, fps_policy)
    if not facts.windows:
        raise ClipError(info.path, "too_short", why_too_short(facts.frames, facts.samples))


def fill_lips(rows: torch.Tensor, chunk: Chunk, start: int = 0) -> None:
    """Write windows of a chunk, from its window number `start` on, into `rows`.

    `rows`: (n,15,224,224), uint8, channels last, as `FastSyncNet.empty_lips` makes them, on any device.
    """
    frames = chunk.frames[start : start + len(rows) + WINDOW_FRAMES - 1]
    if rows.device.type != "cpu":  # each frame goes to the device once, as bytes
        planes = torch.from_numpy(frames).to(rows.device).flatten(0, 1)
        frame, line, pixel = planes.stride()
        rows.copy_(planes.as_strided(rows.shape, (3 * frame, frame, line, pixel)))
        return
    levels = list(frames.reshape(-1, FRAME_SIZE, FRAME_SIZE))
    for number, row in enumerate(rows.permute(0, 2, 3, 1).numpy()):
        cv2.merge(levels[3 * number : 3 * (number + WINDOW_FRAMES)], row)


def sound_windows(chunk: Chunk) -> torch.Tensor:
    """Return a view of the MFCC of the windows of a chunk: (n,1,13,20), float32."""
    columns = torch.from_numpy(chunk.mfcc).unfold(1, WINDOW_COLUMNS, COLUMNS_PER_FRAME)
    return columns.transpose(0, 1)[:, None]


class WindowAssembler:
    """A buffer that makes chunks of windows from the frames and the sound of one face. It holds at most one chunk.

    Push the sound of a frame before you call `take` for its windows. Frames that do not fit into the buffer are only
    counted. `part`: the number of the face track. `motion`: the check that gets the frames, None for no check.
    """

    def __init__(self, part: int = 0, motion: Motion | None = None) -> None:
        self.frames = 0
        self.samples = 0
        self._part = part
        self._look = Motion().watch() if motion is None else motion.watch()
        self._planes = _empty_planes()
        self._held = 0  # frames in `_planes`
        self._first = 0  # number of the window that starts at _planes[0]
        self._blocks: list[NDArray[np.int16]] = []  # sound whose MFCC are not computed yet
        self._stream = MfccStream()
        self._columns = np.zeros((COEFFICIENTS, 0))
        self._first_column = 0  # number of the first column in `_columns`

    @property
    def room(self) -> int:
        """The number of frames that still fit into the buffer before the next `take`."""
        return len(self._planes) - self._held

    def push_frame(self, frame: Frame) -> None:
        """Add the next BGR frame. A frame of any other size is squashed to 224x224 by bilinear interpolation."""
        self.frames += 1
        if not self.room:
            return
        same = frame.shape[:2] == (FRAME_SIZE, FRAME_SIZE)
        cv2.split(frame if same else cv2.resize(frame, (FRAME_SIZE, FRAME_SIZE)), list(self._planes[self._held]))
        self._look(self._planes[self._held, 1])
        self._held += 1

    def push_sound(self, samples: NDArray[np.int16]) -> None:
        """Add the next samples, int16, 16 kHz."""
        self.samples += len(samples)
        if len(samples):
            self._blocks.append(samples)

    def take(self) -> Chunk | None:
        """Return the complete windows, None if there are none."""
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
        self._planes = _empty_planes()  # the old array belongs to the chunk, which may still wait for its batch
        self._planes[: len(kept)] = kept
        self._held = len(kept)
        self._first += ready
        return chunk


def _empty_planes() -> NDArray[np.uint8]:
    return np.empty((CHUNK + SPARE, 3, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)


class SoundReader:
    """A reader of a clip's sound, in order and on demand. `peak`: the largest absolute sample so far.

    `watcher`: sees the samples; None for nobody. Samples are counted from the start of the clip's part.
    """

    def __init__(self, clip: OpenClip, report: DecodeReport, watcher: Watcher | None = None) -> None:
        self._watcher = watcher or Watcher()
        assert clip.sound is not None
        self._blocks = samples_between(read_sound(clip.sound, report), clip.part.first_sample, clip.part.stop_sample)
        self._rest: NDArray[np.int16] = np.zeros(0, np.int16)  # samples that were read but not yet returned
        self._given = 0
        self.peak = 0

    def read_until(self, samples: int) -> NDArray[np.int16]:
        """Return the samples from the end of the last call up to number `samples`, fewer if the sound ends."""
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
        if len(given):
            self._watcher.sound(given)
        return given

    def read_to_end(self) -> int:
        """Read the rest of the sound and return the total number of samples."""
        while len(self.read_until(self._given + SAMPLE_RATE)):
            pass
        return self._given
