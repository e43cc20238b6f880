"""Describe a media file. Its packets are read once and are not decoded.

Times are seconds from the start of the file, where its earliest stream starts, as in the ffmpeg program. If a file has
several pictures or sounds, the stream that the ffmpeg program chooses is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from av.container import InputContainer

from lse_bench.errors import ClipError
from lse_bench.media.channels import plain_layout
from lse_bench.media.clock import Clock
from lse_bench.media.opening import open_media, packets
from lse_bench.remote.cache import local_copy

# These containers store their length in a header, which distinguishes a cut-off copy from a short clip.
_ANNOUNCING = {"mov", "mp4", "matroska", "webm", "avi"}
_CUT_TOLERANCE = 0.25  # seconds by which the data may end before the stored length
_JITTER = 0.002  # seconds: time stamps in milliseconds (Matroska) disturb an even rate by this much
_DEFAULT = 5_000_000  # weight of the mark `default` on a stream, in pixels or channels

Stream = TypeVar("Stream", av.VideoStream, av.AudioStream)


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The picture of a file, in stream `index`.

    `width`, `height`: pixels. `rate`: the constant rate, in frames per second, at which the ffmpeg program writes the
    clip. `average`: the average rate, in frames per second. `start`: presentation time of the first frame, seconds.
    `variable`: whether frames are unevenly spaced. `frames`: number of packets whose frame is shown, in general one per
    frame. `seconds`: time from the first frame to the end of the picture. `pixel_shape`: width of a pixel divided by
    its height, 0 if the file does not give it.
    """

    index: int
    width: int
    height: int
    codec: str
    rate: Fraction
    average: float
    start: float
    variable: bool
    frames: int
    seconds: float
    pixel_shape: Fraction


@dataclass(frozen=True, slots=True)
class SoundStream:
    """The sound of a file as stored, in stream `index`.

    `rate`: sample rate, Hz. `channels`: number of channels. `start`, `seconds`: start and end, in seconds from the
    start of the file. `layout`: channel layout to set before decoding, None for nearly every file (see `channels.py`).
    """

    index: int
    codec: str
    rate: int
    channels: int
    start: float
    seconds: float
    layout: str | None = None


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """The description of one media file.

    `container`: FFmpeg's name of the format. `origin`: start time of the file, µs. `video`, `sound`: the streams that
    are used, None if there is none with packets. `pictures`, `sounds`: numbers of such streams.
    """

    path: Path
    container: str
    origin: int
    video: VideoStream | None
    sound: SoundStream | None
    pictures: int = 0
    sounds: int = 0


def probe(path: Path | str, sound_stream: str | None = None) -> MediaInfo:
    """Describe a media file.

    `sound_stream`: the sound to use, by its number among the sounds of the file, counted from 1, or by its language, as
    `eng`. None means the one that the ffmpeg program chooses. Raises ClipError `unreadable` if the file is no media
    file, cannot be read or is cut off. Raises ClipError `no_audio` if it has no such sound, or several in the language.
    """
    path = local_copy(Path(path))
    with open_media(path) as container:
        origin = container.start_time or 0
        # A stream of an unknown codec has no context, and the ffmpeg program ignores it too.
        pictures = [stream for stream in container.streams.video if stream.codec_context and not _is_cover_art(stream)]
        sounds = [stream for stream in container.streams.audio if stream.codec_context]
        layouts = {stream.index: plain_layout(path, container.format.name, stream.index) for stream in sounds}
        for stream in sounds:
            if (layout := layouts[stream.index]) is not None:
                stream.codec_context.layout = layout
        clocks = {stream.index: Clock(container, stream) for stream in (*pictures, *sounds)}
        ticks = {stream.index: stream.time_base for stream in container.streams}
        begin = origin / av.time_base
        # All streams are read, because the length in the header is that of the longest stream.
        times: dict[int, list[float]] = {index: [] for index in clocks}
        ends: dict[int, float] = {stream.index: 0.0 for stream in container.streams}
        corrupt = False
        if clocks:
            try:
                for packet in packets(container, *container.streams):
                    if not packet.size:
                        continue
                    corrupt = packet.is_corrupt  # only the last packet shows that the file was cut off
                    index = packet.stream_index
                    if index in clocks:
                        clocks[index].mend(packet)
                    stamp, tick = packet.pts, ticks.get(index)
                    stamp = packet.dts if stamp is None else stamp
                    if stamp is None or tick is None:
                        continue
                    time = stamp * tick.numerator / tick.denominator - begin
                    end = time + (packet.duration or 0) * tick.numerator / tick.denominator
                    ends[index] = max(ends.get(index, 0.0), end)
                    if index in clocks and not packet.is_discard:  # an edit list can hide packets
                        times[index].append(time)
            except av.FFmpegError as error:
                raise ClipError(path, "unreadable", f"the data cannot be read to its end: {error.strerror}") from None
        _refuse_cut_file(path, container, max(ends.values(), default=0.0) + origin / av.time_base, corrupt)
        seen = [stream for stream in pictures if times[stream.index]]
        heard = [stream for stream in sounds if times[stream.index]]
        picture = _taken(seen, lambda stream: stream.codec_context.width * stream.codec_context.height)
        if sound_stream is None:
            sound = _taken(heard, lambda stream: stream.codec_context.channels)
        else:
            sound = _asked(path, heard, sound_stream)
        return MediaInfo(
            path=path,
            container=container.format.name,
            origin=origin,
            video=None if picture is None else _video_stream(picture, times[picture.index], ends[picture.index]),
            sound=None
            if sound is None
            else SoundStream(
                index=sound.index,
                codec=sound.codec_context.name,
                rate=sound.codec_context.sample_rate,
                channels=sound.codec_context.channels,
                start=max(0.0, times[sound.index][0]),
                seconds=ends[sound.index],
                layout=layouts[sound.index],
            ),
            pictures=len(seen),
            sounds=len(heard),
        )


