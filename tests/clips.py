"""Makes clips for tests: good ones and every kind of bad one."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

TICK = Fraction(1, 1000)


def even(frames: int, fps: float = 25, start: float = 0.0) -> list[int]:
    """Times of evenly spaced frames, milliseconds."""
    return [round(1000 * (start + n / fps)) for n in range(frames)]


def speech(seconds: float, seed: int = 0, peak: int = 9000) -> np.ndarray:
    """A modulated buzz, int16, 16 kHz."""
    time = np.arange(int(seconds * 16000)) / 16000
    loudness = np.interp(time, np.arange(0, seconds + 1, 0.12), _levels(seconds, seed))
    return (peak * loudness * np.sin(2 * np.pi * 150 * time + np.sin(2 * np.pi * 3 * time))).astype(np.int16)


def _levels(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, len(np.arange(0, seconds + 1, 0.12)))


def picture(number: int, width: int, height: int, seed: int = 0) -> np.ndarray:
    """A BGR frame whose content tells its number."""
    image = np.full((height, width, 3), (40 + 7 * seed, (3 * number) % 200, 120), np.uint8)
    centre = (width // 2, int(height * (0.6 + 0.1 * np.sin(number * 0.7 + seed))))
    cv2.ellipse(image, centre, (max(1, width // 5), max(1, height // 9)), 0, 0, 360, (60, 60, 220), -1)
    return image


def assert_same_picture(found: np.ndarray, wanted: np.ndarray) -> None:
    """Of levels 0...255: a few may be rounded otherwise on another processor, by one level each."""
    apart = np.abs(found.astype(int) - wanted)
    np.testing.assert_allclose(apart, 0, rtol=0, atol=3)
    np.testing.assert_allclose(apart.mean(), 0, rtol=0, atol=0.01)


def write(
    path: Path,
    times: Sequence[int] = (),
    sound: np.ndarray | None = None,
    size: tuple[int, int] = (112, 112),
    fps: float = 25,
    sound_start: float = 0.0,
    faststart: bool = False,
    seed: int = 0,
    still: bool = False,
) -> Path:
    """A clip with frames at `times` (ms; none: no video stream) and int16 sound (None: no audio stream).

    `still`: all frames are the first; else their colour changes so much that a shot detector sees cuts.
    """
    options = {"movflags": "faststart"} if faststart else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(os.fspath(path), "w", options=options) as container:
        video = audio = None
        if len(times):
            video = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"bf": "0"})
            video.width, video.height = size
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = TICK
        if sound is not None:
            audio = container.add_stream("aac", rate=16000, layout="mono")
        if video is not None:
            for number, time in enumerate(times):
                frame = av.VideoFrame.from_ndarray(picture(0 if still else number, *size, seed=seed), format="bgr24")
                frame.pts, frame.time_base = int(time), TICK
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16000, int(sound_start * 16000), Fraction(1, 16000)
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def good(path: Path, seconds: float = 1.2, seed: int = 0) -> Path:
    """A clip that every protocol scores without a warning."""
    return write(path, even(int(seconds * 25)), speech(seconds, seed), seed=seed)


def bad_folder(folder: Path) -> dict[str, str]:
    """One clip of each kind that must fail; returns file name to status."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "random.mp4").write_bytes(random.Random(0).randbytes(20_000))
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    whole = write(folder / "whole.mp4", even(50), speech(2)).read_bytes()
    (folder / "cut_before_index.mp4").write_bytes(whole[: len(whole) // 2])
    whole = write(folder / "whole.mp4", even(50), speech(2), faststart=True).read_bytes()
    (folder / "cut_after_index.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    whole = write(folder / "whole.mkv", even(50), speech(2)).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (folder / "whole.mp4").unlink()
    (folder / "whole.mkv").unlink()
    write(folder / "no_sound.mp4", even(50))
    write(folder / "no_picture.mp4", sound=speech(2))
    write(folder / "five_frames.mp4", even(5), speech(2))
    write(folder / "short_sound.mp4", even(50), speech(0.1))
    write(folder / "sixty_fps.mp4", even(120, 60), speech(2), fps=60)
    write(folder / "phone_30.mp4", [t + t % 3 for t in even(60, 30)], speech(2), fps=30)
    return {
        "empty.mp4": "unreadable",
        "random.mp4": "unreadable",
        "text.mp4": "unreadable",
        "cut_before_index.mp4": "unreadable",
        "cut_after_index.mp4": "unreadable",
        "cut.mkv": "unreadable",
        "no_sound.mp4": "no_audio",
        "no_picture.mp4": "no_video",
        "five_frames.mp4": "too_short",
        "short_sound.mp4": "too_short",
        "sixty_fps.mp4": "wrong_fps",
        "phone_30.mp4": "wrong_fps",
    }


def odd_folder(folder: Path) -> dict[str, str]:
    """Clips that must score, with a warning; returns file name to a word of the warning."""
    write(folder / "silent.mp4", even(40), np.zeros(16000 * 2, np.int16))
    write(folder / "late_picture.mp4", even(40, start=2.0), speech(4))
    write(folder / "late_sound.mkv", even(60), speech(1.5), sound_start=0.8)
    write(folder / "variable.mp4", [t for n, t in enumerate(even(60)) if n % 7 != 3], speech(2.4))
    write(folder / "sound_ends_early.mp4", even(60), speech(1.5))
    write(folder / "sound_goes_on.mp4", even(30), speech(2.5))
    write(folder / "tiny.mp4", even(40), speech(1.6), size=(16, 16))
    write(folder / "huge.mp4", even(8), speech(0.32), size=(7680, 4320))
    write(folder / "portrait.mp4", even(40), speech(1.6), size=(108, 192))
    return {
        "silent.mp4": "silent",
        "late_picture.mp4": "late picture",
        "late_sound.mkv": "late sound",
        "variable.mp4": "variable frame rate",
        "sound_ends_early.mp4": "sound shorter",
        "sound_goes_on.mp4": "sound longer",
        "tiny.mp4": "small frames",
        "huge.mp4": "huge frames",
        "portrait.mp4": "not a face crop",
    }


CODECS = {".wav": "pcm_s16le", ".mp3": "libmp3lame", ".flac": "flac", ".opus": "libopus", ".m4a": "aac"}


def sound_file(path: Path, sound: np.ndarray, rate: int = 16000, channels: int = 1) -> Path:
    """A file with int16 sound of 16 kHz, encoded as its suffix asks for, at another rate and in stereo if wanted."""
    layout = "mono" if channels == 1 else "stereo"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(os.fspath(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate, layout=layout)
        resampler = av.AudioResampler(stream.format, layout, rate)
        block = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
        for frame in (*resampler.resample(block), *resampler.resample(None)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def muxed(video: Path, sounds: Sequence[Path], path: Path, languages: Sequence[str] = ()) -> Path:
    """The picture of `video` with the sounds of other files, as the ffmpeg program joins them, without further loss."""
    import imageio_ffmpeg

    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = [word for source in (video, *sounds) for word in ("-i", str(source))]
    streams = ["-map", "0:v", *(word for n in range(len(sounds)) for word in ("-map", f"{n + 1}:a"))]
    told = [word for n, tag in enumerate(languages) for word in (f"-metadata:s:a:{n}", f"language={tag}")]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *inputs, *streams, "-c:v", "copy", "-c:a", "pcm_f32le"]
    subprocess.run([*command, *told, str(path)], check=True)
    return path


def covered(video: Path, path: Path) -> Path:
    """A copy of `video` with a cover, a second picture of 640x640 that players show in lists."""
    import cv2
    import imageio_ffmpeg

    cover = path.with_suffix(".png")
    cv2.imwrite(str(cover), picture(0, 640, 640))
    inputs = ["-i", str(video), "-i", str(cover), "-map", "0", "-map", "1"]
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        *inputs,
        "-c",
        "copy",
        "-disposition:v:1",
        "attached_pic",
    ]
    subprocess.run([*command, str(path)], check=True)
    return path


def cut(video: Path, first: int, stop: int, path: Path) -> Path:
    """The frames `first`...`stop`-1 of a clip of 25 fps with its sound, decoded and stored again without loss."""
    from lse_bench.media.audio import read_sound
    from lse_bench.media.probe import probe
    from lse_bench.media.video import decode

    info = probe(video)
    sound = np.concatenate(list(read_sound(info)))[first * 640 : stop * 640]
    with av.open(os.fspath(path), "w") as container:
        picture = container.add_stream("ffv1", rate=25)
        picture.width, picture.height, picture.pix_fmt = info.video.width, info.video.height, "yuv420p"
        heard = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for number, timed in enumerate(decode(info)):
            if first <= number < stop:
                frame = timed.picture
                frame.pts, frame.time_base = number - first, Fraction(1, 25)
                container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        block = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = 16000, 0, Fraction(1, 16000)
        container.mux(heard.encode(block))
        container.mux(heard.encode(None))
    return path
