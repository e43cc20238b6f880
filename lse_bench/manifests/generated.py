"""What a generation left in its folder: the jobs, a row for each, and the videos; read again for scoring.

`generation.json` says with what, `manifest.json` holds the jobs, `generation.jsonl` a row per finished job,
`ID.mp4` the videos.
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
_WAY_OUT = "Generate into a new folder, or bring the file back"

Fault = Literal["foreign_sound", "short_picture", "short_sound"]
FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "foreign_sound": "sound that is not the job's",
        "short_picture": "a picture shorter than asked for",
        "short_sound": "sound shorter than asked for",
    }
)


class ManifestOrigin(Stored):
    """The manifest that videos were generated from."""

    name: str
    """Its name."""
    corpus: str | None = None
    """The corpus, where it is known."""
    sha256: str | None = None
    """Digest of the pairs that were generated."""
    asked_sha256: str | None = None
    """Digest of the manifest that was asked for."""


class Origin(Surroundings):
    """How videos were generated: the part of generation.json that stands in every result."""

    generator: str
    """Name of the generator."""
    key: dict[str, Any]
    """Everything that moves a pixel."""
    manifest: ManifestOrigin
    """Of the pairs."""
    looked: dict[str, int] | None = None
    """Faulty videos, by fault; null where nobody looked."""


class Generation(Origin):
    """generation.json: the generator, its settings and counts."""

    schema_version: int = SCHEMA
    """Version of this format."""
    kind: Literal["generation"] = "generation"
    """A folder of generated videos."""
    listed: int | None = None
    """Jobs."""
    made: int | None = None
    """Videos."""
    failed: dict[Status, int] = {}
    """Jobs without a video, by status."""
    reasons: dict[str, int] = {}
    """The same by the beginning of the reason."""
    warnings: int | None = None
    """Videos with a warning."""
    videos: int | None = None
    """Distinct source videos."""
    decodes: int = Field(ge=0)
    """How often a source video was decoded."""
    command: list[str] = []
    """The command line."""
    written: str | None = None
    """UTC, ISO 8601."""


class Look(BaseModel):
    """What a look at a made video found. `frames`: as decoded; `seconds`, `sound_seconds`: of picture and sound;
    `correlation`: of its sound with the job's, null where either is silent; `lag_ms`: by which its sound comes late;
    `faults`: in what it is not what was asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: int
    seconds: float
    sound_seconds: float
    correlation: float | None
    lag_ms: float | None
    faults: tuple[Fault, ...] = ()


class Row(BaseModel):
    """A finished job. `frames`: of the video; `sha256`: of the file; `look`: at it; all null unless `status` is `ok`,
    `look` also in generations of earlier versions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    status: Status
    reason: str | None = None
    warnings: Sequence[str] = ()
    frames: int | None = None
    sha256: str | None = None
    look: Look | None = None


def looked(rows: Iterable[Row]) -> dict[str, int]:
    """How many videos a look found faulty, by fault, and how many nobody looked at (`not_looked_at`)."""
    counts: Counter[str] = Counter()
    for row in rows:
        if row.status == "ok":
            counts.update(["not_looked_at"] if row.look is None else row.look.faults)
    return dict(counts)


def video_path(folder: Path, job_id: str) -> Path:
    """Where a job's video is, or is to be."""
    return folder / f"{job_id}.mp4"


def read_rows(folder: Path) -> list[Row]:
    """The rows so far. Raises UsageError for a damaged one."""
    return read_stored_lines(folder / ROWS_FILE, Row, "a row", _WAY_OUT)


def read_generation(folder: Path) -> Generation | None:
    """The content of generation.json, None where a folder has none. Raises UsageError for a damaged one."""
    path = folder / GENERATION_FILE
    return read_stored(path, Generation, _WAY_OUT) if path.is_file() else None


def origin_of(generation: Generation) -> Origin:
    """What of a generation stands in the results of its videos."""
    return Origin.model_validate({name: getattr(generation, name) for name in Origin.model_fields})


def clips_of_generation(folder: Path) -> list[ListedClip]:
    """Every job of a generation as a clip to score; one without a video is absent, with its reason."""
    rows = {row.id: row for row in read_rows(folder)}
    clips = []
    for job in read_manifest(folder / MANIFEST_FILE).jobs:
        path, row = video_path(folder, job.id), rows.get(job.id)
        absent = None
        if row is None:
            absent = Absent("generator_failed", "not generated yet: the generation was stopped")
        elif row.status != "ok":
            absent = Absent(row.status, row.reason or "the generator gave no video")
        elif not path.exists():
            absent = Absent("unreadable", f"no such file: {path}")
        clips.append(ListedClip(job.id, path.name, path, job.groups, absent))
    return clips
