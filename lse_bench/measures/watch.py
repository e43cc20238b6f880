"""Feed one clip to several measures while it is scored: its picture is decoded once, and its original once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av

from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.interface import Measure, MeasuredClip, Meter, NoValueError
from lse_bench.measures.originals import Originals
from lse_bench.media.audio import Sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, ToBgr, read_frames
from lse_bench.sync.clip_facts import Watcher

_TOLD = 300  # characters of an error that are told


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of a clip by measure, and why a measure has none."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class ClipWatch(Watcher):
    """Gets the frames and the sound of one clip from the scorer, and passes them to the meters.

    An error in a measure costs the value of that measure, and nothing else.
    """

    def __init__(self, measures: Sequence[Measure], clip: ListedClip, originals: Originals | None) -> None:
        self._missing: dict[str, str] = {}
        self._meters: dict[str, Meter] = {}
        self._with_original = set()
        self._original: Path | None = None
        self._theirs: Iterator[Frame] | None = None
        self._to_bgr = ToBgr()
        self._frames = self._paired = 0
        self._rate: Fraction | None = None
        why = "no original: --originals was not given"
        if originals is not None:
            try:
                self._original = originals.of(clip)
            except NoValueError as error:
                why = str(error)
        files = MeasuredClip(clip.id, clip.path, self._original)
        for measure in measures:
            needs_it = "original" in measure.needs
            if needs_it and self._original is None:
                self._missing[measure.name] = why
                continue
            if needs_it:
                self._with_original.add(measure.name)
            try:
                self._meters[measure.name] = measure.start(files)
            except Exception as error:  # noqa: BLE001 - a measure can raise anything
                self._lost(measure.name, error)

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
        for name in list(self._meters):
            if name not in self._with_original:
                self._call(name, lambda meter: meter.frame(frame, None))
            elif original is not None:  # it has not ended
                self._call(name, lambda meter: meter.frame(frame, original))

    def sound(self, samples: Sound) -> None:
        """Take the next samples of the clip."""
        for name in list(self._meters):
            self._call(name, lambda meter: meter.sound(samples))

    def finish(self) -> Measured:
        """Return the values. Call it once, after the last frame."""
        told = self._told_of_lengths()
        values: dict[str, float] = {}
        for name, meter in list(self._meters.items()):
            try:
                values[name] = float(meter.finish())
            except Exception as error:  # noqa: BLE001 - a measure can raise anything
                self._lost(name, error)
        for name in [name for name, value in values.items() if not math.isfinite(value)]:
            self._missing[name] = f"the value is {values.pop(name)}"
        return Measured(values, self._missing, told if self._with_original & set(values) else ())

    def _told_of_lengths(self) -> tuple[str, ...]:
        """Return a warning if clip and original differ in length, an empty tuple if they do not."""
        compared = self._paired
        shorter = compared < self._frames
        if not self._with_original & set(self._meters) or not (shorter or self._next_original() is not None):
            return ()
        longer = "the clip" if shorter else "the original"
        return (f"{longer} has more frames than the other; the first {compared} were compared",)

    def _next_original(self) -> Frame | None:
        if not self._with_original & set(self._meters):
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
            for name in self._with_original & set(self._meters):
                self._lost(name, NoValueError(f"the original cannot be read: {error}"))
            return None
        self._paired += frame is not None
        return frame

    def _call(self, name: str, step: Callable[[Meter], None]) -> None:
        try:
            step(self._meters[name])
        except Exception as error:  # noqa: BLE001 - a measure can raise anything
            self._lost(name, error)

    def _lost(self, name: str, error: Exception) -> None:
        self._meters.pop(name, None)
        told = str(error) if isinstance(error, NoValueError) else f"{type(error).__name__}: {error}"
        self._missing[name] = told[:_TOLD]
