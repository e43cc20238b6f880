"""Replace the sound of a video. The video packets are copied without re-encoding."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from lse_bench.errors import ClipError
from lse_bench.media.audio import Sound
from lse_bench.media.clock import Clock
from lse_bench.media.opening import open_media, packets
from lse_bench.media.probe import MediaInfo, probe
from lse_bench.media.video import of_one_size, read_frames
from lse_bench.media.writer import AUDIO_BIT_RATE, AUDIO_CODEC, AUDIO_OPTIONS, write_clip
from lse_bench.rates import SAMPLE_RATE
from lse_bench.storage import partial_of

if TYPE_CHECKING:
    from lse_bench.media.clock import Packet

_BLOCK = 1024  # samples: one AAC frame
_LEAST = Fraction(1, 10_000)  # seconds between decoding times that every clock of an mp4 can distinguish


def replace_sound(source: Path | str, sound: Sound, path: Path | str) -> list[str]:
    """Write an mp4 `path` with the unchanged picture of `source` and new sound. Return warnings.

    `sound`: mono int16, 16 kHz. It begins where the source file begins. If mp4 cannot hold the codec of the picture,
    the picture is re-encoded and a warning reports it. The file gets its name only when it is complete. Raises
    ClipError `no_video` if there is no picture, and `unreadable` if the source cannot be read.
    """
    path = Path(path)
    info = probe(source)
    if info.video is None:
        raise ClipError(source, "no_video", "no video stream, so there is no picture for the sound")
    partial = partial_of(path)
    try:
        with open_media(source) as old, av.open(str(partial.absolute()), "w", format="mp4") as new:
            seen = old.streams[info.video.index]
            assert isinstance(seen, av.VideoStream)
            if seen.codec_context.codec.canonical_name in new.supported_codecs:
                _copy(info, old, seen, sound, new)
                copied = True
            else:
                copied = False
        if copied:
            os.replace(partial, path)
            return []
    finally:
        partial.unlink(missing_ok=True)
    write_clip(path, of_one_size(read_frames(info, info.video.rate)), sound, info.video.rate)
    return [f"the picture was re-encoded: mp4 cannot hold {info.video.codec}"]


def _copy(info: MediaInfo, old: InputContainer, seen: av.VideoStream, sound: Sound, new: OutputContainer) -> None:
    picture = new.add_stream_from_template(seen, opaque=True)  # opaque: no encoder of this codec is needed
    heard = new.add_stream(AUDIO_CODEC, rate=SAMPLE_RATE, options=dict(AUDIO_OPTIONS), layout="mono")
    assert isinstance(heard, av.AudioStream)
    heard.bit_rate = AUDIO_BIT_RATE
    for start in range(0, len(sound), _BLOCK):
        piece = np.ascontiguousarray(sound[None, start : start + _BLOCK])
        block = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        new.mux(heard.encode(block))
    new.mux(heard.encode(None))
    tick = seen.time_base or Fraction(1, 1000)
    origin = round(Fraction(info.origin, av.time_base) / tick)
    times = _times(info)
    for packet, (pts, dts) in zip(_packets(old, seen), times, strict=True):
        packet.pts, packet.dts = pts - origin, dts - origin
        packet.stream = picture
        new.mux(packet)


def _packets(container: InputContainer, stream: av.VideoStream) -> Iterator[Packet]:
    """Yield the packets of a stream with corrected time stamps."""
    clock = Clock(container, stream)
    for packet in packets(container, stream):
        if packet.size:
            clock.mend(packet)
            yield packet


def _times(info: MediaInfo) -> list[tuple[int, int]]:
    """Return the presentation and decoding time of each packet of the picture, in ticks of its stream.

    Some readers give no decoding time for the first packets (Matroska), some give only decoding times (AVI). Raises
    ClipError `unreadable` if packets have neither.
    """
    assert info.video is not None
    with open_media(info.path) as container:
        stream = container.streams[info.video.index]
        assert isinstance(stream, av.VideoStream)
        stamps = [(packet.pts, packet.dts) for packet in _packets(container, stream)]
        least = math.ceil(_LEAST / (stream.time_base or Fraction(1, 1000)))
    shown = [pts if pts is not None else dts for pts, dts in stamps]
    known = [time for time in shown if time is not None]
    if len(known) < len(shown):
        without = len(shown) - len(known)
        raise ClipError(info.path, "unreadable", f"{without} of {len(shown)} pictures have no time; re-encode it")
    decoded = [dts for _, dts in stamps if dts is not None]
    if len(decoded) < len(known):
        decoded = _decoding_times(known)
    return list(_rising(zip(known, decoded, strict=True), least))


def _rising(times: Iterable[tuple[int, int]], least: int) -> Iterator[tuple[int, int]]:
    """Yield times (presentation, decoding) that an mp4 can hold.

    Decoding times that repeat or go back, as after the restart of a clock, are moved to `least` ticks after the one
    before. No presentation time is before its decoding time.
    """
    last: int | None = None
    for pts, dts in times:
        dts = dts if last is None or dts > last else last + least
        last = dts
        yield max(pts, dts), dts


def _decoding_times(shown: list[int]) -> list[int]:
    """Return rising decoding times for packets in decoding order, none of them after the packet's presentation time.

    `shown`: the presentation times.
    """
    ranked = sorted(shown)
    late = max((rank - time for rank, time in zip(ranked, shown, strict=True)), default=0)
    return [time - late for time in ranked]
