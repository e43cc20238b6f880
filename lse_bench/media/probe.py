"""What a media file holds, found by reading its packets once without decoding them.

Times are seconds from the start of the file (its earliest stream starts at 0), as the ffmpeg program counts them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.container import InputContainer

from lse_bench.errors import ClipError

av.logging.set_level(av.logging.PANIC)  # FFmpeg's own chatter names no file; our errors do

# Tags that are not UTF-8 do not stop a file from being read. PyAV 18 must be told so; 19 has no such option.
_OPEN: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# These containers announce their length in a header, so a cut copy can be told from a short clip.
_ANNOUNCING = {"mov", "mp4", "matroska", "webm", "avi"}
_CUT_TOLERANCE = 0.25  # seconds by which data may end before the announced end
_JITTER = 0.002  # seconds: timestamps in milliseconds (Matroska) move an even rate by this much


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The picture, stream `index` of the file.

    `rate`: frames per second, the constant rate the ffmpeg program would write the clip at. `average`: frames divided
    by time. `start`: when the first frame is shown, seconds. `variable`: whether frames are unevenly spaced. `frames`:
    packets seen, in general one per frame. `pixel_shape`: width of a pixel divided by its height, 0 when the file does
    not say.
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
    """The sound as stored, stream `index`: codec, sample rate in Hz, channels, start and length in seconds."""

    index: int
    codec: str
    rate: int
    channels: int
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """One file: its container, origin of time (FFmpeg units, µs) and first or best stream of each kind."""

    path: Path
    container: str
    origin: int
    video: VideoStream | None
    sound: SoundStream | None


@contextmanager
def open_media(path: Path | str) -> Iterator[InputContainer]:
    """Open a media file for reading; whatever FFmpeg cannot open raises ClipError `unreadable` with a likely cause."""
    path = Path(path)
    try:
        container = av.open(os.fspath(path), **_OPEN)
    except (av.FFmpegError, OSError) as error:
        raise ClipError(path, "unreadable", _why_unreadable(path, error)) from None
    with container:
        yield container


def probe(path: Path | str) -> MediaInfo:
    """Describe a media file. Raises ClipError: `unreadable` when it is not media, or was cut off."""
    path = Path(path)
    with open_media(path) as container:
        origin = container.start_time or 0
        picture = next((s for s in container.streams.video if not _is_cover_art(s)), None)
        sound = container.streams.best("audio")
        assert sound is None or isinstance(sound, av.AudioStream)
        # All streams are read, because the announced length is that of the longest.
        times: dict[int, list[float]] = {stream.index: [] for stream in container.streams}
        ends: dict[int, float] = {stream.index: 0.0 for stream in container.streams}
        corrupt = False
        if picture is not None or sound is not None:
            try:
                for packet in container.demux():
                    if not packet.size:
                        continue
                    corrupt = packet.is_corrupt  # only the last one tells that the file was cut
                    stamp = packet.pts if packet.pts is not None else packet.dts
                    if stamp is None or packet.time_base is None:
                        continue
                    time = float(stamp * packet.time_base) - origin / av.time_base
                    times[packet.stream_index].append(time)
                    end = time + float((packet.duration or 0) * packet.time_base)
                    ends[packet.stream_index] = max(ends[packet.stream_index], end)
            except av.FFmpegError as error:
                raise ClipError(path, "unreadable", f"reading stopped inside the file: {error.strerror}") from None
        _refuse_cut_file(path, container, max(ends.values(), default=0.0) + origin / av.time_base, corrupt)
        return MediaInfo(
            path=path,
            container=container.format.name,
            origin=origin,
            video=None if picture is None else _video_stream(picture, times[picture.index], ends[picture.index]),
            sound=None
            if sound is None or not times[sound.index]
            else SoundStream(
                index=sound.index,
                codec=sound.codec_context.name,
                rate=sound.codec_context.sample_rate,
                channels=sound.codec_context.channels,
                start=max(0.0, times[sound.index][0]),
                seconds=ends[sound.index],
            ),
        )


def _is_cover_art(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def _video_stream(stream: av.VideoStream, times: list[float], end: float) -> VideoStream | None:
    if not times:
        return None
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    shown = np.sort(np.asarray(times))
    steps = np.diff(shown)
    # Even spacing up to the rounding of timestamps; AVI and raw streams only carry decoding times, evenly spaced too.
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
    # Matroska announces the time of its end, the others a length; `end` is the time, which is never the smaller.
    if corrupt or end < announced - _CUT_TOLERANCE:
        raise ClipError(
            path,
            "unreadable",
            f"the file is cut off: its header announces {announced:.2f} s, its data ends at {end:.2f} s "
            f"({path.stat().st_size:,} bytes). Copy or download it again",
        )


def _why_unreadable(path: Path, error: Exception) -> str:
    """A guess that a person can act on, from the first bytes of a file that FFmpeg refused."""
    if not path.exists():
        return "no such file"
    if path.is_dir():
        return "this is a folder, not a media file"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    if size == 0:
        return "the file is empty (0 bytes); whatever wrote it did not finish"
    if head[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return f"this is an HTML page of {size:,} bytes, not video; the download was answered with a web page"
    if head.startswith(b"version https://git-lfs"):
        return f"this is a Git LFS pointer of {size:,} bytes, not the file itself; run `git lfs pull`"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide"):
        return (
            f"an MP4 or MOV of {size:,} bytes without a readable index (moov box): the file is cut off "
            "or its writer was killed"
        )
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head):
        return f"this is a text file of {size:,} bytes, whatever its name says"
    return f"no container that FFmpeg knows ({size:,} bytes): {getattr(error, 'strerror', None) or error}"
