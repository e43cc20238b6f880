"""What a measure is: it says what it needs and what moves it, and gets clips frame by frame.

A `Measure` gives one value for each clip. A `SetMeasure`, such as FID, gives one value for all clips together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lse_bench.errors import UsageError
from lse_bench.media.audio import Sound
from lse_bench.media.video import Frame

if TYPE_CHECKING:
    from lse_bench.fidelity.results import FidResult

Need = Literal["frames", "sound", "original", "source", "landmarks", "voice activity", "phonemes"]
PAIRED: frozenset[Need] = frozenset({"original", "source"})  # needs that bring a second video


class NoValueError(Exception):
    """A clip has no value. The message says why; the record repeats it."""


@dataclass(frozen=True, slots=True)
class MeasuredClip:
    """The files of a clip. `video`: the video. `original`: the untouched video, if it is needed; None if there is none.

    `device`: the torch device on which a network of the measure can work.
    """

    id: str
    video: Path
    original: Path | None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Phoneme:
    """A phoneme of a clip. `name`: as its source spells it. `start`, `end`: seconds from the start of the clip."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Features:
    """What a set measure takes of one clip. `ours`: rows (N,D), float32, of the clip. `theirs`: (M,D), of its original.

    `theirs` has no rows if the measure needs no original.
    """

    ours: NDArray[np.float32]
    theirs: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SetValue:
    """The value of a set of clips. `standard_error`: for other clips of the same kind; None if unknown.

    `error_method`: how it was found. `warnings`: what makes the value uncertain.
    """

    value: float
    standard_error: float | None = None
    error_method: str | None = None
    warnings: tuple[str, ...] = ()


class Observer:
    """Sees one clip. Frames and sound come in order and in step, and nothing else of the clip is in memory.

    What a measure does not need is not given to its meters.
    """

    def landmarks(self, points: NDArray[np.float64] | None, original: NDArray[np.float64] | None) -> None:
        """Take the landmarks of the frame that `frame` gets next.

        `points`: (68,2) in pixels, as `faces.landmarks` numbers them; None if no face was found. `original`: those of
        the untouched video, for measures that need the original too.
        """

    def frame(self, frame: Frame, original: Frame | None) -> None:
        """Take the next frame. 25 come for each second, unless the scorer counts frames as they are.

        `frame`: BGR, uint8, (H,W,3), the decoded picture. `original`: the frame of the untouched video at the same
        time, for measures that need the original or the source; None for others. Both belong to the caller: do not
        change them.
        """

    def sound(self, samples: Sound) -> None:
        """Take the next samples: int16, 16 kHz, mono."""

    def speech(self, pieces: NDArray[np.float64]) -> None:
        """Take the speech in the sound, after its end: start and end of each piece (N,2), in seconds."""

    def phonemes(self, spoken: Sequence[Phoneme]) -> None:
        """Take the phonemes that are spoken, in order, after the end of the clip."""


class Meter(Observer, ABC):
    """Measures one clip."""

    @abstractmethod
    def finish(self) -> float:
        """Return the value of the clip. Raises NoValueError, with a reason, if it has none."""


class SetMeter(Observer, ABC):
    """Takes the features of one clip."""

    @abstractmethod
    def finish(self) -> Features:
        """Return the features. Raises NoValueError, with a reason, if there are none."""


class AnyMeasure(ABC):
    """What measures of clips and of sets say of themselves.

    A class in the entry-point group `lse_bench.measures` is made without arguments.
    """

    name: str
    """The name in options and tables: lower-case letters, digits and `_`."""
    version: ClassVar[int] = 1
    """Raised by everything that moves a value."""
    needs: frozenset[Need] = frozenset({"frames"})
    """What it takes. `original`: the untouched video with the same sound. `source`: that with the same person and
    scene, whatever is spoken."""
    unit: ClassVar[str] = ""
    """The unit of its values; empty for none."""
    higher_is_better: ClassVar[bool | None] = None
    """Whether a higher value is better; None if neither end is."""
    range: ClassVar[tuple[float | None, float | None]] = (None, None)
    """The least and the largest value; None for no limit."""
    licence: ClassVar[str] = "no weights"
    """The licence of its weights."""
    sources: ClassVar[tuple[str, ...]] = ()
    """Where it is defined."""
    deviations: ClassVar[str] = ""
    """How it differs from these sources, in words; empty if it does not."""
    timeout: ClassVar[float] = 600.0
    """Seconds that it may work on one clip. Then the clip has no value, and the others go on."""
    packages: ClassVar[dict[str, str]] = {}
    """The modules that it imports, with the extra of LSE-Bench that installs each."""
    weights: ClassVar[tuple[str, ...]] = ()
    """The names of its weights in the table of `lse-bench weights`."""

    @property
    def settings(self) -> dict[str, str]:
        """What moves its values besides the version: settings, and digests of weights."""
        return {}

    @property
    def id(self) -> str:
        """All that moves its values, in one text. Values with different ids never stand in one table."""
        return ":".join([f"{self.name}@{self.version}", *(f"{name}={value}" for name, value in self.settings.items())])

    @abstractmethod
    def start(self, clip: MeasuredClip) -> Observer:
        """Begin with a clip. Raises NoValueError, with a reason, if it cannot be measured."""


class Measure(AnyMeasure):
    """A measure that gives each clip a value."""

    @abstractmethod
    def start(self, clip: MeasuredClip) -> Meter:
        """Begin to measure a clip. Raises NoValueError, with a reason, if it cannot be measured."""


class SetMeasure(AnyMeasure):
    """A measure that gives a set of clips one value, from features of each clip. The features are stored."""

    @abstractmethod
    def start(self, clip: MeasuredClip) -> SetMeter:
        """Begin to take the features of a clip. Raises NoValueError, with a reason, if there can be none."""

    @abstractmethod
    def combine(self, clips: Mapping[str, Features]) -> SetValue | FidResult:
        """Return the value of a set. `clips`: features by the id of the clip, in natural order of the ids.

        Raises NoValueError, with a reason, if it has none.
        """

    def rounding(self, clips: Mapping[str, Features]) -> float:
        """Return how far rounding on another processor can move the value and its error, for `lse-bench verify`.

        0 without more: then verify allows the 1e-9 that it allows everywhere.
        """
        return 0.0


def needs_original(clip: MeasuredClip) -> Path:
    """Return the untouched video of a clip. Raises NoValueError if there is none."""
    if clip.original is None:
        raise NoValueError("no original")
    return clip.original


def refuse_unknown_needs(name: str, needs: frozenset[str]) -> None:
    """Raise UsageError if a measure needs something that this version does not provide."""
    known = set(get_args(Need))
    unknown = sorted(needs - known)
    if unknown:
        raise UsageError(f"the measure {name} needs {', '.join(unknown)}, but there are: {', '.join(sorted(known))}")
