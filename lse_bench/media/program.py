"""The user's ffmpeg program and the files of the published pipeline: every conversion as run_pipeline.py makes it.

Argument lists, never a shell. Everywhere else LSE-Bench decodes and encodes in memory; here the point is what the files
do to picture and sound: MPEG-4 and MP3, JPEG, XVID, JPEG again.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.io import wavfile

from lse_bench.errors import ClipError, UsageError
from lse_bench.media.audio import SAMPLE_RATE, Sound
from lse_bench.media.video import Frame

_TOLD = 300  # characters of ffmpeg's last words in an error


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """An ffmpeg program and its version, as in `5.1.9-0+deb12u1`."""

    path: str
    version: str

    def run(self, clip: Path, arguments: Sequence[str]) -> None:
        """Run it on behalf of `clip`. Raises ClipError `unreadable` with its last words when it fails."""
        command = [self.path, "-nostdin", "-loglevel", "error", "-y", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603 - a list, no shell
        if done.returncode:
            told = " ".join(done.stderr.split())[-_TOLD:]
            raise ClipError(clip, "unreadable", f"ffmpeg {self.version} gave up ({done.returncode}): {told}")


def find_ffmpeg(path: Path | str | None = None) -> Ffmpeg:
    """The ffmpeg program at `path`, else the one that a shell would find.

    Raises UsageError when there is none or it does not start.
    """
    found = shutil.which(str(path or "ffmpeg"))
    if found is None:
        raise UsageError(
            f"no ffmpeg program{f' at {path}' if path else ''}: tracked-legacy needs one. On Debian and Ubuntu: "
            "apt-get install ffmpeg; or name one with --ffmpeg. The protocol tracked@1 needs none"
        )
    done = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)  # noqa: S603 - a list
    words = done.stdout.split()
    if done.returncode or words[:2] != ["ffmpeg", "version"]:
        raise UsageError(f"{found} is not an ffmpeg program that starts: {(done.stderr or done.stdout)[:_TOLD]}")
    return Ffmpeg(found, words[2])


# An MPEG-4 encoder cuts pictures into as many slices as it has threads, and ffmpeg's own choice is one more than the
# machine has cores. Three gives the reference scores.
_ENCODER_THREADS = "3"


@dataclass(frozen=True, slots=True)
class Converted:
    """A clip as the pipeline sees it: `video` (25 fps MPEG-4 and MP3), `pictures` (JPEG, one per frame) and `sound`
    (16 kHz mono WAV)."""

    video: Path
    pictures: list[Path]
    sound: Path


def convert(ffmpeg: Ffmpeg, clip: Path, folder: Path) -> Converted:
    """The first three conversions: everything at 25 fps, by presentation time, with the delay of the MP3 encoder."""
    video, sound = folder / "video.avi", folder / "audio.wav"
    pictures = folder / "frames"
    pictures.mkdir()
    encoded = ["-qscale:v", "2", "-async", "1", "-r", "25", "-threads", _ENCODER_THREADS, str(video)]
    ffmpeg.run(clip, ["-i", str(clip.absolute()), *encoded])
    ffmpeg.run(clip, ["-i", str(video), "-qscale:v", "2", "-threads", "1", "-f", "image2", str(pictures / "%06d.jpg")])
    ffmpeg.run(clip, ["-i", str(video), "-ac", "1", "-vn", "-acodec", "pcm_s16le", "-ar", "16000", str(sound)])
    return Converted(video, sorted(pictures.glob("*.jpg")), sound)


def write_crop(
    ffmpeg: Ffmpeg, clip: Path, crops: Iterable[Frame], sound: Path, first: int, stop: int, path: Path
) -> None:
    """Crops (224x224, frames `first`...`stop`-1) as XVID in an AVI, and their piece of `sound`, joined as `path`."""
    silent, piece = path.with_suffix(".t.avi"), path.with_suffix(".wav")
    # OpenCV's own writer, as published: its bit rate is no option of any other.
    writer = cv2.VideoWriter(str(silent), cv2.VideoWriter.fourcc(*"XVID"), 25, (224, 224))
    if not writer.isOpened():
        raise ClipError(clip, "error", f"OpenCV {cv2.__version__} here cannot write XVID; install its wheel from PyPI")
    for crop in crops:
        writer.write(crop)
    writer.release()
    cut = ["-ss", f"{first / 25:.3f}", "-to", f"{stop / 25:.3f}"]
    ffmpeg.run(clip, ["-i", str(sound), *cut, str(piece)])
    ffmpeg.run(clip, ["-i", str(silent), "-i", str(piece), "-c:v", "copy", "-c:a", "copy", str(path)])
    silent.unlink()
    piece.unlink()


def dump_crop(ffmpeg: Ffmpeg, clip: Path, crop: Path, folder: Path) -> tuple[list[Path], Path]:
    """What the scorer reads of a crop: its JPEG files, at ffmpeg's default 200 kb/s, and its WAV."""
    folder.mkdir()
    sound = folder / "audio.wav"
    ffmpeg.run(clip, ["-i", str(crop), "-threads", "1", "-f", "image2", str(folder / "%06d.jpg")])
    arguments = ["-i", str(crop), "-async", "1", "-ac", "1", "-vn", "-acodec", "pcm_s16le", "-ar", "16000", str(sound)]
    ffmpeg.run(clip, arguments)
    return sorted(folder.glob("*.jpg")), sound


def read_wav(path: Path) -> Sound:
    """The samples of a 16 kHz mono WAV that ffmpeg wrote."""
    rate, samples = wavfile.read(path)
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, shape {samples.shape}; expected 16 kHz mono")
    return np.asarray(samples, dtype=np.int16)
