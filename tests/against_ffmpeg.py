"""Clips of every kind that the ffmpeg program writes, and how our decoding of one compares with the program's."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import clips
import numpy as np
from numpy.typing import NDArray

from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import at_constant_rate, decode

SECONDS = 2.4
UNIT = 1 << 16
EDGE = 32  # samples before an end that the resampler makes of what comes after it
# Containers and codecs: suffix, and ffmpeg's options.
STORED: dict[str, tuple[str, Sequence[str]]] = {
    "H.264, B-frames, mp4": (".mp4", ["-c:v", "libx264", "-c:a", "aac"]),
    "H.264, one key frame, mkv": (".mkv", ["-c:v", "libx264", "-g", "999", "-c:a", "flac"]),
    "H.264, mov, PCM": (".mov", ["-c:v", "libx264", "-bf", "0", "-c:a", "pcm_s16le"]),
    "H.264, MPEG-TS": (".ts", ["-c:v", "libx264", "-c:a", "mp2", "-ar", "48000"]),
    "H.264, FLV": (".flv", ["-c:v", "libx264", "-c:a", "aac", "-ar", "44100"]),
    "HEVC, mp4": (".mp4", ["-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "aac", "-ar", "48000"]),
    "VP8 and Vorbis, webm": (".webm", ["-c:v", "libvpx", "-c:a", "libvorbis"]),
    "VP9 and Opus, webm": (".webm", ["-c:v", "libvpx-vp9", "-c:a", "libopus"]),
    "AV1 and Opus, mkv": (".mkv", ["-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus"]),
    "MPEG-4 and MP3, avi": (".avi", ["-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame", "-ar", "44100"]),
    "MPEG-2, mpg": (".mpg", ["-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2", "-ar", "48000"]),
    "MJPEG and PCM, avi": (".avi", ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"]),
    "ProRes, mov": (".mov", ["-c:v", "prores_ks", "-c:a", "pcm_s16le"]),
    "FFV1, mkv": (".mkv", ["-c:v", "ffv1", "-c:a", "pcm_s16le"]),
    "Theora, ogv": (".ogv", ["-c:v", "libtheora", "-c:a", "libvorbis"]),
    "WMV and WMA, asf": (".wmv", ["-c:v", "wmv2", "-c:a", "wmav2"]),
    "H.264, 50 fps": (".mp4", ["-r", "50", "-c:v", "libx264", "-c:a", "aac"]),
    "H.264, 29.97 fps": (".mp4", ["-r", "30000/1001", "-c:v", "libx264", "-c:a", "aac"]),
    "H.264, 24 fps, mkv": (".mkv", ["-r", "24", "-c:v", "libx264", "-c:a", "aac"]),
    "H.264, odd sides": (".mkv", ["-vf", "scale=95:63", "-pix_fmt", "yuv444p", "-c:v", "libx264", "-c:a", "aac"]),
    "six channels": (".mkv", ["-c:v", "libx264", "-af", "pan=5.1|c0=c0|c2=c0", "-c:a", "flac", "-ar", "48000"]),
}
# Display matrices: the four numbers of the upper left corner.
TURNED = {
    "turned by 90": (0, 1, -1, 0),
    "turned by 180": (-1, 0, 0, -1),
    "turned by 270": (0, -1, 1, 0),
    "mirrored": (-1, 0, 0, 1),
    "upside down": (1, 0, 0, -1),
    "turned and mirrored": (0, 1, 1, 0),
    "turned back and mirrored": (0, -1, -1, 0),
}
# Clocks, edit lists, and several streams of a kind.
OTHERS = (
    "clock jumps back, ts",
    "clock jumps by 100 s, ts",
    "clock jumps by 20,000 s, ts",
    "starts at 1,000 s, mkv",
    "late sound, mp4",
    "late picture, mkv",
    "edit list, mp4",
    "two pictures, mkv",
    "two sounds, mkv",
)


@dataclass(frozen=True)
class Compared:
    """Ours and the program's: frames, samples, and the largest difference of a pixel and of a sample."""

    frames: tuple[int, int]
    pixel: int
    samples: tuple[int, int]
    sample: int


