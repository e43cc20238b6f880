"""No number in a file is taken at its word, and nothing but a media file is opened as one."""

from __future__ import annotations

import os
import socket
import wave
from dataclasses import replace
from pathlib import Path

import against_ffmpeg
import clips
import imageio_ffmpeg
import numpy as np
import pytest

from lse_bench.errors import ClipError
from lse_bench.media import bounds
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import decode, read_frames
from lse_bench.media.writer import write_clip


def read(path: Path) -> tuple[int, int]:
    """Frames and samples of a clip."""
    info = probe(path)
    return sum(1 for _ in decode(info)), sum(map(len, read_sound(info)))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("gap", [600, 36_000])
def test_a_hole_is_filled_up_to_a_bound(tmp_path: Path, suffix: str, gap: int) -> None:
    times = [*clips.even(30), *(time + 1000 * gap for time in clips.even(30))]
    path = clips.write(tmp_path / f"gap{suffix}", times, clips.speech(1.2))
    with pytest.raises(ClipError, match=rf"no picture from 1\.\d+ to {gap:,}\.\d+ s; a hole may last at most 60 s"):
        read(path)
    late = clips.write(tmp_path / f"late{suffix}", clips.even(30), clips.speech(1.2), sound_start=gap)
    with pytest.raises(ClipError, match=r"no sound from 0\.00 to [\d,]+\.\d+ s; a hole may last at most 60 s"):
        sum(map(len, read_sound(probe(late))))


def test_a_pause_within_the_bound_is_filled(tmp_path: Path) -> None:
    times = [*clips.even(10), *(time + 50_000 for time in clips.even(10))]
    path = clips.write(tmp_path / "pause.mkv", times, clips.speech(1), sound_start=50)
    frames, samples = read(path)
    assert frames == 20 and abs(samples - 51 * 16_000) < 2048


def test_many_holes_add_up() -> None:
    holes = bounds.Holes("picture")
    told = [holes.refusal(n * 100, n * 100 + 50, 1) for n in range(13)]
    words = "holes of 650 s in its picture until 1,250.00 s; all holes together may last at most 600 s"
    assert not any(told[:12]) and words in str(told[12])
    small = bounds.Holes("sound")  # a frame or two, as in every recording of a variable rate
    assert not any(small.refusal(2 * n, 2 * n + 1, 2) for n in range(10_000))


@pytest.mark.parametrize("rate", [1, 2_000_000_000])
def test_wild_rates_of_sound_are_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "wild.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(clips.speech(1).tobytes())
    with pytest.raises(ClipError, match=rf"sound of {rate:,} Hz; 1,000 to 768,000 Hz are read"):
        sum(map(len, read_sound(probe(path))))


def test_wild_sizes_of_frames_are_refused(tmp_path: Path) -> None:
    info = probe(clips.good(tmp_path / "good.mp4"))
    assert info.video is not None
    wild = replace(info, video=replace(info.video, width=60_000, height=40_000))
    with pytest.raises(ClipError, match="frames of 60000x40000; at most 67,108,864 pixels are read"):
        next(decode(wild))


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.mp4"))
    told = {
        "pipe.mp4": "a named pipe",
        "loop.mp4": "cannot be read: Too many levels of symbolic links",
        "gone.mp4": "a link to nowhere.mp4, which does not exist",
        "folder.mp4": "a folder",
        "socket.mp4": "a socket",
        "never.mp4": "no such file",
    }
    for name, words in told.items():
        with pytest.raises(ClipError, match=words):
            probe(tmp_path / name)
    for device in ("/dev/zero", "/dev/urandom"):
        with pytest.raises(ClipError, match="a device"):
            probe(device)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("ffconcat version 1.0\n" + "file 'good.mp4'\n" * 5, "a concat script"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\ngood.mp4\n#EXT-X-ENDLIST\n", "a playlist"),
        ("<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>", "a DASH manifest"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", "a session description"),
    ],
)
def test_what_names_other_files_is_no_media_file(tmp_path: Path, head: str, kind: str) -> None:
    clips.good(tmp_path / "good.mp4")
    path = tmp_path / "list.mp4"
    path.write_text(head)
    with pytest.raises(ClipError, match=f"{kind}.*names other files"):
        probe(path)


def test_names_are_no_addresses_and_no_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["12:30:05.mp4", "cache:talk.mov", "http:x.mp4", "frame%03d.mp4", "-i.mp4", "a b\n.mp4", "pipe:0.mp4"]
    clips.good(tmp_path / "talk.mov", seconds=2)
    monkeypatch.chdir(tmp_path)
    for name in names:
        clips.good(tmp_path / name)
        assert read(Path(name))[0] == 30, name
        (tmp_path / f"out:{name}").mkdir()
        drawn, copied = Path(f"out:{name}", "cache:1.mp4"), Path(f"out:{name}", "http:2.mp4")
        write_clip(drawn, read_frames(probe(name)), clips.speech(1.2))
        replace_sound(name, clips.speech(1.2), copied)
        assert read(drawn)[0] == read(copied)[0] == 30, name


def many_channels(folder: Path, channels: int, suffix: str) -> Path:
    """A clip with PCM of so many channels, of which the first speaks."""
    sound = np.zeros((19_200 * 3, channels), np.int16)
    sound[:, 0] = np.repeat(clips.speech(1.2), 3)
    with wave.open(str(folder / "many.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(sound.tobytes())
    path, picture = folder / f"many{suffix}", str(clips.good(folder / "good.mp4"))
    streams = ["-map", "0:v", "-map", "1:a", "-c", "copy"]
    program = imageio_ffmpeg.get_ffmpeg_exe()
    against_ffmpeg.run(program, "-i", picture, "-i", str(folder / "many.wav"), *streams, str(path))
    return path


@pytest.mark.command
def test_an_order_of_channels_of_its_own_kills_nothing(tmp_path: Path) -> None:
    """PyAV 18.1 aborts at it: the file's order is MPEG 7.1 B, as FFmpeg writes eight channels of PCM into a MOV."""
    path = many_channels(tmp_path, 8, ".mov")
    for _ in range(3):
        assert read(path) == (30, 19_200)


@pytest.mark.command
def test_channels_that_cannot_be_mixed_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="sound of 11 channels .* cannot be mixed to one"):
        read(many_channels(tmp_path, 11, ".mkv"))
