"""Media against OpenCV, against golden sound, and against the ffmpeg program."""

from __future__ import annotations

import struct
import subprocess
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest
from conftest import golden_file

from lse_bench.errors import ClipError
from lse_bench.media.audio import keep_padding, read_sound
from lse_bench.media.jpeg import encode_jpegs, through_jpeg
from lse_bench.media.probe import probe
from lse_bench.media.upright import Upright
from lse_bench.media.video import DecodeReport, TimedFrame, ToBgr, at_constant_rate, decode, read_frames
from lse_bench.media.writer import write_clip

OPENCV = tuple(map(int, cv2.__version__.split(".")[:2]))


def ffmpeg(*arguments: str) -> bytes:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize("name", ["clip_a.mp4", "clip_b.mp4", "clip_c.mp4", "clip_d.mp4"])
def test_frames_are_opencvs_to_the_pixel(name: str) -> None:
    info = probe(golden_file(name))
    assert info.video is not None
    if name == "clip_a.mp4" and OPENCV < (4, 13):
        pytest.skip("OpenCV's own reader takes the colours of this clip for others before 4.13, by up to 10 levels")
    capture = cv2.VideoCapture(str(info.path))
    count = 0
    for frame in read_frames(info, info.video.rate):
        found, expected = capture.read()
        assert found and np.array_equal(frame, expected), f"frame {count}"
        count += 1
    assert count == info.video.frames and not capture.read()[0]


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_sound_is_the_original_within_one_unit(name: str) -> None:
    with np.load(golden_file(f"lrs_clip_{name}.npz")) as golden:
        expected = golden["audio"]
    sound = np.concatenate(list(read_sound(probe(golden_file(f"clip_{name}.mp4")))))
    assert sound.dtype == np.int16 and len(sound) == len(expected)
    difference = np.abs(sound.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001


@pytest.mark.parametrize("suffix", ["mp4", "mov", "m4a"])
def test_the_last_frame_of_sound_is_kept_whole(tmp_path: Path, suffix: str) -> None:
    """FFmpeg 9 would cut it to the 336 samples that the file's index gives; every ffmpeg before keeps 1,024."""
    path = clips.write(tmp_path / f"clip.{suffix}", clips.even(30), clips.speech(19_792 / 16_000))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    assert packets[-1].duration == 336 and packets[0].pts == -1024
    sound = np.concatenate(list(read_sound(probe(path))))
    assert len(sound) == 1024 * (len(packets) - 1) == 20_480


def test_sound_to_leave_out_at_the_start_stays_left_out(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mp4", clips.even(30), clips.speech(19_792 / 16_000))
    with av.open(str(path)) as container:
        first = next(packet for packet in container.demux(audio=0))
        skips = first.get_sidedata("skip_samples")
        assert bytes(skips)[:8] == struct.pack("<II", 1024, 0)
        skips.update(struct.pack("<IIBB", 1024, 688, 0, 0))
        first.set_sidedata(skips)
        keep_padding(first)
        assert bytes(first.get_sidedata("skip_samples")) == struct.pack("<IIBB", 1024, 0, 0, 0)


@pytest.mark.command
@pytest.mark.parametrize("suffix", ["mp3", "mkv"])
def test_other_containers_are_cut_as_they_say(tmp_path: Path, suffix: str) -> None:
    """LAME's header and the padding that Matroska announces count in every version of FFmpeg."""
    codec = {"mp3": "libmp3lame", "mkv": "libopus"}[suffix]
    path = tmp_path / f"sound.{suffix}"
    picture = () if suffix == "mp3" else ("-f", "lavfi", "-i", "color=red:s=64x64:r=25:d=1.6")
    ffmpeg("-f", "lavfi", "-i", "sine=440:r=16000:d=1.237", *picture, "-c:a", codec, str(path))
    program = np.frombuffer(ffmpeg("-i", str(path), "-ac", "1", "-ar", "16000", "-f", "s16le", "-"), np.int16)
    sound = np.concatenate(list(read_sound(probe(path))))
    assert abs(len(program) - 19_792) < 400  # without a cut it would be more
    assert abs(len(sound) - len(program)) <= 1


def test_a_converter_keeps_nothing_of_the_pictures_before() -> None:
    """One converter for a whole clip gives what a fresh one gives, whatever size and format came before."""
    random = np.random.default_rng(0)
    pictures = []
    for width, height, form in ((96, 64, "yuv420p"), (64, 96, "yuv444p"), (96, 64, "yuvj420p"), (96, 64, "yuv420p")):
        bgr = cv2.resize(random.integers(0, 256, (8, 8, 3), dtype=np.uint8), (width, height))
        pictures.append(av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format=form))
    used = ToBgr()
    for picture in [*pictures, *reversed(pictures)]:
        assert np.array_equal(used(picture), ToBgr()(picture))


def test_a_rotation_that_changes_in_mid_stream_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    bgr = cv2.resize(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), (64, 64))
    drawn = av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv444p")
    upright, real_build = Upright(), Upright._build
    matrices = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}  # counterclockwise

    class Turned:
        """The same picture with another matrix beside it."""

        def __init__(self, degrees: int) -> None:
            a, b, c, d = (number << 16 for number in matrices[degrees])
            self.matrix = [a, b, 0, c, d, 0, 0, 0, 1 << 30]
            self.width, self.height, self.format = 64, 64, drawn.format

    class Graph:
        def __init__(self, chain: tuple[str, ...]) -> None:
            self.graph = real_build(drawn, chain)

        def push(self, picture: Turned) -> None:
            self.graph.push(drawn)

        def pull(self) -> av.VideoFrame:
            return self.graph.pull()

    monkeypatch.setattr(upright, "_build", lambda picture, chain: Graph(chain))
    monkeypatch.setattr("lse_bench.media.upright.matrix_of", lambda picture: picture.matrix)
    turned = [upright(Turned(angle)).to_ndarray() for angle in (90, 270, 90, 180)]
    plain = drawn.to_ndarray()
    for found, quarters in zip(turned, (1, 3, 1, 2), strict=True):
        assert np.array_equal(found, np.rot90(plain, quarters, axes=(1, 2)))