def run(program: str, *arguments: str) -> bytes:
    """What the ffmpeg program writes to its standard output."""
    command = [program, "-nostdin", "-v", "error", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def source(folder: Path) -> Path:
    """The clip that everything is made of."""
    path = folder / "source.mp4"
    if not path.exists():
        clips.write(path, clips.even(int(SECONDS * 25)), clips.speech(SECONDS), size=(96, 64))
    return path


def makers(program: str, folder: Path) -> dict[str, Callable[[], Path]]:
    """What makes each clip, by its name."""
    base = str(source(folder))

    def path_of(name: str, suffix: str) -> Path:
        return folder / ("".join(letter if letter.isalnum() else "_" for letter in name) + suffix)

    def stored(name: str, suffix: str, options: Sequence[str]) -> Path:
        path = path_of(name, suffix)
        run(program, "-i", base, *options, str(path))
        return path

    def turned(name: str, numbers: tuple[int, int, int, int]) -> Path:
        path = path_of(name, ".mp4")
        path.write_bytes(with_matrix(Path(base).read_bytes(), *numbers))
        return path

    def jumping(name: str, offset: float | None) -> Path:
        """Two halves of MPEG-TS behind each other; the second one's clock starts anew, or `offset` seconds later."""
        path, half = path_of(name, ".ts"), SECONDS / 2
        options = ["-c:v", "libx264", "-bf", "0", "-qp", "12", "-c:a", "mp2", "-ar", "48000", "-f", "mpegts"]
        moved = [] if offset is None else ["-output_ts_offset", str(offset)]
        first = run(program, "-t", str(half), "-i", base, *options, "-")
        path.write_bytes(first + run(program, "-ss", str(half), "-i", base, *options, *moved, "-"))
        return path

    def started(name: str, suffix: str, *options: str) -> Path:
        path = path_of(name, suffix)
        run(program, *options, "-c", "copy", str(path))
        return path

    late = ("-i", base, "-itsoffset", "0.5", "-i", base)
    found: dict[str, Callable[[], Path]] = {
        name: lambda name=name, kind=kind: stored(name, *kind) for name, kind in STORED.items()
    }
    found |= {name: lambda name=name, numbers=numbers: turned(name, numbers) for name, numbers in TURNED.items()}
    others: Sequence[Callable[[], Path]] = (
        lambda: jumping("clock jumps back", None),
        lambda: jumping("clock jumps by 100 s", 100),
        lambda: jumping("clock jumps by 20000 s", 20_000),
        lambda: started("starts at 1000 s", ".mkv", "-itsoffset", "1000", "-i", base, "-copyts"),
        lambda: started("late sound", ".mp4", *late, "-map", "0:v", "-map", "1:a"),
        lambda: started("late picture", ".mkv", *late, "-map", "1:v", "-map", "0:a"),
        lambda: started("edit list", ".mp4", "-ss", "0.5", "-i", str(with_b_frames(program, base))),
        lambda: two(program, base, path_of("two pictures", ".mkv"), pictures=2),
        lambda: two(program, base, path_of("two sounds", ".mkv"), pictures=1),
    )
    return found | dict(zip(OTHERS, others, strict=True))


def with_b_frames(program: str, base: str) -> Path:
    """One key frame and B-frames: cut without encoding, it keeps packets that are not shown."""
    path = Path(base).with_name("b_frames.mp4")
    run(program, "-i", base, "-c:v", "libx264", "-g", "250", "-c:a", "aac", str(path))
    return path


def two(program: str, base: str, path: Path, pictures: int) -> Path:
    """A small other picture in front, or another sound behind, none of them the default."""
    other = f"testsrc2=s=48x48:r=25:d={SECONDS}" if pictures == 2 else f"sine=300:r=48000:d={SECONDS}"
    maps = ["0:v", "1:v", "1:a"] if pictures == 2 else ["1:v", "1:a", "0:a"]
    mapped = [word for one in maps for word in ("-map", one)]
    plain = ["-disposition:v", "0", "-disposition:a", "0", "-c:v", "libx264", "-qp", "12", "-c:a", "flac"]
    run(program, "-f", "lavfi", "-i", other, "-i", base, *mapped, *plain, str(path))
    return path


def with_matrix(content: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An mp4 whose first track shows its picture through the matrix (a b; c d)."""
    place = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8  # version and flags; times, id, length; reserved; layer, volume
    matrix = struct.pack(">9i", a * UNIT, b * UNIT, 0, c * UNIT, d * UNIT, 0, 0, 0, 1 << 30)
    return content[:place] + matrix + content[place + 36 :]


def compare(program: str, path: Path) -> Compared:
    """Every frame at the clip's own rate and every sample, ours against the program's."""
    info = probe(path)
    assert info.video is not None
    ours = [frame_bytes(picture) for picture in at_constant_rate(decode(info), info.video.rate)]
    size = len(ours[0])
    layout = next(decode(info)).picture.format.name
    rate = ["-fps_mode", "cfr", "-f", "rawvideo", "-pix_fmt", layout, "-"]
    theirs = np.frombuffer(run(program, "-i", os.fspath(path), *rate), np.uint8)
    frames = [theirs[start : start + size] for start in range(0, len(theirs), size)]
    heard = np.concatenate(list(read_sound(info)))
    mono = ["-ac", "1", "-async", "1", "-ar", "16000", "-c:a", "pcm_s16le", "-f", "s16le", "-"]
    told = np.frombuffer(run(program, "-i", os.fspath(path), "-vn", *mono), np.int16)
    end = min(len(heard), len(told)) - (EDGE if len(heard) != len(told) else 0)
    return Compared(
        frames=(len(ours), len(frames)),
        pixel=max(largest(a, b) for a, b in zip(ours, frames, strict=False)),
        samples=(len(heard), len(told)),
        sample=largest(heard[:end], told[:end]),
    )


def frame_bytes(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """A picture's planes as the program writes them."""
    if max(component.bits for component in picture.format.components) == 8:
        return np.asarray(picture.to_ndarray(), dtype=np.uint8).reshape(-1)
    # av gives deeper ones in an order of its own.
    rows = [
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width * 2].reshape(-1)
        for plane in picture.planes
    ]
    return np.concatenate(rows)


def largest(one: NDArray[np.uint8] | NDArray[np.int16], other: NDArray[np.uint8] | NDArray[np.int16]) -> int:
    """The largest difference where both have a value."""
    count = min(len(one), len(other))
    return int(np.abs(one[:count].astype(int) - other[:count].astype(int)).max(initial=0))
