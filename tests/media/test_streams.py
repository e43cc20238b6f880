"""Streams that are not as usual: one that appears in mid-file, one of a codec that nobody knows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import av
import clips
import numpy as np
import pytest

from lse_bench.errors import ClipError
from lse_bench.media.clip_files import ClipFiles
from lse_bench.media.opening import packets
from lse_bench.media.probe import probe
from lse_bench.media.video import _ONLY_LOG, DecodeReport, _decode, decode
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.open_clip import open_clip


def test_a_stream_that_appears_in_mid_file_is_passed_over(tmp_path: Path) -> None:
    source, target = clips.good(tmp_path / "source.mp4"), tmp_path / "late.flv"
    with av.open(str(source)) as read, av.open(str(target), "w") as write:
        picture = read.streams.video[0]
        copied = write.add_stream_from_template(picture)
        for packet in read.demux(picture):
            if packet.dts is not None:
                packet.stream = copied
                write.mux(packet)
    before = probe(target)
    words = b"\x02\x00\x0aonTextData\x08\x00\x00\x00\x01\x00\x04text\x02\x00\x01x\x00\x00\x09"
    tag = b"\x12" + struct.pack(">I", len(words))[1:] + bytes(7) + words
    target.write_bytes(target.read_bytes() + tag + struct.pack(">I", len(tag)))
    after = probe(target)
    assert before.video is not None and after.video is not None
    assert after.video.frames == before.video.frames == len(list(decode(after)))


def test_what_pyav_raises_for_such_a_stream_ends_the_packets() -> None:
    """It looks for the late stream where there is none, after everything else; whether it does is chance."""

    class Container:
        def demux(self, *streams: object) -> Iterator[object]:
            yield from ("one", "two")
            raise IndexError("list index out of range")

    assert list(packets(Container())) == ["one", "two"]  # type: ignore[arg-type, comparison-overlap]


@pytest.mark.parametrize(("codec", "status"), [(b"mp4a", "no_audio"), (b"avc1", "no_video")])
def test_a_stream_of_an_unknown_codec_is_none(tmp_path: Path, codec: bytes, status: str) -> None:
    content = clips.good(tmp_path / "clip.mp4").read_bytes()
    place = content.rindex(b"stsd", 0, content.rindex(codec))
    described = content[place:].replace(codec, b"zzzz", 1).replace(b"esds", b"zzzz", 1 if codec == b"mp4a" else 0)
    (tmp_path / "clip.mp4").write_bytes(content[:place] + described)
    with pytest.raises(ClipError) as caught:
        open_clip(ClipFiles(tmp_path / "clip.mp4"), "as-is", ClipFacts())
    assert caught.value.status == status


def test_damage_that_the_decoder_hides_is_said(tmp_path: Path) -> None:
    """Some bytes of the picture's data are wrong: every frame comes, and from one on what it shows is made up."""
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as write:
        stream = write.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 112, 112, "yuv420p", 2_000_000
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(clips.picture(number, 112, 112), format="bgr24")
            write.mux(stream.encode(frame.reformat(format="yuv420p")))
        write.mux(stream.encode(None))
    content = path.read_bytes()
    begin, end = content.index(b"movi"), content.index(b"idx1")
    place = begin + (end - begin) * 2 // 5
    path.write_bytes(content[:place] + b"\xa5\x5a" * 30 + content[place + 60 :])
    report, info = DecodeReport(), probe(path)
    found = [frame.picture.to_ndarray() for frame in decode(info, report)]
    assert report.damaged == 0 and report.guessed_from is not None and 10 < report.guessed_from < 25
    assert report.damage() == [
        f"damaged data: from frame {report.guessed_from} on the decoder guesses parts of the picture"
    ]
    plain = [frame.picture.to_ndarray() for frame in _decode(info, DecodeReport(), strict=False)]
    assert len(found) == len(plain) == 40
    assert all(np.array_equal(one, other) for one, other in zip(found, plain, strict=True))


@pytest.mark.parametrize(("codec", "form", "suffix"), [("ffv1", "yuv420p", "mkv"), ("prores_ks", "yuv422p10le", "mov")])
@pytest.mark.parametrize("size", [112, 1024])  # the larger one is decoded by several threads where it is whole
def test_damage_that_a_decoder_only_logs_is_said(
    tmp_path: Path, codec: str, form: str, suffix: str, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"clip.{suffix}"
    with av.open(str(path), "w") as write:
        stream = write.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = size, size, form
        if codec == "ffv1":
            stream.options = {"level": "3", "slicecrc": "1"}
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(clips.picture(number, size, size), format="bgr24")
            write.mux(stream.encode(frame.reformat(format=form)))
        write.mux(stream.encode(None))
    report = DecodeReport()
    assert len(list(decode(probe(path), report))) == 10
    assert report == DecodeReport(), "a whole file is not called damaged"
    with av.open(str(path)) as read:
        fifth = [packet for packet in read.demux(video=0) if packet.size][5]
        assert fifth.pos is not None
        begin, length = fifth.pos, fifth.size
    content = path.read_bytes()
    place = begin + length // 2
    path.write_bytes(content[:place] + b"\xa5\x5a\xff\x00" * 8 + content[place + 32 :])
    assert len(list(decode(probe(path), report))) == 10
    assert (report.damaged, report.guessed_from) == (0, 5)
    assert not caplog.records, "FFmpeg's messages go to nobody"


def test_the_decoders_whose_log_is_read_are_called_so_by_ffmpeg() -> None:
    """A name that FFmpeg does not have is never met, and the damage stays hidden."""
    assert all(av.codec.Codec(name, "r").name == name for name in _ONLY_LOG)