def uneven_clips(folder: Path) -> dict[str, Path]:
    drop = [t for n, t in enumerate(clips.even(60)) if n % 7 != 3]
    gap = clips.even(60)[:20] + clips.even(60)[40:]
    end = [*clips.even(40), 1900, 1960]
    return {
        "even": clips.write(folder / "even.mp4", clips.even(30), clips.speech(1.2)),
        "dropped": clips.write(folder / "dropped.mp4", drop, clips.speech(2.4)),
        "dropped mkv": clips.write(folder / "dropped.mkv", drop, clips.speech(2.4)),
        "gap": clips.write(folder / "gap.mp4", gap, clips.speech(2.4)),
        "gap at the end": clips.write(folder / "end.mp4", end, clips.speech(2.4)),
        "late": clips.write(folder / "late.mp4", clips.even(30, start=2.0), clips.speech(3)),
        "slightly late": clips.write(folder / "late02.mkv", clips.even(30, start=0.2), clips.speech(1.2)),
        "30 fps": clips.write(folder / "thirty.mp4", clips.even(45, 30), clips.speech(1.5), fps=30),
    }


@pytest.mark.command
@pytest.mark.parametrize("rate", [None, 25])
def test_constant_rate_and_jpeg_are_those_of_the_ffmpeg_program(tmp_path: Path, rate: int | None) -> None:
    """The same number of files with the same pixels, however frames are spaced (ffmpeg 9 in the imageio wheel)."""
    for case, path in uneven_clips(tmp_path).items():
        info = probe(path)
        assert info.video is not None
        wanted = Fraction(rate) if rate else info.video.rate
        folder = tmp_path / f"{path.name}.jpg"
        folder.mkdir()
        ffmpeg("-i", str(path), *(["-r", str(rate)] if rate else []), "-f", "image2", str(folder / "%06d.jpg"))
        expected = [cv2.imread(str(name)) for name in sorted(folder.iterdir())]
        frames = list(through_jpeg(at_constant_rate(decode(info), wanted), wanted, info.video.pixel_shape))
        assert len(frames) == len(expected), case
        same = sum(np.array_equal(a, b) for a, b in zip(frames, expected, strict=True))
        # Rate control counts the version string in each file's header, one byte longer in one of the two.
        assert same >= 0.95 * len(frames), f"{case}: {same} of {len(frames)}"


def test_jpeg_quality_falls_under_rate_control() -> None:
    info = probe(golden_file("clip_b.mp4"))
    files = list(encode_jpegs((frame.picture for frame in decode(info)), Fraction(25), Fraction(1)))
    assert len(files) == 75
    assert len(files[0]) > 2 * len(files[-1])
    assert files[0][6:10] == b"JFIF", "a known pixel shape is written, as ffmpeg does"


def test_even_clips_pass_the_rate_rule_unchanged() -> None:
    pictures = [av.VideoFrame(16, 16, "yuv420p") for _ in range(50)]
    report = DecodeReport()
    timed = (TimedFrame(n, 1, 25, picture) for n, picture in enumerate(pictures))
    assert [id(p) for p in at_constant_rate(timed, Fraction(25), report)] == [id(p) for p in pictures]
    assert (report.repeated, report.dropped) == (0, 0)


def test_doubled_rate_drops_every_other_frame() -> None:
    pictures = [av.VideoFrame(16, 16, "yuv420p") for _ in range(50)]
    report = DecodeReport()
    timed = (TimedFrame(n, 1, 50, picture) for n, picture in enumerate(pictures))
    kept = list(at_constant_rate(timed, Fraction(25), report))
    # ffmpeg drops a frame only once the output is 1.1 frames ahead, so it stays up to two ahead to the end.
    assert 25 <= len(kept) <= 27 and len(kept) + report.dropped == 50


