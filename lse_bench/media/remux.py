"""Replace or move the sound of a video. The video packets are copied without re-encoding."""

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
from numpy.typing import NDArray

from lse_bench.errors import ClipError
from lse_bench.media.audio import Sound, read_whole_sound
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


def move_sound(source: Path, heard: Path, milliseconds: float, path: Path, sound_stream: str | None = None) -> Path:
    """Write a copy of a video whose sound comes later (earlier if negative), and return its path.

    The packets of the picture are copied. The samples of the sound are moved, with the rate and the channels of the
    file: silence fills the gap, and the sound keeps its length. Moved time stamps would be undone by many readers.
    `heard`: the file with the sound. `sound_stream`: which of its sounds, see `probe`; the copy has no other. `path`:
    the name of the copy; its suffix becomes .mkv if mp4 cannot hold the picture. The file gets its name only when it is
    complete. Raises ClipError `no_video`, `no_audio` or `unreadable`.
    """
    info, sounds = probe(source), probe(heard, sound_stream)
    if info.video is None:
        raise ClipError(source, "no_video", "no video stream, so there is no picture for the sound")
    if sounds.sound is None:
        raise ClipError(heard, "no_audio", "no sound stream that could be moved")
    rate = sounds.sound.rate
    sound = _moved(np.concatenate(list(read_whole_sound(sounds)), axis=1), round(milliseconds * rate / 1000))
    with open_media(source) as old:
        seen = old.streams[info.video.index]
        assert isinstance(seen, av.VideoStream)
        with av.open(os.devnull, "w", format="mp4") as mp4:
            fits = seen.codec_context.codec.canonical_name in mp4.supported_codecs
        target = path.with_suffix(".mp4" if fits else ".mkv")
        partial = partial_of(target)
        try:
            with av.open(str(partial.absolute()), "w", format="mp4" if fits else "matroska") as new:
                _copy(info, old, seen, sound, new, rate, sounds.sound.layout or f"{len(sound)}c")
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _moved(sound: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    count = sound.shape[1]
    gap = np.zeros((len(sound), min(count, abs(samples))), np.float32)
    kept = sound[:, : count - samples] if samples > 0 else sound[:, -samples:]
    return np.concatenate([gap, kept] if samples > 0 else [kept, gap], axis=1)[:, :count]


def _copy(
    info: MediaInfo,
    old: InputContainer,
    seen: av.VideoStream,
    sound: Sound | NDArray[np.float32],
    new: OutputContainer,
    rate: int = SAMPLE_RATE,
    layout: str = "mono",
) -> None:
    """Write the picture `seen` with new sound: mono int16 (n,), or float32 (channels,n) with `rate` and `layout`."""
    picture = new.add_stream_from_template(seen, opaque=True)  # opaque: no encoder of this codec is needed
    heard = new.add_stream(AUDIO_CODEC, rate=rate, options=dict(AUDIO_OPTIONS), layout=layout)
    assert isinstance(heard, av.AudioStream)
    channels = np.atleast_2d(sound)
    heard.bit_rate = AUDIO_BIT_RATE * len(channels)
    for start in range(0, channels.shape[1], _BLOCK):
        piece = np.ascontiguousarray(channels[:, start : start + _BLOCK])
        kind = "s16" if piece.dtype == np.int16 else "fltp"
        block = av.AudioFrame.from_ndarray(piece, format=kind, layout=layout)
        block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
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
