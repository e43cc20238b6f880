"""Feed one clip to several measures while it is scored: its picture is decoded once, and its original once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from lse_bench.faces.landmarks import Follower
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.helpers import Helpers
from lse_bench.measures.interface import (
    PAIRED,
    AnyMeasure,
    Features,
    MeasuredClip,
    Meter,
    Need,
    NoValueError,
    Observer,
    Phoneme,
    SetMeter,
)
from lse_bench.measures.originals import Originals
from lse_bench.measures.phonemes import phonemes_of
from lse_bench.media.audio import Sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, ToBgr, read_frames
from lse_bench.processor import usable_cores
from lse_bench.rates import FPS
from lse_bench.sync.clip_facts import Watcher

if TYPE_CHECKING:
    from lse_bench.features.voice import VoiceStream

_TOLD = 300  # characters of an error that are told


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of a clip by measure, and why a measure has none. `features`: of the clip, by set measure."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    features: dict[str, Features] = field(default_factory=dict)


@cache
def _beside() -> Executor:
    """Return the threads that look at originals while the caller's thread looks at the clip."""
    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="original")


class ClipWatch(Watcher):
    """Gets the frames and the sound of one clip from the scorer, and passes them to the meters.

    An error in a measure costs the value of that measure, and nothing else. `device`: of the networks of measures.
    """

    def __init__(
        self,
        measures: Sequence[AnyMeasure],
        clip: ListedClip,
        originals: Originals | None,
        helpers: Helpers | None = None,
        device: str = "cpu",
    ) -> None:
        self._missing: dict[str, str] = {}
        self._meters: dict[str, Observer] = {}
        self._needing: dict[Need, set[str]] = {}
        self._left = {measure.name: measure.timeout for measure in measures}
        self._original: Path | None = None
        self._theirs: Iterator[Frame] | None = None
        self._to_bgr = ToBgr()
        self._frames = self._paired = 0
        self._rate: Fraction | None = None
        whys = dict.fromkeys(PAIRED, "no original: --originals was not given")
        found: dict[Need, Path] = {}
        if originals is not None:
            ways: dict[Need, Callable[[ListedClip], Path]] = {"original": originals.of, "source": originals.source}
            for need, way in ways.items():
                try:
                    found[need] = way(clip)
                except NoValueError as error:
                    whys[need] = str(error)
        self._original = found.get("source") or found.get("original")
        for measure in measures:
            paired = PAIRED & measure.needs
            if lacking := [need for need in sorted(paired) if need not in found]:
                self._missing[measure.name] = whys[lacking[0]]
                continue
            for need in measure.needs:
                self._needing.setdefault(need, set()).add(measure.name)
            original = self._original if paired else None
            try:
                self._meters[measure.name] = measure.start(MeasuredClip(clip.id, clip.path, original, device))
            except Exception as error:  # noqa: BLE001 - a measure can raise anything
                self._lost(measure.name, error)
        self._find_helpers(helpers or Helpers(), clip)

    def _find_helpers(self, helpers: Helpers, clip: ListedClip) -> None:
        """Begin with what several measures share. What cannot be had costs only the measures that need it."""
        self._ours: Follower | None = None
        self._of_original: Follower | None = None
        self._voice: VoiceStream | None = None
        self._phonemes: list[Phoneme] = []
        start = clip.files.start or 0.0
        if self._waiting("landmarks"):
            try:
                assert helpers.landmarks is not None
                self._ours = helpers.landmarks.follow(clip.path, round(start * FPS))
            except Exception as error:  # noqa: BLE001 - no fault of landmarks may cost the score of the clip
                self._lost_all(self._waiting("landmarks"), "landmarks", error)
        if paired := self._waiting("landmarks") & self._waiting(*PAIRED):
            try:
                assert helpers.landmarks is not None and self._original is not None
                helpers.landmarks.refuse_shared(clip.path, self._original)
                self._of_original = helpers.landmarks.follow(self._original)
            except Exception as error:  # noqa: BLE001 - as above
                self._lost_all(paired, "landmarks of the original", error)
        if self._waiting("voice activity"):
            from lse_bench.features.voice import VoiceStream, load_vad

            assert helpers.voice is not None
            self._voice = VoiceStream(load_vad(helpers.voice))
        if self._waiting("phonemes"):
            try:
                assert helpers.sidecars is not None
                found = phonemes_of(clip.path, helpers.sidecars)
                self._phonemes = [Phoneme(one.name, one.start - start, one.end - start) for one in found]
            except Exception as error:  # noqa: BLE001 - as above
                self._lost_all(self._waiting("phonemes"), "phonemes", error)

    def _waiting(self, *needs: Need) -> set[str]:
        """Return the measures with one of these needs that still work."""
        return set[str]().union(*(self._needing.get(need, set()) for need in needs)) & set(self._meters)

    def begin(self, rate: Fraction) -> None:
        """Take the frames per second at which the clip is read."""
        self._rate = rate

    def picture(self, picture: av.VideoFrame | Frame) -> None:
        """Take the next picture of the clip."""
        if not self._meters:
            return
        frame = self._to_bgr(picture) if isinstance(picture, av.VideoFrame) else picture
        self._frames += 1
        original = self._next_original()
        self._find_landmarks(frame, original)
        for name in list(self._meters):
            if name not in self._waiting(*PAIRED):
                self._call(name, lambda meter: meter.frame(frame, None))
            elif original is not None:  # it has not ended
                self._call(name, lambda meter: meter.frame(frame, original))

    def _find_landmarks(self, frame: Frame, original: Frame | None) -> None:
        """Find the landmarks of a frame and of the original's, once for all measures."""
        wanting = self._waiting("landmarks")
        if not wanting or self._ours is None:
            return
        paired = wanting & self._waiting(*PAIRED) if original is not None else set()
        points: NDArray[np.float64] | None
        try:
            aside: Future[NDArray[np.float64] | None] | None = None
            if paired and self._of_original is not None and original is not None:
                aside = _beside().submit(self._of_original.find, original)
            points = self._ours.find(frame)
            theirs = None if aside is None else aside.result()
        except Exception as error:  # noqa: BLE001 - no fault of landmarks may cost the score of the clip
            self._lost_all(wanting, "landmarks", error)
            return
        for name in wanting:
            if name in paired:
                self._call(name, lambda meter: meter.landmarks(points, theirs))
            elif name not in self._waiting(*PAIRED):
                self._call(name, lambda meter: meter.landmarks(points, None))

    def sound(self, samples: Sound) -> None:
        """Take the next samples of the clip."""
        if self._voice is not None:
            self._voice.push(samples)
        for name in list(self._meters):
            self._call(name, lambda meter: meter.sound(samples))

    def finish(self) -> Measured:
        """Return the values. Call it once, after the last frame."""
        told = self._told_of_lengths()
        if self._voice is not None:
            pieces = self._voice.finish()
            for name in self._waiting("voice activity"):
                self._call(name, lambda meter: meter.speech(pieces))
        for name in self._waiting("phonemes"):
            self._call(name, lambda meter: meter.phonemes(self._phonemes))
        values: dict[str, float] = {}
        features: dict[str, Features] = {}
        for name, meter in list(self._meters.items()):
            try:
                if isinstance(meter, Meter):
                    values[name] = _finite(float(meter.finish()))
                elif isinstance(meter, SetMeter):
                    features[name] = _usable(meter.finish())
            except Exception as error:  # noqa: BLE001 - a measure can raise anything
                self._lost(name, error)
        paired = set[str]().union(*(self._needing.get(need, set()) for need in PAIRED))
        compared = paired & {*values, *features}
        return Measured(values, self._missing, told if compared else (), features)

    def _told_of_lengths(self) -> tuple[str, ...]:
        """Return a warning if clip and original differ in length, an empty tuple if they do not."""
        compared = self._paired
        shorter = compared < self._frames
        if not self._waiting(*PAIRED) or not (shorter or self._next_original() is not None):
            return ()
        longer = "the clip" if shorter else "the original"
        return (f"{longer} has more frames than the other: the first {compared} were compared",)

    def _next_original(self) -> Frame | None:
        if not self._waiting(*PAIRED):
            return None
        try:
            if self._theirs is None:
                assert self._original is not None
                info = probe(self._original)
                if info.video is None:
                    raise NoValueError("the original has no picture")
                self._theirs = iter(read_frames(info, self._rate))
            frame = next(self._theirs, None)
        except Exception as error:  # noqa: BLE001 - no fault of an original may cost the score of the clip
            for name in self._waiting(*PAIRED):
                self._lost(name, NoValueError(f"the original cannot be read: {error}"))
            return None
        self._paired += frame is not None
        return frame

    def _lost_all(self, names: set[str], what: str, error: Exception) -> None:
        for name in names:
            self._lost(name, error if isinstance(error, NoValueError) else NoValueError(f"no {what}: {error}"))

    def _call(self, name: str, step: Callable[[Observer], None]) -> None:
        if name not in self._meters:  # it was lost in the call before
            return
        began = time.monotonic()
        try:
            step(self._meters[name])
        except Exception as error:  # noqa: BLE001 - a measure can raise anything
            self._lost(name, error)
        self._left[name] -= time.monotonic() - began
        if self._left[name] < 0:
            self._lost(name, NoValueError("timeout: the measure took longer than it may"))

    def _lost(self, name: str, error: Exception) -> None:
        self._meters.pop(name, None)
        told = str(error) if isinstance(error, NoValueError) else f"{type(error).__name__}: {error}"
        self._missing[name] = told[:_TOLD]


def _usable(features: object) -> Features:
    """Return the features of a clip. Raises NoValueError if they are none, or not finite numbers in rows."""
    if not isinstance(features, Features):
        raise NoValueError(f"the measure gave {type(features).__name__} in place of Features")
    for name, rows in (("ours", features.ours), ("theirs", features.theirs)):
        if not (isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.dtype.kind == "f"):
            raise NoValueError(f"{name} of the features is no array of floats in rows (N,D)")
        if not np.isfinite(rows).all():
            raise NoValueError(f"{name} of the features has values that are not finite")
    return features


def _finite(value: float) -> float:
    """Return a value. Raises NoValueError if it is infinite or no number."""
    if not math.isfinite(value):
        raise NoValueError(f"the value is {value}")
    return value
