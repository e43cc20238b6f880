"""What a generator is. Two kinds: one redraws face crops, the other gives whole frames or a finished file.

The runner decodes, finds faces, crops, pastes back and encodes, once, for all face generators; they never open a file
and never look for a face. `docs/add-a-generator.md` shows a whole one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lse_bench.choices import FaceChoice, Smoothing
from lse_bench.errors import ClipError, UsageError
from lse_bench.media.audio import SAMPLE_RATE, Sound, read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames

FPS = 25
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """A face cut out of a frame, or what a generator made of it.

    `pixels`: uint8 (h,w,3) BGR, read-only where given: copy them to draw on them. `box`: left, top, right, bottom in
    the frame, whole pixels, right and bottom exclusive.
    `landmarks`: float64 (68,2) or (5,2), x and y in the crop as given (five: eyes from left to right, nose, corners of
    the mouth), None where not known. Of an answer the pixels may have any size, they are resized to the box, and may be
    float32, 0-255: then they are cut to whole numbers after that. `mask`, float32 (h,w), 0-1, says how much of them is
    pasted.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    box: tuple[int, int, int, int]
    landmarks: NDArray[np.float64] | None = None
    mask: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A pair with its files. `scratch`: an empty folder that is deleted afterwards. `notes`: sentences that the
    generator adds, for the job's row."""

    id: str
    video: Path
    sound: Path
    scratch: Path
    seed: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[Frame]:
        """The source's frames, uint8 (h,w,3) BGR, at 25 per second."""
        return read_frames(probe(self.video), Fraction(FPS))

    def samples(self) -> Sound:
        """The job's sound: int16, 16 kHz, mono."""
        return sound_of(self.sound)


@dataclass(frozen=True)
class Options:
    """What a generator is made with. `checkpoint`: its file of weights. `settings`: `--set NAME=VALUE`.

    `offline`, `trust`: as for every weight that is fetched. `legacy`: as the published evaluation scripts had it.
    `sound_offset`: frames by which the sound's windows are moved; positive: each frame hears what comes later.
    """

    checkpoint: Path | None = None
    device: str = "cpu"
    trust: bool = False
    legacy: bool = False
    sound_offset: int = 0
    offline: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def setting(self, name: str, default: str, allowed: tuple[str, ...] | None = None) -> str:
        """One of `settings`. Raises UsageError for a value that is not allowed."""
        value = self.settings.get(name, default)
        if allowed is not None and value not in allowed:
            raise UsageError(f"--set {name}={value}: there are {', '.join(allowed)}")
        return value

    def needed_checkpoint(self, name: str) -> Path:
        """The checkpoint. Raises UsageError when there is none."""
        if self.checkpoint is None:
            raise UsageError(f"{name} needs its weights: --checkpoint FILE")
        return self.checkpoint


class Generator(ABC):
    """What both kinds share.

    `name`: in results. `weights`: its entry in the table of weights, taken when no checkpoint is given. `settings`: the
    names that `--set` may have, with what they do. `packages`: modules of the extra `generators` that it imports. A
    generator is made by calling its class with `Options`.
    """

    name: ClassVar[str]
    weights: ClassVar[str | None] = None
    packages: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def description(self) -> dict[str, object]:
        """Whatever moves its pictures besides the weights, for the record."""
        return {}


class FaceGenerator(Generator):
    """Redraws face crops: Wav2Lip, LipGAN, Speech2Vid.

    How it wants its faces, unless the user says otherwise: `pads`, pixels by which the box is widened at top, bottom,
    left and right; `smoothing` and `choice` of the boxes, as in `generators/boxes.py`. `margin`: how much more around
    the box the crop shows, in parts of its sides.
    """

    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    smoothing: Smoothing = "original"
    choice: FaceChoice = "surest"
    margin: float = 0.0

    def frames_for(self, samples: int) -> int:
        """How many frames it makes for so many samples of 16 kHz sound."""
        return samples // SAMPLES_PER_FRAME

    @abstractmethod
    def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
        """An answer for each face, in order. `faces`: one per frame at 25 per second; read few of them ahead.

        `sound`: int16, 16 kHz, mono. Raises ClipError `generator_failed` for sound it cannot use.
        """


class VideoGenerator(Generator):
    """Gives whole frames or a finished file. `once_per_video`: it ignores the sound, so one job per source will do."""

    once_per_video: ClassVar[bool] = False

    @abstractmethod
    def generate(self, job: Job) -> Iterator[Frame] | Path:
        """Frames at 25 per second, under which the runner puts the job's sound; or a video file.

        A file in `job.scratch` is moved, any other is copied. Raises ClipError.
        """


def sound_of(path: Path) -> Sound:
    """All of a file's sound: int16, 16 kHz, mono. Raises ClipError `unreadable` or `no_audio`."""
    info = probe(path)
    if info.sound is None:
        raise ClipError(path, "no_audio", "no sound stream with samples in it")
    return np.concatenate(list(read_sound(info)))
