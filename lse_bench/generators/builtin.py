"""Generators that need no network: `real`, `unsynced`, and `command`, which runs any program."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import wave
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from lse_bench.errors import ClipError, UsageError
from lse_bench.generators.interface import Job, Options, VideoGenerator
from lse_bench.media.remux import replace_sound
from lse_bench.rates import SAMPLE_RATE
from lse_bench.weights.readers import file_digest

TIMEOUT = 1800.0  # seconds
_TOLD = 300  # characters of a program's last output line that a message repeats


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
            self._words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"--command {line}: {error}") from None
        if not self._words or not any("{output}" in word for word in self._words):
            raise UsageError(
                f"--command {line!r}: give a command line with {{output}} in it, as in "
                '"python infer.py --face {video} --audio {audio} --out {output}"'
            )
        try:
            self._timeout = float(options.setting("timeout", str(TIMEOUT)))
            self._filled("v", "a", "s", "o", 0, "i")
        except (ValueError, KeyError, IndexError) as error:
            raise UsageError(
                f"--command {line}: {error}; the names in braces are video, audio, sound, output, seed and id, and all "
                "other braces must be doubled"
            ) from None
        self._line = line
        self._files = {word: file_digest(Path(word)) for word in self._words if Path(word).is_file()}

    def description(self) -> dict[str, object]:
        """Return the command line and the SHA-256 of every file that it names, because another program may make
        another video."""
        return {"command": self._line, "files": self._files}

    def _filled(self, video: str, audio: str, sound: str, output: str, seed: int, pair: str) -> list[str]:
        return [
            word.format(video=video, audio=audio, sound=sound, output=output, seed=seed, id=pair)
            for word in self._words
        ]

    def generate(self, job: Job) -> Path:
        audio, output, log = (job.scratch / name for name in ("audio.wav", "output.mp4", "log.txt"))
        _write_wav(job, audio)
        words = self._filled(str(job.video), str(audio), str(job.sound), str(output), job.seed, job.id)
        with log.open("wb") as file:
            try:
                # A new session, so that a timeout also ends the processes that the program has started.
                running = subprocess.Popen(  # noqa: S603 - the user's own program, without a shell
                    words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
                )
            except OSError as error:
                raise UsageError(f"--command: {words[0]} cannot be started: {error.strerror}; check its path") from None
            try:
                status = running.wait(self._timeout)
            except subprocess.TimeoutExpired:
                raise ClipError(
                    job.video,
                    "generator_failed",
                    f"timeout: the command ran longer than {self._timeout:g} s and was stopped",
                ) from None
            finally:
                if running.poll() is None:
                    os.killpg(running.pid, signal.SIGKILL)
                    running.wait()
        if status != 0:
            raise ClipError(
                job.video, "generator_failed", f"exit status {status}: the command's last line: {_last_words(log)}"
            )
        if not output.exists():
            raise ClipError(
                job.video,
                "empty_output",
                f"no output: the command succeeded but wrote no {{output}}; its last line: {_last_words(log)}",
            )
        return output


def _write_wav(job: Job, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(job.samples().astype("<i2").tobytes())


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][-_TOLD:] if lines else "none"
