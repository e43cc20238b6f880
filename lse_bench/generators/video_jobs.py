"""Run one job of a video generator, store its frames or file under the job's name, and make rows for finished jobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from lse_bench.errors import ClipError, LseBenchError
from lse_bench.generators.interface import Job, VideoGenerator
from lse_bench.generators.look import look_at
from lse_bench.manifests.generated import Row
from lse_bench.media.audio import Sound
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import Frame
from lse_bench.media.writer import ClipWriter
from lse_bench.place import refuse_place
from lse_bench.rates import FPS
from lse_bench.storage import replacing
from lse_bench.weights.readers import file_digest


def make_video(generator: VideoGenerator, job: Job, target: Path) -> Row:
    """Make the video of a job at `target` and return the job's row.

    If the generator raises ClipError, or an error that is no LseBenchError, the row records the failure. Raises
    LseBenchError if the call itself is wrong, if the GPU has no memory left, or if `target` cannot be written.
    """
    try:
        result = generator.generate(job)
        warnings = _place(result, job, target) if isinstance(result, Path) else _encode(result, job, target)
        return made(job.id, target, job.samples(), job.video, [*job.notes, *warnings])
    except Exception as error:  # noqa: BLE001 - a third party's generator can raise anything
        target.unlink(missing_ok=True)
        return failure(job.id, error, target.parent)


def _place(file: Path, job: Job, target: Path) -> list[str]:
    """Move or copy a finished file to `target` and return warnings. A file without sound gets the job's sound."""
    try:
        info = probe(file)
    except ClipError as error:
        raise ClipError(file, "empty_output", f"the generator's {file.name}: {error.reason}") from None
    if info.video is None:
        raise ClipError(file, "empty_output", f"the generator's {file.name} has no picture")
    if info.sound is None:
        told = "the generator's video has no sound; the job's sound was added"
        return [told, *replace_sound(file, job.samples(), target)]
    with replacing(target) as partial:
        if file.is_relative_to(job.scratch) and not file.is_symlink():
            shutil.move(file, partial)
        else:
            shutil.copyfile(file, partial)
    return []


def _encode(frames: Iterator[Frame], job: Job, target: Path) -> list[str]:
    with ClipWriter(target, job.samples(), FPS) as writer:
        for frame in frames:
            writer.push(frame)
        if not writer.frames:
            raise ClipError(target, "empty_output", "the generator made no frame")
    return []


def made(job_id: str, target: Path, sound: Sound, source: Path, warnings: Sequence[str]) -> Row:
    """Check the video at `target` and return the row of its job. Raises ClipError for the reasons of `look_at`."""
    look, seen = look_at(target, sound, source)
    told = (*warnings, *seen)
    return Row(id=job_id, status="ok", warnings=told, frames=look.frames, sha256=file_digest(target), look=look)


def failure(job_id: str, error: Exception, folder: Path) -> Row:
    """Return the row of a job that ended with an error.

    Raises LseBenchError if the next job would have the same error: the call is wrong, the GPU has no memory left, or
    `folder` cannot be written to.
    """
    if isinstance(error, ClipError):
        refuse_place(error, folder)
        return Row(id=job_id, status=error.status, reason=error.reason)
    if isinstance(error, LseBenchError):
        raise error
    if type(error).__name__ == "OutOfMemoryError":
        raise LseBenchError(
            "out of GPU memory. Close other programs on the GPU or pass --device cpu; the finished videos are kept"
        ) from error
    refuse_place(error, folder)
    return Row(id=job_id, status="generator_failed", reason=f"{type(error).__name__}: {error}")
