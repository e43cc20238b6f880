"""New sound under an untouched picture: the video packets are copied, nothing of them is encoded again."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lse_bench.errors import ClipError
from lse_bench.media.audio import SAMPLE_RATE, Sound
from lse_bench.media.probe import open_media
from lse_bench.media.writer import AUDIO_BIT_RATE, AUDIO_CODEC, AUDIO_OPTIONS

_BLOCK = 1024  # samples: one AAC frame


def replace_sound(source: Path | str, sound: Sound, path: Path | str) -> None:
    """Write `path` (mp4): the picture of `source` as it is, with mono int16 `sound` at 16 kHz in place of its own.

    Raises ClipError `no_video` when there is no picture. The file appears when it is whole.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open_media(source) as old, av.open(os.fspath(partial), "w", format="mp4") as new:
            if not old.streams.video:
                raise ClipError(source, "no_video", "no picture to put sound under")
            seen = old.streams.video[0]
            picture = new.add_stream_from_template(seen)
            heard = new.add_stream(AUDIO_CODEC, rate=SAMPLE_RATE, options=dict(AUDIO_OPTIONS), layout="mono")
            assert isinstance(heard, av.AudioStream)
            heard.bit_rate = AUDIO_BIT_RATE
            for start in range(0, len(sound), _BLOCK):
                piece = np.ascontiguousarray(sound[None, start : start + _BLOCK])
                block = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
                block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
                new.mux(heard.encode(block))
            new.mux(heard.encode(None))
            for packet in old.demux(seen):
                if packet.dts is not None:
                    packet.stream = picture
                    new.mux(packet)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
