"""The folder of a generation, as `lse-bench generate` writes it and `lse-bench score` reads it.

`generation.json` describes the generator, its settings and counts. `manifest.json` holds the jobs. `generation.jsonl`
holds one row per finished job. `ID.mp4` is the video of the job ID.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lse_bench.errors import Status
from lse_bench.manifests.listed import Absent, ListedClip
from lse_bench.manifests.manifest import read_manifest
from lse_bench.stored import Stored, Surroundings, read_stored, read_stored_lines

SCHEMA = 2
GENERATION_FILE, ROWS_FILE, MANIFEST_FILE = "generation.json", "generation.jsonl", "manifest.json"
_WAY_OUT = "Generate into a new folder, or restore the file"

Fault = Literal["foreign_sound", "short_picture", "short_sound"]
FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "foreign_sound": "sound that is not the job's",
        "short_picture": "a picture shorter than required",
        "short_sound": "sound shorter than required",
    }
)


class ManifestOrigin(Stored):
    """The manifest that videos were generated from."""

    name: str
    """The name of the manifest."""
    corpus: str | None = None
    """The name of the corpus; null if it is not known."""
    sha256: str | None = None
    """SHA-256 digest of the pairs that were generated."""
    asked_sha256: str | None = None
    """SHA-256 digest of the manifest that was requested. The two digests differ if the generator ignores the sound."""


class Origin(Surroundings):
    """The description of how videos were generated. Every result of the videos repeats this part of generation.json."""

    generator: str
    """The name of the generator."""
    key: dict[str, Any]
    """Everything that can change a pixel of the videos."""
    manifest: ManifestOrigin
    """The manifest of the pairs."""
    looked: dict[str, int] | None = None
    """The number of faulty videos by fault, and of unchecked videos; null if no check was made."""


class Generation(Origin):
    """The content of generation.json: the generator, its settings and counts."""

    schema_version: int = SCHEMA
    """The version of this format."""
    kind: Literal["generation"] = "generation"
    """The kind of the file: a description of a folder of generated videos."""
    listed: int | None = None
    """The number of jobs in the manifest."""
    made: int | None = None
    """The number of videos that were made."""
    failed: dict[Status, int] = {}
    """The number of jobs without a video, by status."""
    reasons: dict[str, int] = {}
    """The number of jobs without a video, by the part of the reason before the first colon."""
    warnings: int | None = None
    """The number of videos with a warning."""
    videos: int | None = None
    """The number of distinct source videos."""
    decodes: int = Field(ge=0)
    """How many times source videos were decoded, over all commands that wrote into the folder."""
    command: list[str] = []
    """The command line."""
    written: str | None = None
    """The time of writing in UTC, ISO 8601."""


class Look(BaseModel):
    """The result of checking a generated video.

    `frames`: number of decoded frames. `seconds`: time at which the picture ends. `sound_seconds`: duration of the
    sound.
    `correlation`: absolute correlation of the video's sound with the job's sound, 0-1, or null if either is silent.
    `lag_ms`: delay of the video's sound in milliseconds, positive if it comes late, or null if either is silent.
    `faults`: how the video differs from the job.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int
    seconds: float
    sound_seconds: float
    correlation: float | None
    lag_ms: float | None
    faults: tuple[Fault, ...] = ()


class Row(BaseModel):
    """A finished job, one line of generation.jsonl.

    `reason`: why there is no video, null if `status` is `ok`. `frames`: number of frames of the video. `sha256`: digest
    of the file. `look`: result of the check. These three are null unless `status` is `ok`. `look` is also null in
    generations of earlier versions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    status: Status
    reason: str | None = None
    warnings: Sequence[str] = ()
    frames: int | None = None
    sha256: str | None = None
    look: Look | None = None


def looked(rows: Iterable[Row]) -> dict[str, int]:
    """Return the number of faulty videos by fault, and the number of unchecked videos as `not_looked_at`."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.status == "ok":
            counts.update(["not_looked_at"] if row.look is None else row.look.faults)
    return dict(counts)


def video_path(folder: Path, job_id: str) -> Path:
    """Return the path of a job's video, which need not exist yet."""
    return folder / f"{job_id}.mp4"


def read_rows(folder: Path) -> list[Row]:
    """Return the rows written so far. Raises UsageError if a row is damaged."""
    return list(read_stored_lines(folder / ROWS_FILE, Row, "a row", _WAY_OUT))


def read_generation(folder: Path) -> Generation | None:
    """Return the content of generation.json, or None if the folder has none. Raises UsageError if it is damaged."""
    path = folder / GENERATION_FILE
    return read_stored(path, Generation, _WAY_OUT) if path.is_file() else None


def origin_of(generation: Generation) -> Origin:
    """Return the part of a generation that every result of its videos repeats."""
    return Origin.model_validate({name: getattr(generation, name) for name in Origin.model_fields})


def clips_of_generation(folder: Path) -> list[ListedClip]:
    """Return every job of a generation as a clip to score. A job without a video is an absent clip with its reason."""
    rows = {row.id: row for row in read_rows(folder)}
    clips = []
    for job in read_manifest(folder / MANIFEST_FILE).jobs:
        path, row = video_path(folder, job.id), rows.get(job.id)
        absent = None
        if row is None:
            absent = Absent("generator_failed", "not generated yet: the generation was stopped")
        elif row.status != "ok":
            absent = Absent(row.status, row.reason or "the generator made no video")
        elif not path.exists():
            absent = Absent("unreadable", f"no such file: {path}")
        clips.append(ListedClip(job.id, path.name, path, job.groups, absent))
    return clips
