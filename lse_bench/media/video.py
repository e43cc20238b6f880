"""Read the frames of a video file, one at a time.

A frame is uint8, height x width x 3, in BGR order. Every pixel equals the one that OpenCV decodes.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Generic, TypeVar

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from lse_bench.errors import ClipError
from lse_bench.media.bounds import MAX_PIXELS, Holes
from lse_bench.media.clock import Clock
from lse_bench.media.opening import HiddenDamageError, decoded_openly, open_media, packets
from lse_bench.media.probe import MediaInfo
from lse_bench.media.upright import Upright

Frame = NDArray[np.uint8]
_STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}
# Decoders, by FFmpeg's names, that make a picture from damaged data and report it only in the log: measured by
# measurements/precision/damage.py, but for msmpeg4v1, which no program encodes and which shares the code of msmpeg4v2.
_ONLY_LOG = {"dvvideo", "ffv1", "flashsv", "gif", "prores", "snow", "wmv1", "wmv2", "zmbv"}
_ONLY_LOG |= {"msmpeg4v1", "msmpeg4v2", "msmpeg4"}
SMALL_FRAME = 1_000_000  # pixels: up to this size, several threads cost more time than they save


@dataclass(slots=True)
class DecodeReport:
    """The events of decoding a clip.

    `damaged`: packets that could not be decoded. `guessed_from`: the first frame from which on the decoder conceals
    damaged data, None if it conceals none. `repeated`, `dropped`: frames that were repeated or left out for a constant
    rate. `lags`: by how many seconds each frame of the constant rate comes later than the decoded frame that it shows.
    """

    damaged: int = 0
    guessed_from: int | None = None
    repeated: int = 0
    dropped: int = 0
    lags: array[float] = field(default_factory=lambda: array("f"))

    @property
    def lag(self) -> float:
        """The median of `lags` in seconds: by how much the constant rate delays the picture; 0 without frames."""
        return float(np.median(self.lags)) if self.lags else 0.0

    def damage(self) -> list[str]:
        """Return the warnings on damaged data, an empty list if there is none."""
        if self.damaged:
            return [f"damaged data: {self.damaged} packets could not be decoded and were left out"]
        if self.guessed_from is not None:
            return [f"damaged data: from frame {self.guessed_from} on the decoder guesses parts of the picture"]
        return []


Picture = TypeVar("Picture")


@dataclass(frozen=True, slots=True)
class TimedFrame(Generic[Picture]):
    """A decoded picture with its time from the start of the file and its duration.

    `base`: how many of their units make a second.
    """

    time: int
    duration: int
    base: int
    picture: Picture


def decode(info: MediaInfo, report: DecodeReport | None = None) -> Iterator[TimedFrame[av.VideoFrame]]:
    """Yield decoded pictures in presentation order, rotated upright as players and the ffmpeg program do.

    A damaged packet is left out and counted in `report`. Decoders conceal some damage. They report it only in strict
    mode, and some only in FFmpeg's log. The file is therefore decoded in strict mode, with a check of the log, until
    the first damage. From there the pictures come from a second pass without strict mode, and `report.guessed_from` is
    set. Raises ClipError `unreadable` if nothing can be decoded, or if frames or holes exceed the bounds.
    """
    report = report or DecodeReport()
    count = 0
    try:
        with closing(_decode(info, DecodeReport(), strict=True)) as frames:
            for frame in frames:
                count += 1
                yield frame
    except _DamageError:
        report.guessed_from = count
    else:
        return
    with closing(_decode(info, report, strict=False)) as frames:
        yield from islice(frames, count, None)


class _DamageError(Exception):
    """An error for damaged data in strict mode."""


def _decode(info: MediaInfo, report: DecodeReport, strict: bool) -> Generator[TimedFrame[av.VideoFrame]]:
    """Yield pictures as `decode` does. `strict`: raise _DamageError for any damage that the decoder detects."""
    assert info.video is not None
    if info.video.width * info.video.height > MAX_PIXELS:
        size = f"{info.video.width}x{info.video.height}"
        raise ClipError(info.path, "unreadable", f"frames of {size}; at most {MAX_PIXELS:,} pixels are read")
    count = 0
    turn = Upright()
    with open_media(info.path) as container:
        stream = container.streams[info.video.index]
        assert isinstance(stream, av.VideoStream)
        small = info.video.width * info.video.height <= SMALL_FRAME
        watched = strict and stream.codec_context.name in _ONLY_LOG
        stream.thread_type = "NONE" if small or watched else "AUTO"
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)} | (_STRICT if strict else {})
        clock, holes = Clock(container, stream), Holes("picture")
        # All times are whole numbers of a unit that the time stamps, the start of the file and the frame rate share.
        tick = stream.time_base or Fraction(1, 1000)
        base = math.lcm(tick.denominator, av.time_base, info.video.rate.numerator)
        unit = tick.numerator * (base // tick.denominator)
        origin = info.origin * (base // av.time_base)
        step = info.video.rate.denominator * (base // info.video.rate.numerator)
        expected = 0
        try:
            for packet in packets(container, stream):
                clock.mend(packet)
                try:
                    pictures = decoded_openly(packet) if watched else packet.decode()
                except HiddenDamageError:
                    raise _DamageError from None
                except av.FFmpegError:
                    if strict:
                        raise _DamageError from None
                    report.damaged += 1
                    continue
                for picture in pictures:
                    stamp = picture.pts
                    time = expected if stamp is None else stamp * unit - origin
                    duration = (picture.duration or 0) * unit or step
                    # Neither a gap before a picture nor the picture itself may last too long.
                    for begin, end in ((expected, time), (time, time + duration)):
                        if (refusal := holes.refusal(begin, end, base)) is not None:
                            raise ClipError(info.path, "unreadable", refusal)
                    expected = time + duration
                    count += 1
                    yield TimedFrame(time, duration, base, turn(picture))
        finally:
            # If decoding stops early, closing FFmpeg's threads can deadlock. Flushing the decoder prevents this.
            with suppress(av.FFmpegError):
                stream.codec_context.decode(None)
    if not count:
        if strict:
            raise _DamageError
        raise ClipError(
            info.path,
            "unreadable",
            f"none of the {info.video.frames} frames can be decoded ({info.video.codec}); the data is damaged",
        )


def at_constant_rate(
    frames: Iterable[TimedFrame[Picture]], rate: Fraction, report: DecodeReport | None = None
) -> Iterator[Picture]:
    """Repeat or drop pictures for a constant rate of `rate` per second, by the rule of the ffmpeg program.

    ffmpeg applies this rule (`cfr`) when it writes numbered pictures (`-f image2`). A late first frame is repeated from
    time 0. A gap is filled half with the frame before it and half with the frame after it. An evenly spaced clip is
    unchanged. `report` counts repeated and dropped frames. The rule is that of ffmpeg 7 to 9 (`fftools/ffmpeg_enc.c`).
    """
    report = report or DecodeReport()
    written = 0
    previous: Picture | None = None
    previous_shown = 0.0
    earlier_repeats = [0, 0, 0]
    for frame in frames:
        unit = frame.base * rate.denominator
        shown = frame.time * rate.numerator / unit
        duration = frame.duration * rate.numerator / unit
        ahead = shown - written
        until = ahead + duration
        if ahead < 0 < until:
            duration += ahead
            ahead = 0.0
        copies, of_previous = 1, 0
        if until < -1.1:
            copies = 0
            report.dropped += 1
        elif until > 1.1:
            copies = round(until)
            if ahead > 1.1:
                of_previous = round(ahead - 0.6)
        for k in range(copies):
            older = k < of_previous and previous is not None
            report.lags.append((written + k - (previous_shown if older else shown)) / float(rate))
            yield previous if older and previous is not None else frame.picture
        report.repeated += max(0, copies - 1)
        written += copies
        previous, previous_shown = frame.picture, shown
        earlier_repeats = [of_previous, *earlier_repeats[:2]]
    if previous is not None:
        closing = sorted(earlier_repeats)[1]  # ffmpeg adds this median of its last three repeats at the end of a stream
        report.repeated += closing
        for _ in range(closing):
            yield previous


def scaling_threads(picture: av.VideoFrame) -> int:
    """Return the number of threads for converting a picture. 0 means automatic.

    It is 1 for a small picture, for which a thread pool takes ten times as long.
    """
    return 1 if picture.width * picture.height <= SMALL_FRAME else 0


class ToBgr:
    """A converter of pictures to BGR arrays. It keeps the last result, so a repeated picture costs no time."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._last: tuple[av.VideoFrame, Frame] | None = None

    def __call__(self, picture: av.VideoFrame) -> Frame:
        if self._last is None or self._last[0] is not picture:
            converted = self._reformatter.reformat(
                picture, format="bgr24", interpolation=Interpolation.BICUBIC, threads=scaling_threads(picture)
            )
            self._last = (picture, np.asarray(converted.to_ndarray(), dtype=np.uint8))
        return self._last[1]


def of_one_size(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames, resized to the size of the first frame if they have another size, as the ffmpeg program does.

    A stream can change its size, but a file that is written has one size.
    """
    size: tuple[int, int] | None = None
    for frame in frames:
        here = (frame.shape[1], frame.shape[0])
        size = size or here
        yield frame if here == size else np.asarray(cv2.resize(frame, size), dtype=np.uint8)


def read_frames(info: MediaInfo, rate: Fraction | None = None, report: DecodeReport | None = None) -> Iterator[Frame]:
    """Return an iterator over BGR frames.

    `rate`: constant rate in frames per second, None for the frames as stored. `report`: gets the events of decoding.
    The iterator raises ClipError under the conditions of `decode`.
    """
    report = report or DecodeReport()
    pictures = decode(info, report)
    to_bgr = ToBgr()
    if rate is None:
        return (to_bgr(frame.picture) for frame in pictures)
    return (to_bgr(picture) for picture in at_constant_rate(pictures, rate, report))