def _is_cover_art(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def _taken(streams: Iterable[Stream], weight: Callable[[Stream], int]) -> Stream | None:
    """Return the stream that the ffmpeg program chooses, None if there is none.

    It is a stream marked as the default, else the largest by `weight`, else the first.
    """

    def weighed(stream: Stream) -> int:
        return weight(stream) + _DEFAULT * bool(stream.disposition & stream.disposition.default)

    return max(streams, key=weighed, default=None)


def _asked(path: Path, sounds: list[av.AudioStream], wanted: str) -> av.AudioStream | None:
    """Return the sound with the number or language `wanted`, None if the file has no sound at all."""
    if not sounds:
        return None
    there = [f"{number} ({stream.metadata.get('language', 'no language')})" for number, stream in enumerate(sounds, 1)]
    told = f"{len(sounds)} sounds: {', '.join(there)}"
    if wanted.isdecimal():
        if len(wanted) > 4 or not 1 <= int(wanted) <= len(sounds):
            raise ClipError(path, "no_audio", f"no sound stream number {wanted[:9]}; the file has {told}")
        return sounds[int(wanted) - 1]
    found = [stream for stream in sounds if stream.metadata.get("language", "").casefold() == wanted.casefold()]
    if len(found) != 1:
        many = f"{len(found)} sound streams" if found else "no sound stream"
        raise ClipError(path, "no_audio", f"{many} in the language {wanted}; the file has {told}. Give the number")
    return found[0]


def _video_stream(stream: av.VideoStream, times: list[float], end: float) -> VideoStream:
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    shown = np.sort(np.asarray(times))
    steps = np.diff(shown)
    # The limit allows for rounded time stamps. AVI and raw streams have only decoding times, evenly spaced too.
    variable = bool(len(steps)) and bool(np.ptp(steps) > 2 * _JITTER + 1e-9)
    span = float(shown[-1] - shown[0])
    average = (len(times) - 1) / span if span > 0 else float(rate)
    return VideoStream(
        index=stream.index,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        codec=stream.codec_context.name,
        rate=Fraction(rate),
        average=average,
        start=max(0.0, float(shown[0])),
        variable=variable,
        frames=len(times),
        seconds=end - max(0.0, float(shown[0])),
        pixel_shape=Fraction(stream.sample_aspect_ratio or 0),
    )


def _refuse_cut_file(path: Path, container: InputContainer, end: float, corrupt: bool) -> None:
    if not _ANNOUNCING & set(container.format.name.split(",")):
        return
    announced = (container.duration or 0) / av.time_base
    # Matroska stores the time of its end, the others a length. `end` is a time, which is never smaller than the length.
    if corrupt or end < announced - _CUT_TOLERANCE:
        raise ClipError(
            path,
            "unreadable",
            f"the file is cut off: its header announces {announced:.2f} s, but its data ends at {end:.2f} s "
            f"({path.stat().st_size:,} bytes). Copy or download it again",
        )
