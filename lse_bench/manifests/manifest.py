"""Manifests: validated lists of pairs of a source video and a sound, with a digest.

A manifest is a JSON file, and a job is one pair. File names are relative to `root`, the folder of the corpus. The
digest covers the jobs. It does not cover the location of the files or how the jobs were chosen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lse_bench.errors import UsageError
from lse_bench.naming import safe_id
from lse_bench.remote.addresses import address_of
from lse_bench.storage import parse_json, read_text, write_atomically

SCHEMA = 1
_WAY_OUT = "Make one with lse-bench manifest from, build or import"


class Job(BaseModel):
    """One pair.

    `id`: safe as a file name. `video`, `sound`: files relative to the root. `groups`: what the pair shares with others,
    by name. Statistics use `video`, `sound` and `speaker`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    video: str = Field(min_length=1)
    sound: str = Field(min_length=1)
    groups: dict[str, str] = {}

    @field_validator("id")
    @classmethod
    def _safe(cls, value: str) -> str:
        if not re.fullmatch(r"[\w%+=@~][\w%.+=@ ~-]{0,199}", value):
            raise ValueError(f"{value!r} is not safe as a file name; use another id")
        return value

    @field_validator("video", "sound")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if ".." in path.parts or path.is_absolute():
            raise ValueError(f"{value!r} leads out of the corpus folder; give a path below it")
        return value

    @field_validator("groups")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = next((name for name in value if not re.fullmatch(r"[a-z0-9][a-z0-9_]*", name)), None)
        if wrong is not None:
            raise ValueError(f"the name {wrong!r} of a group may hold only a to z, digits and _")
        return value


class Manifest(BaseModel):
    """A list of jobs and its origin.

    `root`: the folder of the files, or None if it is not recorded. `rule`, `seed`: the pairing rule and random seed of
    a built manifest. `list_sha256`: the digest of an imported list. `sha256`: the digest of the jobs. It is computed if
    it is empty and checked otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: int = Field(default=SCHEMA, alias="schema")
    name: str
    corpus: str
    root: str | None = None
    rule: str | None = None
    seed: int | None = None
    list_sha256: str | None = None
    sha256: str = ""
    jobs: tuple[Job, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _sound(self) -> Manifest:
        if self.schema_ != SCHEMA:
            raise ValueError(f"schema {self.schema_}; this version reads schema {SCHEMA}")
        double = next((name for name, count in Counter(job.id for job in self.jobs).items() if count > 1), None)
        if double is not None:
            raise ValueError(f"two jobs have the id {double}")
        digest = jobs_digest(self.jobs)
        if self.sha256 and self.sha256 != digest:
            raise ValueError(
                f"its jobs have the digest {digest[:12]}…, but it records {self.sha256[:12]}…: it was edited"
            )
        object.__setattr__(self, "sha256", digest)
        return self

    def folder(self, root: Path | None = None) -> Path:
        """Return the folder of the files: `root`, or the manifest's own folder if `root` is None.

        Raises UsageError if neither is given or if the folder does not exist.
        """
        folder = root if root is not None else Path(self.root) if self.root is not None else None
        if folder is None:
            raise UsageError(f"the manifest {self.name} records no folder; give the folder of its files with --root")
        if address_of(folder) is None and not folder.is_dir():
            raise UsageError(
                f"{folder}: no such folder; give the folder that holds the files of {self.name} with --root"
            )
        return folder


def jobs_digest(jobs: Sequence[Job]) -> str:
    """Return the SHA-256 digest of ids, files and groups."""
    rows = [[job.id, job.video, job.sound, sorted(job.groups.items())] for job in jobs]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest. Raises UsageError if the file is not a manifest; the message names the field."""
    try:
        return Manifest.model_validate(parse_json(read_text(path), path, _WAY_OUT))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise UsageError(f"{path}: not a manifest ({where}: {first['msg']}). {_WAY_OUT}") from None


def manifest_in(path: Path) -> Manifest | None:
    """Return the manifest in a JSON file, None if the file holds a list. Raises UsageError if it is neither."""
    content = parse_json(read_text(path), path, _WAY_OUT)
    return None if isinstance(content, list) else read_manifest(path)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest. The file appears only when it is complete."""
    content = manifest.model_dump(by_alias=True, exclude={"jobs"})
    rows = ",\n".join("  " + json.dumps(job.model_dump(), ensure_ascii=False) for job in manifest.jobs)
    head = json.dumps(content, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_atomically(path, f'{head},\n "jobs": [\n{rows}\n ]\n}}\n'.encode())


def job_of(video_id: str, sound_id: str, video: str, sound: str, speaker: str | None = None) -> Job:
    """Return a job with the id `VIDEO+SOUND`, made safe as a file name.

    `video_id`, `sound_id`: ids of the clips. `video`, `sound`: their files relative to the root. Raises UsageError if a
    manifest cannot hold the names.
    """
    groups = {"video": video_id, "sound": sound_id} | ({} if speaker is None else {"speaker": speaker})
    return checked(Job, id=safe_id(f"{video_id}+{sound_id}"), video=video, sound=sound, groups=groups)


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], **fields: Any) -> Model:
    """Return a job or manifest with these fields. Raises UsageError in place of pydantic's own error."""
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))  # empty if the error concerns the whole model
        told = str(first["input"]).encode("utf-8", "backslashreplace").decode()
        what = f" ({where}: {told[:200]})" if where else ""
        raise UsageError(f"not valid in a manifest: {first['msg'].removeprefix('Value error, ')}{what}") from None
