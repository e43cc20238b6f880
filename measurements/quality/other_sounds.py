"""Does a clip score the same with its sound in another file, and as a part of a long file? Figures on MiniLRS.

Run by `bootstrap.py offsets`, or: python -m measurements.quality.other_sounds [--clips 200]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from lse_bench.runs.records import read_records
from lse_bench.runs.schema import Record

FRAMES, SPEAKERS = 75, 20
FIRST, STOP = 0.4, 2.4  # seconds of the part
# Suffix, sample rate, channels and encoder of the sound files.
SOUNDS = (
    ("wav", 16_000, 1, "pcm_s16le"),
    ("wav", 48_000, 2, "pcm_s16le"),
    ("mp3", 48_000, 2, "libmp3lame"),
    ("flac", 48_000, 2, "flac"),
    ("opus", 48_000, 2, "libopus"),
    ("m4a", 48_000, 2, "aac"),
)


def lse_bench(*arguments: object) -> None:
    command = [sys.executable, "-m", "lse_bench", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ffmpeg(*arguments: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def scored(run: Path, *arguments: object) -> dict[str, Record]:
    lse_bench("score", *arguments, "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--out", run)
    return {record.id: record for record in read_records(run)}


def apart(one: dict[str, Record], other: dict[str, Record]) -> tuple[float, int]:
    """The largest difference of a curve, and the number of clips with another number of windows."""
    curves = [(np.asarray(one[name].curve), np.asarray(other[name].curve)) for name in one]
    largest = max(float(np.abs(a - b).max()) for a, b in curves)
    return largest, sum(one[name].windows != other[name].windows for name in one)


def separate_sounds(clips: Sequence[Path], folder: Path) -> None:
    """Each clip with its sound as a separate file, against the same sound muxed into a file, picture copied.

    The muxed sound is 32-bit float, so that it holds what the decoder of the separate file gives, without rounding.
    """
    for suffix, rate, channels, encoder in SOUNDS:
        place = folder / f"{suffix}-{rate}"
        for name in ("sounds", "muxed", "videos"):
            (place / name).mkdir(parents=True)
        for clip in clips:
            name = f"{clip.parent.name}-{clip.stem}"
            sound = place / "sounds" / f"{name}.{suffix}"
            ffmpeg("-i", clip, "-vn", "-ar", rate, "-ac", channels, "-c:a", encoder, sound)
            muxed = place / "muxed" / f"{name}.mkv"
            ffmpeg("-i", clip, "-i", sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "pcm_f32le", muxed)
            (place / "videos" / f"{name}.mp4").symlink_to(clip)
        one = scored(place / "run", place / "videos", "--sounds", place / "sounds")
        largest, windows = apart(one, scored(place / "muxed-run", place / "muxed"))
        print(f"sound in .{suffix}, {rate} Hz, {channels} channels: {len(one)} clips, largest difference of a curve "
              f"{largest:.1e}, {windows} with other windows")  # fmt: skip


def parts(clips: Sequence[Path], folder: Path) -> None:
    """A part of each clip by start and end, against the clip that ffmpeg cut without loss."""
    (folder / "cut").mkdir()
    rows = ["clip,id,start,end"]
    for clip in clips:
        name = f"{clip.parent.name}-{clip.stem}"
        rows.append(f"{clip},{name},{FIRST},{STOP}")
        frames = f"trim=start={FIRST}:end={STOP},setpts=PTS-STARTPTS"
        sound = f"atrim=start={FIRST}:end={STOP},asetpts=PTS-STARTPTS"
        codecs = ("-c:v", "ffv1", "-c:a", "pcm_s16le")
        ffmpeg("-i", clip, "-vf", frames, "-af", sound, *codecs, folder / "cut" / f"{name}.mkv")
    (folder / "parts.csv").write_text("\n".join(rows), encoding="utf-8")
    one = scored(folder / "parts", folder / "parts.csv")
    largest, windows = apart(one, scored(folder / "cut-run", folder / "cut"))
    print(f"{FIRST} to {STOP} s of each clip: {len(one)} clips, largest difference of a curve {largest:.1e}, "
          f"{windows} with other windows")  # fmt: skip


def main() -> None:
    """Print the largest differences."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        each = -(-chosen.clips // SPEAKERS)
        sizes = ("--speakers", SPEAKERS, "--clips", each, "--frames", FRAMES)
        lse_bench("minilrs", "--seed", 21, "--split", "test", *sizes, "--out", folder / "corpus")
        clips = sorted((folder / "corpus").rglob("*.mp4"))[: chosen.clips]
        separate_sounds(clips, folder)
        parts(clips, folder)


if __name__ == "__main__":
    main()
