"""One job of a video generator: its frames or its finished file under the job's name; and rows for finished jobs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from lse_bench.errors import ClipError, LseBenchError, Status
from lse_bench.generators.interface import FPS, Job, VideoGenerator
from lse_bench.manifests.generation import Row
from lse_bench.media.probe import probe
from lse_bench.media.remux import replace_sound
from lse_bench.media.video import Frame
from lse_bench.media.writer import ClipWriter
from lse_bench.weights.readers import file_digest


def make_video(generator: VideoGenerator, job: Job, target: Path) -> Row:
    """The row of a job, its video at `target`. Whatever the generator raises but LseBenchError is that row's."""
    try:
        result = generator.generate(job)
        warnings = _place(result, job, target) if isinstance(result, Path) else _encode(result, job, target)
        info = probe(target)
        assert info.video is not None
        return made(job.id, target, info.video.frames, warnings)
    except ClipError as error:
        target.unlink(missing_ok=True)
        return failed(job.id, error.status, error.reason)
    except LseBenchError:
        raise
    except Exception as error:  # noqa: BLE001 - a third party's generator can raise anything
        refuse_out_of_memory(error)
        target.unlink(missing_ok=True)
        return failed(job.id, "generator_failed", f"{type(error).__name__}: {error}")


def _place(file: Path, job: Job, target: Path) -> list[str]:
    """A finished file under its name; sound is added where it has none."""
    try:
        info = probe(file)
    except ClipError as error:
        raise ClipError(file, "empty_output", f"the generator's {file.name}: {error.reason}") from None
    if info.video is None:
        raise ClipError(file, "empty_output", f"the generator's {file.name} has no picture")
    warnings = []
    partial = target.with_name(f".{target.name}.partial")
    if info.sound is None:
        warnings.append("the generator's video has no sound; the job's was put under it")
        replace_sound(file, job.samples(), partial)
    elif file.is_relative_to(job.scratch) and not file.is_symlink():
        shutil.move(file, partial)
    else:
        shutil.copyfile(file, partial)
    os.replace(partial, target)
    return warnings


def _encode(frames: Iterator[Frame], job: Job, target: Path) -> list[str]:
    with ClipWriter(target, job.samples(), FPS) as writer:
        for frame in frames:
            writer.push(frame)
        if not writer.frames:
            raise ClipError(target, "empty_output", "the generator gave no frame")
    return []


def failed(job_id: str, status: Status, reason: str) -> Row:
    """The row of a job without a video."""
    return Row(id=job_id, status=status, reason=reason)


def made(job_id: str, target: Path, frames: int, warnings: Sequence[str]) -> Row:
    """The row of a job whose video is at `target`."""
    return Row(id=job_id, status="ok", warnings=tuple(warnings), frames=frames, sha256=file_digest(target))


def refuse_out_of_memory(error: Exception) -> None:
    """Raise LseBenchError for a GPU that is full: the next job would meet it too."""
    if type(error).__name__ == "OutOfMemoryError":
        raise LseBenchError(
            "out of GPU memory. Close other programs on the GPU or pass --device cpu; what is made so far is kept"
        ) from error
