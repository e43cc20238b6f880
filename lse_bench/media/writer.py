"""Write clips: an mp4 with picture and sound, which gets its final name only when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
from av.video.reformatter import Interpolation

from lse_bench.media.audio import Sound
from lse_bench.media.video import SMALL_FRAME, Frame, scaling_threads
from lse_bench.rates import SAMPLE_RATE
from lse_bench.storage import partial_of

# These are fixed, because they change scores. x264 is visually lossless, and the AAC rate is transparent for speech.
VIDEO_CODEC, VIDEO_QUALITY, VIDEO_PRESET = "libx264", 18, "medium"
# Without ACCURATE_RND, colours drift by 1 to 2 levels. With BITEXACT, every processor gives the same result.
ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
# "fast" is the only search method of the encoder that gives the same bytes in every process.
AUDIO_CODEC, AUDIO_BIT_RATE, AUDIO_OPTIONS = "aac", 128_000, MappingProxyType({"aac_coder": "fast"})
ENCODER = f"{VIDEO_CODEC} crf {VIDEO_QUALITY} {VIDEO_PRESET}, accurate colours, {AUDIO_CODEC} {AUDIO_BIT_RATE}"


def write_clip(
    path: Path | str,
    frames: Iterable[Frame],
    sound: Sound | None = None,
    rate: Fraction | int = 25,
    sound_rate: int = SAMPLE_RATE,
    quality: int = VIDEO_QUALITY,
    preset: str = VIDEO_PRESET,
    conversion: int = ACCURATE,
) -> int:
    """Write an mp4 `path` and return the number of frames.

    `frames`: BGR uint8, (H,W,3), all of one size. `sound`: mono int16, None for no sound. `rate`: frames per second.
    `sound_rate`: sample rate of `sound`, Hz. `quality`: x264's constant rate factor, 0-51, lower is better. `preset`:
    x264's preset. `conversion`: swscale's flags for BGR to YUV.

    The same input gives the same bytes. The file gets its name only when it is complete. Raises ValueError if there is
    no frame or if the sizes differ.
    """
    with ClipWriter(path, sound, rate, sound_rate, quality, preset, conversion) as writer:
        for frame in frames:
            writer.push(frame)
    return writer.frames


class ClipWriter:
    """A context manager that does the work of `write_clip` one frame at a time, with the same parameters.

    The file gets its name when the context is left without an error.
    """

    def __init__(
        self,
        path: Path | str,
        sound: Sound | None = None,
        rate: Fraction | int = 25,
        sound_rate: int = SAMPLE_RATE,
        quality: int = VIDEO_QUALITY,
        preset: str = VIDEO_PRESET,
        conversion: int = ACCURATE,
    ) -> None:
        self.frames = 0
        self._path = Path(path)
        self._partial = partial_of(self._path)
        self._sound, self._rate, self._sound_rate = sound, Fraction(rate), sound_rate
        self._quality, self._preset, self._conversion = quality, preset, conversion
        self._container: av.container.OutputContainer | None = None
        self._picture: av.VideoStream | None = None
        self._speech: av.AudioStream | None = None
        self._size: tuple[int, ...] = ()
        self._heard = 0

    def __enter__(self) -> ClipWriter:
        self._container = av.open(
            str(self._partial.absolute()), "w", format="mp4"
        )  # absolute, so that FFmpeg does not take a name with a colon for an address
        return self

    def push(self, frame: Frame) -> None:
        """Write the next frame. Raises ValueError if its size differs from that of the first frame."""
        assert self._container is not None
        if self._picture is None:
            self._start(self._container, frame)
        if frame.shape != self._size:
            raise ValueError(f"frame {self.frames} is {frame.shape}, but the first frame was {self._size}")
        assert self._picture is not None
        drawn = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="bgr24")
        turned = drawn.reformat(
            format=self._picture.pix_fmt, interpolation=self._conversion, threads=scaling_threads(drawn)
        )
        self._container.mux(self._picture.encode(turned))
        self.frames += 1
        if self._sound is not None:  # write the sound up to the picture's time, so that packets interleave
            self._push_sound(min(len(self._sound), int(self.frames / self._rate * self._sound_rate)))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        assert self._container is not None
        try:
            if kind is None:
                self._finish(self._container)
            self._container.close()
            if kind is None:
                os.replace(self._partial, self._path)
        finally:
            self._partial.unlink(missing_ok=True)

    def _start(self, container: av.container.OutputContainer, frame: Frame) -> None:
        self._size = frame.shape
        height, width = frame.shape[:2]
        options = {
            "crf": str(self._quality),
            "preset": self._preset,
            # Other thread counts give other bytes, and with x264's macroblock tree the bytes differ from run to run.
            "threads": "1" if height * width <= SMALL_FRAME else "4",
            "x264-params": "mbtree=0",
        }
        picture = container.add_stream(VIDEO_CODEC, rate=self._rate, options=options)
        assert isinstance(picture, av.VideoStream)
        picture.height, picture.width = height, width
        # 4:2:0 subsampling needs even sides.
        picture.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        self._picture = picture
        if self._sound is not None:
            speech = container.add_stream(
                AUDIO_CODEC, rate=self._sound_rate, options=dict(AUDIO_OPTIONS), layout="mono"
            )
            assert isinstance(speech, av.AudioStream)
            speech.bit_rate = AUDIO_BIT_RATE
            self._speech = speech

    def _finish(self, container: av.container.OutputContainer) -> None:
        if self._picture is None:
            raise ValueError("no frames to write")
        container.mux(self._picture.encode(None))
        if self._speech is not None and self._sound is not None:
            self._push_sound(len(self._sound))
            container.mux(self._speech.encode(None))

    def _push_sound(self, until: int) -> None:
        assert self._container is not None and self._speech is not None and self._sound is not None
        if until <= self._heard:
            return
        samples = np.ascontiguousarray(self._sound[None, self._heard : until])
        block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = self._sound_rate, self._heard, Fraction(1, self._sound_rate)
        self._container.mux(self._speech.encode(block))
        self._heard = until