@pytest.mark.command
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_phone_rotation_is_undone_as_opencv_does(tmp_path: Path, degrees: int) -> None:
    path = clips.write(tmp_path / "flat.mp4", clips.even(10), clips.speech(0.4), size=(96, 64))
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", str(degrees), "-i", str(path), "-c", "copy", str(turned))
    capture = cv2.VideoCapture(str(turned))
    for frame in read_frames(probe(turned)):
        expected = capture.read()[1]
        assert frame.shape == expected.shape
        assert np.abs(frame.astype(int) - expected).mean() < 2


def test_late_sound_gets_silence_and_late_picture_its_first_frame(tmp_path: Path) -> None:
    late = probe(clips.write(tmp_path / "late.mkv", clips.even(40), clips.speech(1), sound_start=0.8))
    sound = np.concatenate(list(read_sound(late)))
    silent = int(0.7 * 16000)
    assert np.abs(sound[:silent]).max() == 0 and np.abs(sound[silent + 4000 :]).max() > 1000
    late = probe(clips.write(tmp_path / "late.mp4", clips.even(10, start=1.0), clips.speech(1.4)))
    assert late.video is not None and late.video.start == pytest.approx(1.0)
    frames = list(read_frames(late, Fraction(25)))
    assert len(frames) == 35 and all(np.array_equal(frames[0], frame) for frame in frames[:25])


def test_probe_tells_what_there_is(tmp_path: Path) -> None:
    info = probe(clips.good(tmp_path / "good.mp4", 2.0))
    assert info.video is not None and info.sound is not None
    assert (info.video.width, info.video.height, info.video.rate, info.video.frames) == (112, 112, 25, 50)
    assert not info.video.variable and info.video.seconds == pytest.approx(2.0, abs=0.05)
    assert (info.sound.rate, info.sound.channels) == (16000, 1)
    assert probe(clips.write(tmp_path / "mute.mp4", clips.even(5))).sound is None
    assert probe(clips.write(tmp_path / "blind.mp4", sound=clips.speech(1))).video is None


def test_what_is_not_media_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<!DOCTYPE html><html><body>404</body></html>")
    pointer = tmp_path / "pointer.mp4"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    for path, words in (
        (page, "HTML page"),
        (pointer, "Git LFS pointer"),
        (tmp_path / "absent.mp4", "no such file"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(ClipError, match=words) as caught:
            probe(path)
        assert caught.value.status == "unreadable"


def test_damaged_packets_are_left_out_and_counted(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.mkv", clips.even(60), clips.speech(2.4))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    report = DecodeReport()
    frames = list(read_frames(probe(path), None, report))
    assert 0 < len(frames) <= 60


@pytest.mark.parametrize("size", [(64, 96), (63, 97)])
def test_written_clips_read_back(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    frames = [clips.picture(n, width, height) for n in range(30)]
    sound = clips.speech(1.2)
    path = tmp_path / "written.mp4"
    assert write_clip(path, iter(frames), sound) == 30
    info = probe(path)
    back = list(read_frames(info, Fraction(25)))
    assert len(back) == 30
    for frame, original in zip_longest(back, frames):
        assert np.abs(frame.astype(int) - original).mean() < 4
    heard = np.concatenate(list(read_sound(info)))[: len(sound)].astype(float)
    assert np.corrcoef(heard, sound[: len(heard)])[0, 1] > 0.99
    assert [entry.name for entry in tmp_path.iterdir()] == ["written.mp4"]


def test_a_clip_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frames"):
        write_clip(tmp_path / "none.mp4", iter(()))
    with pytest.raises(ValueError, match="frame 1 is"):
        write_clip(tmp_path / "two.mp4", iter([np.zeros((32, 32, 3), np.uint8), np.zeros((16, 32, 3), np.uint8)]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.command
def test_whole_files_are_not_called_cut(tmp_path: Path) -> None:
    """A second sound track that is longer, and a Matroska file that does not begin at 0."""
    plain = clips.write(tmp_path / "plain.mp4", clips.even(25), clips.speech(1))
    long = clips.write(tmp_path / "long.mp4", sound=clips.speech(3))
    two = tmp_path / "two.mp4"
    ffmpeg("-i", str(plain), "-i", str(long), "-map", "0:v", "-map", "0:a", "-map", "1:a", "-c", "copy", str(two))
    assert probe(two).video is not None
    late = tmp_path / "late.mkv"
    ffmpeg("-i", str(plain), "-output_ts_offset", "2", "-c", "copy", str(late))
    info = probe(late)
    assert info.origin > 1_500_000 and info.video is not None and info.video.start < 0.1
    assert sum(1 for _ in read_frames(info, Fraction(25))) == 25
