"""Writes clips: an mp4 with picture and sound, under its final name only when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np

from lse_bench.media.audio import SAMPLE_RATE, Sound
from lse_bench.media.video import SMALL_FRAME, Frame, scaling_threads

# Fixed, because they move scores: x264 near-lossless to the eye, AAC at a rate that speech does not notice.
VIDEO_CODEC, VIDEO_QUALITY, VIDEO_PRESET = "libx264", 18, "medium"
# "fast" is the encoder's one search that gives the same bytes in every process.
AUDIO_CODEC, AUDIO_BIT_RATE, AUDIO_OPTIONS = "aac", 128_000, MappingProxyType({"aac_coder": "fast"})


def write_clip(
    path: Path | str,
    frames: Iterable[Frame],
    sound: Sound | None = None,
    rate: Fraction | int = 25,
    sound_rate: int = SAMPLE_RATE,
    quality: int = VIDEO_QUALITY,
    preset: str = VIDEO_PRESET,
) -> int:
    """Write BGR uint8 `frames` of one size at `rate` per second, and mono int16 `sound`; returns the frame count.

    `quality`: x264's constant rate factor, 0-51, lower is better. The same input gives the same bytes.

    Raises ValueError when there is no frame or sizes differ. The file appears when it is whole.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with av.open(os.fspath(partial), "w", format="mp4") as container:
            count = _write(container, frames, sound, Fraction(rate), sound_rate, quality, preset)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write(
    container: av.container.OutputContainer,
    frames: Iterable[Frame],
    sound: Sound | None,
    rate: Fraction,
    sound_rate: int,
    quality: int,
    preset: str,
) -> int:
    picture: av.VideoStream | None = None
    speech: av.AudioStream | None = None
    size: tuple[int, ...] = ()
    heard = count = 0
    for frame in frames:
        if picture is None:
            size = frame.shape
            options = {
                "crf": str(quality),
                "preset": preset,
                # Other thread counts give other bytes, and x264's macroblock tree gives others from run to run.
                "threads": "1" if size[0] * size[1] <= SMALL_FRAME else "4",
                "x264-params": "mbtree=0",
            }
            added = container.add_stream(VIDEO_CODEC, rate=rate, options=options)
            assert isinstance(added, av.VideoStream)
            picture = added
            picture.height, picture.width = size[:2]
            # Halved colour needs even sides.
            picture.pix_fmt = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
            if sound is not None:
                heard_as = container.add_stream(
                    AUDIO_CODEC, rate=sound_rate, options=dict(AUDIO_OPTIONS), layout="mono"
                )
                assert isinstance(heard_as, av.AudioStream)
                speech = heard_as
                speech.bit_rate = AUDIO_BIT_RATE
        if frame.shape != size:
            raise ValueError(f"frame {count} is {frame.shape}, the first was {size}")
        drawn = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")
        container.mux(picture.encode(drawn.reformat(format=picture.pix_fmt, threads=scaling_threads(drawn))))
        count += 1
        if speech is not None and sound is not None:  # as much sound as there is picture, so that they interleave
            until = min(len(sound), int(count / rate * sound_rate))
            heard = _write_sound(container, speech, sound, heard, until, sound_rate)
    if picture is None:
        raise ValueError("no frames to write")
    container.mux(picture.encode(None))
    if speech is not None and sound is not None:
        _write_sound(container, speech, sound, heard, len(sound), sound_rate)
        container.mux(speech.encode(None))
    return count


def _write_sound(
    container: av.container.OutputContainer, stream: av.AudioStream, sound: Sound, start: int, stop: int, rate: int
) -> int:
    if stop <= start:
        return start
    block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[None, start:stop]), format="s16", layout="mono")
    block.sample_rate = rate
    block.pts = start
    block.time_base = Fraction(1, rate)
    container.mux(stream.encode(block))
    return stop
