"""Manifests: which source video is to speak which source sound, as a validated list of jobs with a digest.

A manifest is a JSON file. Names of files are relative to `root`, the folder that the corpus lies in; the digest covers
the jobs, not where they lie or how they were chosen.
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
from lse_bench.manifests.listed import GROUPS
from lse_bench.naming import safe_id
from lse_bench.storage import parse_json, read_text, write_atomically

SCHEMA = 1
_WAY_OUT = "lse-bench manifest build or import makes one"


class Job(BaseModel):
    """One pair. `video`, `sound`: files relative to the root. `groups`: what statistics need to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    video: str = Field(min_length=1)
    sound: str = Field(min_length=1)
    groups: dict[str, str] = {}

    @field_validator("id")
    @classmethod
    def _safe(cls, value: str) -> str:
        if not re.fullmatch(r"[\w%+=@~][\w%.+=@ ~-]{0,199}", value):
            raise ValueError(f"{value!r} is not safe as a file name")
        return value

    @field_validator("video", "sound")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if ".." in path.parts or path.is_absolute():
            raise ValueError(f"{value!r} leads out of the corpus folder")
        return value

    @field_validator("groups")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := set(value) - set(GROUPS):
            raise ValueError(f"no group called {', '.join(sorted(unknown))}; there are: {', '.join(GROUPS)}")
        return value


class Manifest(BaseModel):
    """Jobs and where they come from.

    `rule`, `seed`: how a built list was chosen. `list_sha256`: of an imported list.
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
            raise ValueError(f"its jobs have the digest {digest[:12]}…, it says {self.sha256[:12]}…: it was edited")
        object.__setattr__(self, "sha256", digest)
        return self

    def folder(self, root: Path | None = None) -> Path:
        """Where the files lie: `root`, or the folder the manifest remembers. Raises UsageError when that is gone."""
        folder = root if root is not None else Path(self.root) if self.root is not None else None
        if folder is None:
            raise UsageError(f"the manifest {self.name} remembers no folder; --root names the one with its files")
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; --root names the one that holds the files of {self.name}")
        return folder


def jobs_digest(jobs: Sequence[Job]) -> str:
    """SHA-256 over ids, files and groups."""
    rows = [[job.id, job.video, job.sound, sorted(job.groups.items())] for job in jobs]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Raises UsageError for a file that is not a manifest, naming the field."""
    try:
        return Manifest.model_validate(
            parse_json(read_text(path), path, "lse-bench manifest build or import makes one")
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{path}: not a manifest ({where}: {first['msg']}). {_WAY_OUT}") from None


def write_manifest(manifest: Manifest, path: Path) -> None:
    """The file appears when it is whole."""
    content = manifest.model_dump(by_alias=True, exclude={"jobs"})
    rows = ",\n".join("  " + json.dumps(job.model_dump(), ensure_ascii=False) for job in manifest.jobs)
    head = json.dumps(content, indent=1, ensure_ascii=False).removesuffix("\n}")
    write_atomically(path, f'{head},\n "jobs": [\n{rows}\n ]\n}}\n'.encode())


def job_of(video_id: str, sound_id: str, video: str, sound: str, speaker: str | None = None) -> Job:
    """A job whose id is `VIDEO+SOUND`, safe as a file name. Raises UsageError for names that a manifest cannot hold."""
    groups = {"video": video_id, "sound": sound_id} | ({} if speaker is None else {"speaker": speaker})
    return checked(Job, id=safe_id(f"{video_id}+{sound_id}"), video=video, sound=sound, groups=groups)


Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], **fields: Any) -> Model:
    """A job or manifest. Raises UsageError in place of pydantic's own error."""
    try:
        return model(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))  # empty for what concerns the whole
        told = str(first["input"]).encode("utf-8", "backslashreplace").decode()
        what = f" ({where}: {told[:200]})" if where else ""
        raise UsageError(f"not for a manifest: {first['msg'].removeprefix('Value error, ')}{what}") from None
