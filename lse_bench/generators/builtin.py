"""Generators that need no network: `real`, `unsynced`, `frozen`, and `command`, which runs any program."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from lse_bench.errors import ClipError, UsageError
from lse_bench.generators.interface import Job, Options, VideoGenerator
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import Frame
from lse_bench.outside import OutsideProgram, last_words
from lse_bench.rates import SAMPLE_RATE

TIMEOUT = 1800.0  # seconds


class Real(VideoGenerator):
    """The source videos untouched, one per distinct source video: the anchor for the score of a perfect generator."""

    name = "real"
    once_per_video = True

    def __init__(self, options: Options) -> None:
        """Make the generator. It has no options."""

    def generate(self, job: Job) -> Path:
        return job.video


class Unsynced(VideoGenerator):
    """The source's picture, copied, with the job's sound: no generator should score worse than this anchor."""

    name = "unsynced"

    def __init__(self, options: Options) -> None:
        """Make the generator. It has no options."""

    def generate(self, job: Job) -> Path:
        path = job.scratch / "unsynced.mp4"
        job.notes.extend(replace_sound(job.video, job.samples(), path))
        return path


class Frozen(VideoGenerator):
    """The source's first picture for as long as the source lasts, with the job's sound: a mouth that never moves."""

    name = "frozen"

    def __init__(self, options: Options) -> None:
        """Make the generator. It has no options."""

    def generate(self, job: Job) -> Iterator[Frame]:
        first: Frame | None = None
        for frame in job.frames():
            first = frame if first is None else first
            yield first


class Command(VideoGenerator):
    """Any other program, as in --command "python infer.py --face {video} --audio {audio} --out {output}"."""

    name = "command"
    settings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "command": "a command line with {video}, {audio} (16 kHz WAV), {sound} (the job's file), {output}, {seed} "
            "and {id}",
            "timeout": f"the time limit of one job in seconds, {TIMEOUT:.0f} by default",
        }
    )

    def __init__(self, options: Options) -> None:
        line = options.setting("command", "")
        try:
            timeout = float(options.setting("timeout", str(TIMEOUT)))
        except ValueError as error:
            raise UsageError(f"--timeout: {error}") from None
        example = "python infer.py --face {video} --audio {audio} --out {output}"
        names = ("video", "audio", "sound", "output", "seed", "id")
        self._program = OutsideProgram("--command", line, names, "output", example, timeout)

    def description(self) -> dict[str, object]:
        """Return the command line and the SHA-256 of every file that it names, because another program may make
        another video."""
        return {"command": self._program.line, "files": self._program.files}

    def generate(self, job: Job) -> Path:
        audio, output, log = (job.scratch / name for name in ("audio.wav", "output.mp4", "log.txt"))
        _write_wav(job, audio)
        values = {"video": job.video, "audio": audio, "sound": job.sound, "output": output, "seed": job.seed}
        status = self._program.run({name: str(value) for name, value in values.items()} | {"id": job.id}, log)
        if status is None:
            raise ClipError(
                job.video,
                "generator_failed",
                f"timeout: the command ran longer than {self._program.timeout:g} s and was stopped",
            )
        if status != 0:
            raise ClipError(
                job.video, "generator_failed", f"exit status {status}: the command's last line: {last_words(log)}"
            )
        if not output.exists():
            raise ClipError(
                job.video,
                "empty_output",
                f"no output: the command succeeded but wrote no {{output}}; its last line: {last_words(log)}",
            )
        return output


def _write_wav(job: Job, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(job.samples().astype("<i2").tobytes())
