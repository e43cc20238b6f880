"""Read the sound of a media file: 16 kHz mono int16, in blocks, resampled as the ffmpeg program does.

The filter chain is that of `ffmpeg -i clip -ac 1 -async 1 -ar 16000 -c:a pcm_s16le`. Times count from the start of the
file. Sound that starts late is therefore preceded by silence, and gaps are filled with silence.

The last frame of sound in an MP4 or MOV file is kept whole, including its padding, as in every ffmpeg up to 8. FFmpeg 9
cuts it to the length in the file's index. The published scores are older than FFmpeg 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from lse_bench.errors import ClipError, UsageError
from lse_bench.media.bounds import MAX_CHANNELS, MAX_HOLE, MAX_SOUND_RATE, MIN_SOUND_RATE, Holes
from lse_bench.media.clock import Clock, rounded
from lse_bench.media.opening import open_media, packets
from lse_bench.media.probe import MediaInfo
from lse_bench.media.video import DecodeReport
from lse_bench.rates import SAMPLE_RATE

Sound = NDArray[np.int16]
_TOGETHER = 8  # frames in the graph before it is asked: it says by an exception that it is empty, which takes long
PADDED = "mov"  # part of the name of FFmpeg's reader of MP4, MOV, M4A and 3GP, which cuts padding since version 9


def read_sound(info: MediaInfo, report: DecodeReport | None = None) -> Iterator[Sound]:
    """Yield the sound in blocks of int16 samples, 16 kHz mono, -32768...32767.

    `info`: a file with sound. `report`: counts damaged packets, which are left out. Raises ClipError `unreadable` if
    nothing can be decoded, if the channels cannot be mixed to one, or if rates, channels or holes exceed the bounds.
    """
    shape = f"sample_fmts=s16:sample_rates={SAMPLE_RATE}:channel_layouts=mono"
    for block in _decoded(info, report or DecodeReport(), shape):
        yield np.asarray(block.to_ndarray(), dtype=np.int16).reshape(-1)


def read_whole_sound(info: MediaInfo) -> Iterator[NDArray[np.float32]]:
    """Yield the sound in blocks (channels,n), float32 in -1...1, with the rate and channels of the file.

    `info`: a file with sound. Raises ClipError as `read_sound` does.
    """
    assert info.sound is not None
    layout = info.sound.layout or f"{info.sound.channels}c"
    shape = f"sample_fmts=fltp:sample_rates={info.sound.rate}:channel_layouts={layout}"
    for block in _decoded(info, DecodeReport(), shape):
        yield np.asarray(block.to_ndarray(), dtype=np.float32)


def _decoded(info: MediaInfo, report: DecodeReport, wanted: str) -> Iterator[av.AudioFrame]:
    """Yield the sound of a file in the sample format, rate and channels `wanted`, in words of the filter aformat."""
    assert info.sound is not None
    count = 0
    with open_media(info.path) as container:
        stream = container.streams[info.sound.index]
        assert isinstance(stream, av.AudioStream)
        if info.sound.layout is not None:
            stream.codec_context.layout = info.sound.layout
        clock, holes = Clock(container, stream), _SoundHoles(info)
        graph: Graph | None = None
        shape: tuple[object, ...] | None = None
        waiting = 0  # frames in the graph that were not asked for
        for packet in packets(container, stream):
            clock.mend(packet)
            if PADDED in info.container:
                keep_padding(packet)
            try:
                frames = packet.decode()
            except av.FFmpegError:
                report.damaged += 1
                continue
            for frame in frames:
                assert isinstance(frame, av.AudioFrame)
                tick = frame.time_base or Fraction(1, frame.sample_rate)
                if frame.pts is not None:
                    frame.pts -= round(Fraction(info.origin, av.time_base) / tick)
                holes.check(frame, tick)
                now = (frame.format.name, frame.layout.name, frame.sample_rate)
                if graph is None or shape != now:
                    if graph is not None:  # the format changes inside the stream: flush the sound before the change
                        graph.push(None)
                        for block in _pull(graph):
                            count += block.samples
                            yield block
                    graph, shape, waiting = _chain(info, frame, tick, wanted, first=count == 0), now, 0
                graph.push(frame)
                waiting += 1
                if waiting < _TOGETHER:
                    continue
                waiting = 0
                for block in _pull(graph):
                    count += block.samples
                    yield block
        if graph is not None:
            graph.push(None)
            for block in _pull(graph):
                count += block.samples
                yield block
    if not count:
        raise ClipError(info.path, "unreadable", "nothing in the sound stream can be decoded; it is damaged")


def samples_between(blocks: Iterable[Sound], first: int, stop: int | None) -> Iterator[Sound]:
    """Yield the samples `first`...`stop`-1 of a sound that comes in blocks. `stop`: None for the end of the sound."""
    at = 0
    for block in blocks:
        inside = block[max(0, first - at) : None if stop is None else max(0, stop - at)]
        at += len(block)
        if len(inside):
            yield inside
        if stop is not None and at >= stop:
            return


class _SoundHoles:
    """A check that refuses sound with rates, channels, holes or jumps beyond the bounds.

    Without it, a damaged time stamp could ask for endless silence.
    """

    def __init__(self, info: MediaInfo) -> None:
        self._path = info.path
        self._holes = Holes("sound")
        self._expected = 0  # in samples of this rate
        self._rate = 1

    def check(self, frame: av.AudioFrame, tick: Fraction) -> None:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not MIN_SOUND_RATE <= rate <= MAX_SOUND_RATE:
            allowed = f"{MIN_SOUND_RATE:,} to {MAX_SOUND_RATE:,} Hz are read"
            raise ClipError(
                self._path, "unreadable", f"sound of {rate:,} Hz; {allowed}. The header is probably damaged"
            )
        if channels > MAX_CHANNELS:
            raise ClipError(self._path, "unreadable", f"sound of {channels} channels; at most {MAX_CHANNELS} are read")
        if rate != self._rate:
            self._expected, self._rate = rounded(self._expected * rate, self._rate), rate
        pts = frame.pts
        begin = self._expected if pts is None else rounded(pts * tick.numerator * rate, tick.denominator)
        if (refusal := self._holes.refusal(self._expected, begin, rate)) is not None:
            raise ClipError(self._path, "unreadable", refusal)
        if begin < self._expected - MAX_HOLE * rate:
            told = f"its sound jumps back from {self._expected / rate:,.2f} to {begin / rate:,.2f} s"
            raise ClipError(self._path, "unreadable", f"{told}; jumps of at most {MAX_HOLE} s are accepted")
        self._expected = begin + frame.samples


def keep_padding(packet: av.Packet[av.AudioStream]) -> None:
    """Change the packet so that the decoder skips samples only at its start, not at its end.

    The side data `skip_samples` (FFmpeg's AV_PKT_DATA_SKIP_SAMPLES) is two little-endian uint32 and two bytes. The
    numbers are the samples to skip at the start and at the end. The bytes give the reasons.
    """
    if not packet.has_sidedata("skip_samples"):
        return
    skips = packet.get_sidedata("skip_samples")
    content = bytearray(skips)
    if any(content[4:8]):
        content[4:8] = bytes(4)
        skips.update(bytes(content))
        packet.set_sidedata(skips)


def _chain(info: MediaInfo, frame: av.AudioFrame, tick: Fraction, wanted: str, first: bool) -> Graph:
    graph = Graph()
    source = graph.add_abuffer(
        format=frame.format.name, sample_rate=frame.sample_rate, layout=frame.layout.name, time_base=tick
    )
    align = graph.add("aresample", "async=1:first_pts=0" if first else "async=1")
    shape = graph.add("aformat", wanted)
    sink = graph.add("abuffersink")
    for left, right in ((source, align), (align, shape), (shape, sink)):
        left.link_to(right)
    try:
        graph.configure()
    except av.FFmpegError as error:
        told = f"sound of {len(frame.layout.channels)} channels ({frame.layout.name}) at {frame.sample_rate:,} Hz"
        raise ClipError(
            info.path,
            "unreadable",
            f"{told} cannot be mixed to one channel: FFmpeg reports: {error.strerror}. Mix it down first",
        ) from None
    return graph


def _pull(graph: Graph) -> Iterator[av.AudioFrame]:
    while True:
        try:
            block = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(block, av.AudioFrame)
        yield block


def resample(samples: NDArray[np.int16] | NDArray[np.float32], rate: int) -> Sound:
    """Return mono sound at 16 kHz, int16, resampled with the ffmpeg program's resampler.

    `samples`: (N,), int16 or float32 in -1...1. `rate`: its sample rate, Hz. Raises UsageError if the rate is out of
    bounds.
    """
    if not MIN_SOUND_RATE <= rate <= MAX_SOUND_RATE:
        raise UsageError(f"sound of {rate:,} Hz; {MIN_SOUND_RATE:,} to {MAX_SOUND_RATE:,} Hz are read")
    if (samples.dtype == np.int16 and rate == SAMPLE_RATE) or not len(samples):
        return np.asarray(samples, dtype=np.int16)
    kind = "s16" if samples.dtype == np.int16 else "flt"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format=kind, layout="mono")  # type: ignore[arg-type]
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    graph = Graph()
    source = graph.add_abuffer(format=kind, sample_rate=rate, layout="mono", time_base=Fraction(1, rate))
    shape = graph.add("aformat", f"sample_fmts=s16:sample_rates={SAMPLE_RATE}:channel_layouts=mono")
    sink = graph.add("abuffersink")
    source.link_to(shape)
    shape.link_to(sink)
    graph.configure()
    graph.push(frame)
    graph.push(None)
    return np.concatenate([np.asarray(block.to_ndarray(), dtype=np.int16).reshape(-1) for block in _pull(graph)])
