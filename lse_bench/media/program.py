"""Run the user's ffmpeg program to write the files of the published pipeline, with the conversions of run_pipeline.py.

Programs are started with argument lists, never through a shell. The other modules decode and encode in memory. Here the
files themselves matter, because their codecs change picture and sound: MPEG-4 and MP3, JPEG, XVID, JPEG again.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lse_bench.errors import ClipError, UsageError
from lse_bench.media.audio import Sound
from lse_bench.media.video import Frame
from lse_bench.rates import SAMPLE_RATE

_TOLD = 300  # characters from the end of ffmpeg's output in a message


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """An ffmpeg program and its version, for example `5.1.9-0+deb12u1`."""

    path: str
    version: str

    def run(self, clip: Path, arguments: Sequence[str]) -> None:
        """Run the program with `arguments` for the clip `clip`.

        Raises ClipError `unreadable`, with the end of the program's output, if it fails.
        """
        command = [self.path, "-nostdin", "-loglevel", "error", "-y", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603 - a list, no shell
        if done.returncode:
            told = " ".join(done.stderr.split())[-_TOLD:]
            raise ClipError(clip, "unreadable", f"ffmpeg {self.version} failed ({done.returncode}): {told}")


def find_ffmpeg(path: Path | str | None = None) -> Ffmpeg:
    """Return the ffmpeg program at `path`, or the one on PATH if `path` is None.

    Raises UsageError if there is none or if it does not start.
    """
    found = shutil.which(str(path or "ffmpeg"))
    if found is None:
        raise UsageError(
            f"no ffmpeg program{f' at {path}' if path else ''}: tracked-legacy needs one. Run apt-get install "
            "ffmpeg on Debian and Ubuntu, name one with --ffmpeg, or use tracked@1, which needs none"
        )
    done = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)  # noqa: S603 - a list
    words = done.stdout.split()
    if done.returncode or words[:2] != ["ffmpeg", "version"]:
        raise UsageError(f"{found} does not run as an ffmpeg program: {(done.stderr or done.stdout)[:_TOLD]}")
    return Ffmpeg(found, words[2])


# FFmpeg's MPEG-4 encoder cuts pictures into as many slices as it has threads. By default ffmpeg uses one thread more
# than the machine has cores. Three threads give the reference scores.
_ENCODER_THREADS = "3"


@dataclass(frozen=True, slots=True)
class Converted:
    """The files that the pipeline makes of a clip.

    `video`: AVI with 25 fps MPEG-4 and MP3. `pictures`: one JPEG file per frame. `sound`: 16 kHz mono WAV.
    """

    video: Path
    pictures: list[Path]
    sound: Path


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that the pipeline converts.

    `clip`: the video. `sound`: the file whose sound is heard, None for the sound that ffmpeg chooses in the video. With
    `sound`, `picture` and `stream` are the numbers of the two streams in their files. `start`, `end`: the part of both
    files, in seconds, None for their beginning and their end.
    """

    clip: Path
    sound: Path | None = None
    picture: int = 0
    stream: int = 0
    start: float | None = None
    end: float | None = None

    @property
    def arguments(self) -> list[str]:
        """The input arguments of the ffmpeg program."""
        cut = [] if self.start is None else ["-ss", f"{self.start:.3f}"]
        cut += [] if self.end is None else ["-to", f"{self.end:.3f}"]
        found = [*cut, "-i", str(self.clip.absolute())]
        if self.sound is None:
            return found
        return [*found, *cut, "-i", str(self.sound.absolute()), "-map", f"0:{self.picture}", "-map", f"1:{self.stream}"]


def convert(ffmpeg: Ffmpeg, sources: Sources, folder: Path) -> Converted:
    """Make the first three conversions of a clip, into `folder`.

    Frames are placed on 25 fps by presentation time. The sound has the delay of the MP3 encoder.
    """
    clip = sources.clip
    video, sound = folder / "video.avi", folder / "audio.wav"
    pictures = folder / "frames"
    pictures.mkdir()
    encoded = ["-qscale:v", "2", "-async", "1", "-r", "25", "-threads", _ENCODER_THREADS, str(video)]
    ffmpeg.run(clip, [*sources.arguments, *encoded])
    ffmpeg.run(clip, ["-i", str(video), "-qscale:v", "2", "-threads", "1", "-f", "image2", str(pictures / "%06d.jpg")])
    ffmpeg.run(clip, ["-i", str(video), "-ac", "1", "-vn", "-acodec", "pcm_s16le", "-ar", "16000", str(sound)])
    return Converted(video, sorted(pictures.glob("*.jpg")), sound)


def write_crop(
    ffmpeg: Ffmpeg, clip: Path, crops: Iterable[Frame], sound: Path, first: int, stop: int, path: Path
) -> None:
    """Write an AVI `path` with the crops of a face track as XVID and the matching part of `sound`.

    `crops`: BGR frames, 224x224, of the frames `first`...`stop`-1 of the clip. Raises ClipError `error` if OpenCV
    cannot write XVID, and `unreadable` if ffmpeg fails.
    """
    silent, piece = path.with_suffix(".t.avi"), path.with_suffix(".wav")
    # The published code uses OpenCV's writer. No option of another writer gives its bit rate.
    writer = cv2.VideoWriter(str(silent), cv2.VideoWriter.fourcc(*"XVID"), 25, (224, 224))
    if not writer.isOpened():
        raise ClipError(clip, "error", f"OpenCV {cv2.__version__} cannot write XVID here; install its wheel from PyPI")
    for crop in crops:
        writer.write(crop)
    writer.release()
    cut = ["-ss", f"{first / 25:.3f}", "-to", f"{stop / 25:.3f}"]
    ffmpeg.run(clip, ["-i", str(sound), *cut, str(piece)])
    ffmpeg.run(clip, ["-i", str(silent), "-i", str(piece), "-c:v", "copy", "-c:a", "copy", str(path)])
    silent.unlink()
    piece.unlink()


def dump_crop(ffmpeg: Ffmpeg, clip: Path, crop: Path, folder: Path) -> tuple[list[Path], Path]:
    """Write the JPEG files of a crop, at ffmpeg's default 200 kb/s, and its WAV into `folder`. Return their paths."""
    folder.mkdir()
    sound = folder / "audio.wav"
    ffmpeg.run(clip, ["-i", str(crop), "-threads", "1", "-f", "image2", str(folder / "%06d.jpg")])
    arguments = ["-i", str(crop), "-async", "1", "-ac", "1", "-vn", "-acodec", "pcm_s16le", "-ar", "16000", str(sound)]
    ffmpeg.run(clip, arguments)
    return sorted(folder.glob("*.jpg")), sound


def read_wav(path: Path) -> Sound:
    """Return the samples, int16, of a 16 kHz mono WAV file. Raises ValueError if the file has another format."""
    from scipy.io import wavfile

    rate, samples = wavfile.read(path)
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, shape {samples.shape}; expected 16 kHz mono")
    return np.asarray(samples, dtype=np.int16)
