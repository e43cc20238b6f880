"""Share one source video between all jobs that use it.

The video is decoded once and its faces are detected once. All jobs receive the frames in step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import tee
from pathlib import Path

import numpy as np

from lse_bench.choices import Short
from lse_bench.errors import ClipError
from lse_bench.generators.boxes import Located, Locating
from lse_bench.media.probe import MediaInfo, probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.rates import FPS

_HELD = 2 << 30  # bytes of frames that `ping-pong` may hold


class Source:
    """The frames and faces of one source video for `readers` jobs.

    The caller advances the readers in step. Frames that one reader has read stay in memory until the others have read
    them. `decodes`: how many times the file was decoded so far. Raises ClipError `no_video` if the file has no video
    stream with frames in it.
    """

    def __init__(self, path: Path, locating: Locating, short: Short, readers: int) -> None:
        self.path = path
        self.decodes = 0
        info = probe(path)
        if info.video is None:
            raise ClipError(path, "no_video", "no video stream with frames")
        self._info: MediaInfo = info
        self._locating, self._short = locating, short
        self._failure: Exception | None = None
        self._readers = list(tee(self._stream(), readers))

    @property
    def expected(self) -> int:
        """The number of frames at 25 per second according to the file's packets. Decoding may give one more or less."""
        video = self._info.video
        assert video is not None
        if not video.variable and video.rate == FPS and video.start < 1 / FPS:
            return video.frames
        return round((video.start + video.seconds) * FPS)

    def read(self, reader: int) -> Iterator[Located]:
        """Yield the frames of one reader, without end under `loop` and `ping-pong`.

        Raises ClipError for the reasons of `Locating.locate`, if the size of the picture changes, or if `ping-pong`
        needs too much memory. Every reader receives the error.
        """
        stream, self._readers[reader] = self._readers[reader], iter(())  # a tee that is never read keeps every frame
        yield from stream
        if self._failure is not None:
            raise self._failure

    def drop(self, reader: int) -> None:
        """Release a reader that will not be read further."""
        self._readers[reader] = iter(())

    def _stream(self) -> Iterator[Located]:
        try:
            yield from self._endless() if self._short != "skip" else self._once()
        except Exception as error:  # noqa: BLE001 - every reader must receive the error, not only the current one
            self._failure = error

    def _frames(self) -> Iterator[Frame]:
        self.decodes += 1
        first: tuple[int, ...] | None = None
        for number, frame in enumerate(read_frames(self._info, Fraction(FPS))):
            first = first or frame.shape
            if frame.shape != first:
                (high, wide), (then, now) = first[:2], frame.shape[:2]
                raise ClipError(
                    self.path,
                    "generator_failed",
                    f"its picture changes from {wide}x{high} to {now}x{then} in frame {number} ({number / FPS:.2f} s). "
                    "Faces are located in one picture size only: cut the video there, or encode it in one size",
                )
            yield frame

    def _once(self) -> Iterator[Located]:
        return self._locating.locate(self.path, self._frames())

    def _endless(self) -> Iterator[Located]:
        """Yield the first pass, then repeat it without end with the faces of the first pass.

        `loop` decodes the frames again. `ping-pong` keeps them in memory.
        """
        held: list[Located] = []
        nothing = np.zeros((0, 0, 3), np.uint8)
        size, holding = 0, self._short == "ping-pong"
        for one in self._once():
            size += one.frame.nbytes if holding else 0
            if size > _HELD:  # this fails only the jobs that need more than one pass
                holding, size = False, 0
                held = [replace(before, frame=nothing) for before in held]
            held.append(one if holding else replace(one, frame=nothing))
            yield one
        if self._short == "ping-pong" and not holding:
            raise ClipError(
                self.path,
                "generator_failed",
                f"ping-pong holds the whole source in memory, but its frames need more than {_HELD >> 30} GB. Use "
                "--short loop",
            )
        while held:
            if holding:
                yield from held[-2:0:-1]  # the first and the last frame are not repeated
                yield from held
            else:
                for one, frame in zip(held, self._frames(), strict=False):
                    yield replace(one, frame=frame)


def in_step(steps: list[Iterator[None]], on_end: Callable[[int], None]) -> None:
    """Advance several workers in turn until each has ended. `on_end`: called with the number of each ended worker."""
    active = dict(enumerate(steps))
    while active:
        for number, worker in list(active.items()):
            try:
                next(worker)
            except StopIteration:
                del active[number]
                on_end(number)
