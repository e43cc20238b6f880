"""The interface of generators. A face generator redraws face crops; a video generator makes frames or a finished file.

For all face generators the same runner decodes, finds faces, crops, pastes back and encodes. A face generator never
opens a file and never detects a face. `docs/add-a-generator.md` shows a complete generator.
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
from lse_bench.media.audio import Sound, read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.rates import FPS, SAMPLES_PER_FRAME


@dataclass(frozen=True, slots=True)
class FaceCrop:
    """A face crop of a frame, or the generator's new version of it.

    `pixels`: uint8 (h,w,3) BGR. The pixels of an input crop are read-only; copy them before you draw on them. The
    pixels of a new crop may have any size and are resized to the box. They may also be float32, 0-255, and are then
    truncated to whole numbers after resizing. `box`: left, top, right, bottom in the frame, in whole pixels, right and
    bottom exclusive. `landmarks`: float64 (68,2) or (5,2), x and y in pixels of the input crop, or None if they are not
    known. The five landmarks are the eyes from left to right, the nose and the corners of the mouth. `mask`: float32
    (h,w), 0-1, the weight of each new pixel when a new crop is pasted; None means 1 everywhere.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    box: tuple[int, int, int, int]
    landmarks: NDArray[np.float64] | None = None
    mask: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A pair with its files.

    `video`, `sound`: paths of the files. `scratch`: an empty folder that is deleted after the job. `seed`: the random
    seed. `notes`: sentences that the generator adds; they become warnings in the job's row.
    """

    id: str
    video: Path
    sound: Path
    scratch: Path
    seed: int = 0
    groups: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the source video, uint8 (h,w,3) BGR, at 25 per second."""
        return read_frames(probe(self.video), Fraction(FPS))

    def samples(self) -> Sound:
        """Return the job's sound: int16, 16 kHz, mono. Raises ClipError `unreadable` or `no_audio`."""
        return sound_of(self.sound)


@dataclass(frozen=True)
class Options:
    """The options with which a generator is made.

    `checkpoint`: the file of weights, or None. `device`: the device of the network. `trust`: accept weight files that
    are refused without `--trust`. `legacy`: use the choices of the published evaluation scripts. `sound_offset`: shift
    of the sound's windows in frames; with a positive value each frame uses later sound. `offline`: forbid downloads.
    `settings`: the values of `--set NAME=VALUE`.
    """

    checkpoint: Path | None = None
    device: str = "cpu"
    trust: bool = False
    legacy: bool = False
    sound_offset: int = 0
    offline: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def setting(self, name: str, default: str, allowed: tuple[str, ...] | None = None) -> str:
        """Return the setting `name`, or `default` if it is not given. Raises UsageError if the value is not in
        `allowed`; None allows any value."""
        value = self.settings.get(name, default)
        if allowed is not None and value not in allowed:
            raise UsageError(f"--set {name}={value}: the value must be one of: {', '.join(allowed)}")
        return value

    def needed_checkpoint(self, name: str) -> Path:
        """Return the checkpoint. Raises UsageError if there is none. `name`: the generator's name for the message."""
        if self.checkpoint is None:
            raise UsageError(f"{name} needs its weights; give them with --weights FILE")
        return self.checkpoint


class Generator(ABC):
    """The base class of both kinds of generators. A generator is made by calling its class with `Options`.

    `name`: the name in results. `weights`: the entry in the table of weights that is used if no checkpoint is given, or
    None. `packages`: the modules of the extra `generators` that the generator imports. `settings`: the names that
    `--set` accepts, each with a description.
    """

    name: ClassVar[str]
    weights: ClassVar[str | None] = None
    packages: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def description(self) -> dict[str, object]:
        """Return everything except the weights that changes the generator's pictures. The key of the generation
        records it, so it must be serialisable to JSON."""
        return {}


class FaceGenerator(Generator):
    """A generator that redraws face crops, such as Wav2Lip, LipGAN and Speech2Vid.

    The user can override `pads`, `smoothing` and `choice`. `pads`: pixels by which the box is widened at top, bottom,
    left and right. `smoothing`, `choice`: settings for face boxes, as in `generators/boxes.py`. `margin`: how far the
    crop extends beyond the box on each side, as a fraction of the box's width or height.
    """

    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    smoothing: Smoothing = "original"
    choice: FaceChoice = "surest"
    margin: float = 0.0

    def frames_for(self, samples: int) -> int:
        """Return the number of frames that the generator makes for `samples` samples of 16 kHz sound."""
        return samples // SAMPLES_PER_FRAME

    @abstractmethod
    def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
        """Yield a new crop for each face, in order.

        `faces`: one crop per frame at 25 per second. Read only a few of them ahead, because each one keeps its frame in
        memory. `sound`: int16, 16 kHz, mono. `seed`: the random seed. Raises ClipError `generator_failed` if the sound
        cannot be used.
        """


class VideoGenerator(Generator):
    """A generator that makes whole frames or a finished file.

    `once_per_video`: True if the generator ignores the sound. There is then only one job per source video.
    """

    once_per_video: ClassVar[bool] = False

    @abstractmethod
    def generate(self, job: Job) -> Iterator[Frame] | Path:
        """Return an iterator of frames at 25 per second, uint8 (h,w,3) BGR, or the path of a video file.

        The runner adds the job's sound to frames, and to a file without sound. A file in `job.scratch` is moved. Any
        other file is copied. Raises ClipError if the job fails.
        """


def sound_of(path: Path) -> Sound:
    """Return the complete sound of a file: int16, 16 kHz, mono. Raises ClipError `unreadable` or `no_audio`."""
    info = probe(path)
    if info.sound is None:
        raise ClipError(path, "no_audio", "no sound stream with samples")
    return np.concatenate(list(read_sound(info)))
