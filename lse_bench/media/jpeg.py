"""Apply the JPEG step of the published evaluation script, in memory.

The script writes frames with `ffmpeg -i clip.mp4 -f image2 %06d.jpg` and sets no quality. FFmpeg's MJPEG encoder
therefore runs under rate control at its default 200 kb/s. Quality starts high and falls within the first seconds, and
the pixels of a frame depend on the frames before it. This module uses the encoder inside PyAV with the same settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from lse_bench.media.video import Frame, scaling_threads

BIT_RATE = 200_000  # bits per second: FFmpeg's default for video


def encode_jpegs(
    pictures: Iterable[av.VideoFrame], rate: Fraction, pixel_shape: Fraction = Fraction(0)
) -> Iterator[bytes]:
    """Yield one JPEG file for each picture, all encoded as one stream at `rate` frames per second.

    `pixel_shape`: the stream's sample aspect ratio, 0 if the file does not give one.
    """
    encoder: av.VideoCodecContext | None = None
    reformatter = VideoReformatter()
    for number, picture in enumerate(pictures):
        if encoder is None:
            encoder = _encoder(picture, rate, pixel_shape)
        converted = reformatter.reformat(
            picture,
            width=encoder.width,
            height=encoder.height,
            format="yuvj420p",
            interpolation=Interpolation.BICUBIC,
            dst_color_range=ColorRange.JPEG,
            threads=scaling_threads(picture),
        )
        if (
            converted is picture
        ):  # no conversion was needed: copy it, because a repeated picture needs a time of its own
            converted = av.VideoFrame.from_ndarray(picture.to_ndarray(), format="yuvj420p")
        converted.pts = number
        converted.time_base = 1 / rate
        converted.pict_type = av.video.frame.PictureType.NONE
        for packet in encoder.encode(converted):
            yield bytes(packet)
    if encoder is not None:
        for packet in encoder.encode(None):
            yield bytes(packet)


def through_jpeg(
    pictures: Iterable[av.VideoFrame], rate: Fraction, pixel_shape: Fraction = Fraction(0)
) -> Iterator[Frame]:
    """Yield BGR uint8 frames after the JPEG step, as `cv2.imread` reads them from the files that ffmpeg writes."""
    for data in encode_jpegs(pictures, rate, pixel_shape):
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert frame is not None
        yield np.asarray(frame, dtype=np.uint8)


def _encoder(first: av.VideoFrame, rate: Fraction, pixel_shape: Fraction) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = first.width, first.height
    # A known pixel shape adds 18 bytes to every file, which changes the rate control.
    if pixel_shape:
        encoder.sample_aspect_ratio = pixel_shape
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = 1 / rate
    encoder.framerate = rate
    encoder.bit_rate = BIT_RATE
    encoder.thread_count = 1  # rate control needs the frames in order; ffmpeg forces one thread too
    return encoder
