"""Sound out of a media file: 16 kHz mono int16, in blocks, resampled as the ffmpeg program does.

The filter chain is that of `ffmpeg -i clip -ac 1 -async 1 -ar 16000 -c:a pcm_s16le`: times count from the start of
the file, so sound that starts late has silence before it, and gaps within are filled with silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from lse_bench.errors import ClipError
from lse_bench.media.probe import MediaInfo, open_media
from lse_bench.media.video import DecodeReport

SAMPLE_RATE = 16_000
Sound = NDArray[np.int16]


def read_sound(info: MediaInfo, report: DecodeReport | None = None) -> Iterator[Sound]:
    """Blocks of int16 samples, 16 kHz mono, -32768...32767.

    A damaged packet is left out and counted in `report`. Raises ClipError `unreadable` when nothing decodes.
    """
    report = report or DecodeReport()
    assert info.sound is not None
    count = 0
    with open_media(info.path) as container:
        stream = container.streams[info.sound.index]
        assert isinstance(stream, av.AudioStream)
        graph: Graph | None = None
        shape: tuple[object, ...] | None = None
        for packet in container.demux(stream):
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
                now = (frame.format.name, frame.layout.name, frame.sample_rate)
                if graph is None or shape != now:
                    if graph is not None:  # the format changed in mid-stream: finish what came before
                        graph.push(None)
                        yield from _pull(graph)
                    graph, shape = _chain(frame, tick, first=count == 0), now
                graph.push(frame)
                for block in _pull(graph):
                    count += len(block)
                    yield block
        if graph is not None:
            graph.push(None)
            for block in _pull(graph):
                count += len(block)
                yield block
    if not count:
        raise ClipError(info.path, "unreadable", "the sound stream holds nothing that can be decoded; it is damaged")


def _chain(frame: av.AudioFrame, tick: Fraction, first: bool) -> Graph:
    graph = Graph()
    source = graph.add_abuffer(
        format=frame.format.name, sample_rate=frame.sample_rate, layout=frame.layout.name, time_base=tick
    )
    align = graph.add("aresample", "async=1:first_pts=0" if first else "async=1")
    shape = graph.add("aformat", f"sample_fmts=s16:sample_rates={SAMPLE_RATE}:channel_layouts=mono")
    sink = graph.add("abuffersink")
    for left, right in ((source, align), (align, shape), (shape, sink)):
        left.link_to(right)
    graph.configure()
    return graph


def _pull(graph: Graph) -> Iterator[Sound]:
    while True:
        try:
            block = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(block, av.AudioFrame)
        yield np.asarray(block.to_ndarray(), dtype=np.int16).reshape(-1)
